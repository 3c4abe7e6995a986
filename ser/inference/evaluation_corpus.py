"""A corpus that finished runs are tested on."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
import pandas as pd
from omegaconf import DictConfig

from ser.config import build
from ser.corpora import Corpus, audio
from ser.data.fingerprint import labelled_corpus
from ser.data.targets import Target
from ser.features import Features
from ser.features.store import Store
from ser.inference.loading import Recogniser
from ser.inference.speech import measure_speech


@dataclass
class EvaluationCorpus:
    """A corpus that runs are tested on and were not trained on.

    Args:
        corpus: The corpus.
        target: All of its classes.
        store: Store of features.
        contents: Digest of the audio by utterance id.
        recordings: Digest of the samples of its file by utterance id.
        skip_faulty: Whether utterances that cannot be extracted are left out.
    """

    corpus: Corpus
    target: Target
    store: Store
    contents: pd.Series
    recordings: pd.Series
    skip_faulty: bool
    _features: dict[str, Features] = field(default_factory=dict)
    _speech: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def read(cls, cfg: DictConfig) -> "EvaluationCorpus":
        """Read the corpus and target of a configuration.

        Raises:
            UserError: The corpus cannot be read, or has no such target.
        """
        corpus, target = labelled_corpus(cfg)
        store: Store = build(cfg.store)
        table = corpus.table.loc[target.labels.index]
        contents, recordings = store.contents(table), store.recordings(table)
        return cls(corpus, target, store, contents, recordings, cfg.skip_faulty)

    @property
    def table(self) -> pd.DataFrame:
        """Rows of the labelled utterances."""
        return self.corpus.table.loc[self.target.labels.index]

    def features(self, recogniser: Recogniser) -> Features:
        """Return features of all labelled utterances for a run; runs share an extraction."""
        source = recogniser.source
        if source.signature not in self._features:
            self._features[source.signature] = self.store.load(
                self.table, source, in_memory=True, skip=self.skip_faulty
            )
        return self._features[source.signature]

    def contains_speech(self, ids: pd.Index) -> np.ndarray:
        """Return whether utterances contain enough speech, (N,); measured once for all runs."""
        unknown = ids.difference(pd.Index(list(self._speech)))
        with ThreadPoolExecutor(joblib.cpu_count()) as pool:
            self._speech |= zip(unknown, pool.map(self._contains_speech, unknown), strict=True)
        return np.array([self._speech[utterance] for utterance in ids])

    def _contains_speech(self, utterance: str) -> bool:
        row: Any = self.corpus.table.loc[utterance]
        return measure_speech(*audio.read(row["file"], row["start"], row["end"])).is_enough
