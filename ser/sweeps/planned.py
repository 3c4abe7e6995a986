"""A run of a grid, finished or not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PlannedRun:
    """A run of a grid, finished or not.

    Attributes:
        folder: Folder of the run.
        system: Name that all runs of one row of a table share: the experiment or the model, and
            the other options that vary, e.g. "utterance_aae" or "svm features=is10".
        choices: Choice of each config group, e.g. {"corpus": "emodb"}.
        fold: Index of the fold.
        seed: Random seed.
        paper: Key, published scores and averaging of the experiment's paper; None: no paper.
        overrides: Overrides with which `train.py` trains the run.
        variant: Digest of all that can change the result, except corpus, target, fold and seed.
        varied: Options in the name of the system, e.g. {"representation.size": "128"}.
        tested_on: Corpus of an evaluation of the run; None: its own corpus.
    """

    folder: Path
    system: str
    choices: Mapping[str, str]
    fold: int
    seed: int
    paper: Mapping[str, Any] | None
    overrides: tuple[str, ...]
    variant: str
    varied: Mapping[str, str] = field(default_factory=dict)
    tested_on: str | None = None

    @property
    def corpus(self) -> str:
        """The corpora of training and test, e.g. "emodb" or "emodb to ravdess"."""
        own = self.choices["corpus"]
        return own if self.tested_on is None else f"{own} to {self.tested_on}"

    @property
    def cell(self) -> tuple[str, str, str]:
        """The cell of a table that the run belongs to: system, corpus, target."""
        return self.system, self.corpus, self.choices["target"]
