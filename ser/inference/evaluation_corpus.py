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
from ser.errors import UserError
from ser.features import Features, FeatureSource
from ser.features.augmentation import Corrupted
from ser.features.corruptions import Corruption
from ser.features.store import Store
from ser.inference.kinds import Kind
from ser.inference.loading import Recogniser
from ser.inference.soft_labels import with_shares_of_raters
from ser.inference.speech import measure_speech
from ser.inference.tested import own_labels


@dataclass
class EvaluationCorpus:
    """Labelled speech that runs are tested on: another corpus, or the test split of their own.

    Args:
        corpus: The corpus.
        target: Labels of the utterances that are tested.
        store: Store of features.
        contents: Digest of the audio by utterance id.
        recordings: Digest of the samples of its file by utterance id.
        skip_faulty: Whether utterances that cannot be extracted are left out.
        is_own: Whether the utterances are the test split of a run.
    """

    corpus: Corpus
    target: Target
    store: Store
    contents: pd.Series
    recordings: pd.Series
    skip_faulty: bool
    is_own: bool = False
    _features: dict[str, Features] = field(default_factory=dict)
    _speech: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def read(cls, cfg: DictConfig, kind: Kind, *, as_shares: bool) -> "EvaluationCorpus":
        """Read the corpus and target of a configuration.

        Args:
            cfg: Configuration of the corpus and its target.
            kind: What is predicted.
            as_shares: Whether predictions are scored by the shares of raters, where there are any.

        Raises:
            UserError: The corpus cannot be read, or has no such target.
        """
        corpus, target = labelled_corpus(cfg)
        if as_shares:
            target = with_shares_of_raters(cfg.target, corpus, target, kind)
        return cls._of(corpus, target, cfg)

    @classmethod
    def own_test(
        cls, recogniser: Recogniser, cfg: DictConfig, corpus: Corpus, target: Target
    ) -> "EvaluationCorpus":
        """Return the test split of a run.

        Args:
            recogniser: The run.
            cfg: Its configuration.
            corpus: Corpus of the configuration.
            target: Target of the configuration.

        Raises:
            UserError: The run has no test split, or the corpus has not the same labels any more.
        """
        folder = recogniser.folder
        predicted = folder.read_predictions().query("part == 'test'")
        if predicted.empty:
            raise UserError(f"{folder.path}: has no test split (test=false?)")
        tested = own_labels(recogniser.kind, target, predicted)
        if tested is None:
            raise UserError(
                f"{folder.path}: {corpus.name} has other labels or utterances than the test split "
                "of the run (corpus.root=... gives the corpus)"
            )
        return cls._of(corpus, tested, cfg, is_own=True)

    @classmethod
    def _of(
        cls, corpus: Corpus, target: Target, cfg: DictConfig, *, is_own: bool = False
    ) -> "EvaluationCorpus":
        store: Store = build(cfg.store)
        table = corpus.table.loc[target.labels.index]
        contents, recordings = store.contents(table), store.recordings(table)
        return cls(corpus, target, store, contents, recordings, cfg.skip_faulty, is_own)

    @property
    def table(self) -> pd.DataFrame:
        """Rows of the labelled utterances."""
        return self.corpus.table.loc[self.target.labels.index]

    def features(self, recogniser: Recogniser, corruption: Corruption | None = None) -> Features:
        """Return features of all labelled utterances for a run; runs share an extraction.

        Args:
            recogniser: The run.
            corruption: Applied to the audio of each utterance first; None: the audio as it is.
        """
        source: FeatureSource = recogniser.source
        if corruption is not None:
            source = Corrupted(recogniser.extractor, corruption, copy=0)
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
