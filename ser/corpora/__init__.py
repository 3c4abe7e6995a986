"""Corpora: utterances on disk with speaker, session, style and labels.

Each corpus has one module with one function: ``ser.corpora.<name>.<name>(root) -> Corpus``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

# All columns that a table can have, in this order. A column that a corpus lacks is absent.
COLUMNS = (
    "corpus",  # of joined corpora: the one that an utterance comes from
    "split",  # as published, e.g. "train", "development", "test1"
    "file",  # absolute path of the audio
    "start",  # seconds from the beginning of `file`; NaN: its beginning
    "end",  # seconds from the beginning of `file`; NaN: its end
    "speaker",
    "gender",  # "female" or "male"
    "age",  # of the speaker, in years
    "language",  # ISO 639-1, e.g. "da", "en"
    "session",
    "dialogue",
    "style",  # e.g. "improvised", "scripted", "acted"
    "text",  # a code or the words of the spoken sentence or script; missing: unknown
    "emotion",  # a full noun: "anger", "happiness", "neutral"; missing: raters did not agree
    "valence",
    "activation",
    "dominance",
)
REQUIRED = ("file", "start", "end", "speaker")


@dataclass(frozen=True)
class Problem:
    """Something in a corpus that could not be read, and its place.

    Attributes:
        file: The file of labels or audio.
        line: Counted from 1; None: the whole file.
        reason: What is wrong, and what would be right where that is known.
        kind: "no audio": a label without audio; "no label": audio without a label.
    """

    file: Path
    line: int | None
    reason: str
    kind: Literal["unreadable", "no audio", "no label"] = "unreadable"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{place}: {self.reason}"


@dataclass(frozen=True)
class Corpus:
    """All utterances of a corpus with their labels as published.

    Attributes:
        name: As in `corpus=name`.
        table: One row per utterance, indexed by utterance id (`utterance`, unique, sorted). The
            columns are a subset of `COLUMNS` and include `REQUIRED`.
        raters: One row per rater and utterance (columns `utterance, rater, emotions, valence,
            activation, dominance`; `emotions` is a tuple of names); None: no single ratings exist.
        problems: What could not be read. A run does not start on a corpus with problems unless
            `skip_faulty` is set.
        synthetic: True for synthetic speech; every result on it is marked as such.
        notes: How a table of somebody's own was understood, for its author; see `manifest`.
    """

    name: str
    table: pd.DataFrame
    raters: pd.DataFrame | None = None
    problems: tuple[Problem, ...] = field(default=())
    synthetic: bool = False
    notes: tuple[str, ...] = ()
