"""How the scores of finished runs fall on corrupted audio: `python -m ser evaluate RUN --corrupt`.

Without another corpus, a run is tested on its own test split, whose audio is corrupted. Results are
written to `evaluated/<corpus>/<corruption>/` in the folder of each run.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ser.config.compose import value_of
from ser.corpora import Corpus
from ser.data.fingerprint import labelled_corpus
from ser.data.targets import Target
from ser.errors import UserError
from ser.inference.corrupt_option import Condition
from ser.inference.evaluation_corpus import EvaluationCorpus
from ser.inference.loading import Recogniser
from ser.inference.scoring import predict_utterances, score
from ser.inference.summary import print_robustness
from ser.inference.tested import rows_of

CLEAN = "clean"
# Options of the own corpus of a run that can be given again, because files may have moved.
OWN_OPTIONS = ("corpus.root", "store.root", "store.workers")
TOLERANCE = 1e-3  # of probabilities and values; 1e-5 is usual

# Returns the speech that a run is tested on.
Speech = Callable[[Recogniser], EvaluationCorpus]


class OwnTests:
    """The test splits of runs; a corpus that several runs share is read once.

    Args:
        overrides: Values of `OWN_OPTIONS`.

    Raises:
        UserError: An override is of another option.
    """

    def __init__(self, overrides: Sequence[str]) -> None:
        names = [override.partition("=")[0] for override in overrides]
        if others := [name for name in names if name not in OWN_OPTIONS]:
            raise UserError(
                f"{others[0]}: without corpus=..., a run is tested on its own test split, for "
                f"which only {', '.join(OWN_OPTIONS)} can be given"
            )
        self._given = dict(zip(names, map(value_of, overrides), strict=True))
        self._read: dict[str, tuple[Corpus, Target]] = {}

    def __call__(self, recogniser: Recogniser) -> EvaluationCorpus:
        """Return the test split of a run.

        Raises:
            UserError: Its corpus cannot be read, has changed, or does not give the run's scores.
        """
        cfg = recogniser.folder.require_config()
        for name, value in self._given.items():
            OmegaConf.update(cfg, name, int(value) if name == "store.workers" else value)
        _require_corpus(cfg, recogniser)
        key = OmegaConf.to_yaml(OmegaConf.create([cfg.corpus, cfg.target]))
        if key not in self._read:
            self._read[key] = labelled_corpus(cfg)
        own = EvaluationCorpus.own_test(recogniser, cfg, *self._read[key])
        _require_own_scores(recogniser, own)
        return own


def measure_robustness(
    run: Path,
    recognisers: Iterable[Recogniser],
    speech: Speech,
    conditions: Sequence[Condition],
) -> list[dict[str, Any]]:
    """Test runs of one target under each condition, and print a table.

    Args:
        run: Folder that the runs are in.
        recognisers: The runs.
        speech: What they are tested on.
        conditions: Corruptions.

    Returns:
        The evaluations of the last run, the clean one first.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in (CLEAN, *_names(conditions))}
    first = None
    for recogniser in recognisers:
        first = first or recogniser
        first.require_same_classes(recogniser)
        corpus = speech(recogniser)
        clean = recogniser.result if corpus.is_own else score(recogniser, corpus)
        rows[CLEAN].append(clean)
        for condition in conditions:
            rows[condition.name].append(score(recogniser, corpus, condition))
    print_robustness(run, rows)
    return [evaluations[-1] for evaluations in rows.values()]


def _names(conditions: Sequence[Condition]) -> list[str]:
    return [condition.name for condition in conditions]


def _require_corpus(cfg: DictConfig, recogniser: Recogniser) -> None:
    """Raise a UserError unless the corpus exists: a stored configuration creates none."""
    root = cfg.corpus.get("root")
    if root is None or not Path(root).expanduser().exists():
        raise UserError(
            f"{recogniser.folder.path}: its corpus is not at {root}; give corpus.root=..."
        )


def _require_own_scores(recogniser: Recogniser, own: EvaluationCorpus) -> None:
    """Raise a UserError unless the test split, not corrupted, gives the predictions of the run."""
    features = own.features(recogniser)
    predicted = recogniser.folder.read_predictions().query("part == 'test'")
    ids = own.target.labels.index
    lacking = ids.difference(features.utterances)
    difference = np.inf
    if lacking.empty:
        speakers = own.corpus.table["speaker"]
        rows, _ = predict_utterances(recogniser, features, ids, speakers)
        difference = _difference(recogniser, ids, rows, predicted)
    if not difference <= TOLERANCE:
        raise UserError(
            f"{recogniser.folder.path}: the test split does not give the predictions of the run, "
            "because audio, libraries or speakers of its corpus have changed; train the run again"
        )


def _difference(
    recogniser: Recogniser, ids: pd.Index, rows: np.ndarray, predicted: pd.DataFrame
) -> float:
    """Return the largest difference of predictions (N, width) from those in a table."""
    differences = []
    for task, own in recogniser.kind.split(rows):
        table = rows_of(predicted, recogniser.kind, task)
        known = own[ids.get_indexer(pd.Index(table["utterance"]))]
        differences.append(np.abs(known - task.stored(table)).max(initial=0.0))
    return float(max(differences))
