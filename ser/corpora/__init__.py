"""A corpus: utterances on disk with speaker, session, style and labels.

One module and one function a corpus: ``ser.corpora.<name>.<name>(root) -> Corpus``.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

# Every column that a table may have, in this order. A column that a corpus lacks is absent.
COLUMNS = (
    "file",  # absolute path of the audio
    "start",  # seconds within `file`; NaN: its beginning
    "end",  # seconds within `file`; NaN: its end
    "speaker",
    "gender",  # "female" or "male"
    "session",
    "dialogue",
    "style",  # e.g. "improvised", "scripted", "acted"
    "text",  # the sentence or script spoken, by a code or its words; missing: unknown
    "emotion",  # a noun in full: "anger", "happiness", "neutral"; missing: raters did not agree
    "valence",
    "activation",
    "dominance",
)
REQUIRED = ("file", "start", "end", "speaker")


@dataclass(frozen=True)
class Problem:
    """Something in a corpus that could not be read, and where.

    Attributes:
        file: the file of labels, or of audio, at fault.
        line: counted from 1; None where the file as a whole is meant.
        reason: what is wrong, and what would be right where that is known.
        kind: "no audio": a label without audio; "no label": audio without a label.
    """

    file: Path
    line: int | None
    reason: str
    kind: Literal["unreadable", "no audio", "no label"] = "unreadable"

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line is not None else str(self.file)
        return f"{where}: {self.reason}"


@dataclass(frozen=True)
class Corpus:
    """Utterances with their labels, as published, nothing selected and nothing dropped.

    Attributes:
        name: as in `corpus=name`.
        table: one row an utterance, indexed by utterance id (`utterance`, unique, sorted), with
            columns out of `COLUMNS`; those of `REQUIRED` are always there.
        raters: one row a rater and utterance (columns `utterance, rater, emotions, valence,
            activation, dominance`; `emotions` a tuple of names), or None.
        problems: what could not be read; a run refuses to start on a corpus that has any,
            unless told to skip.
        synthetic: True for speech made by a machine; every result made on it says so.
    """

    name: str
    table: pd.DataFrame
    raters: pd.DataFrame | None = None
    problems: tuple[Problem, ...] = field(default=())
    synthetic: bool = False
