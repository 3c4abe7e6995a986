"""What extractors make of audio, and the store that keeps it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd

Level = Literal["utterance", "frame", "segment"]


class Listener(Protocol):
    """Makes one array of one utterance's signal: the usual extractor.

    Attributes:
        level: "utterance" gives (D,), "frame" gives (T, D).
        dim: D.
        columns: D names.
        signature: changes whenever the numbers could: library version, set, parameters.
    """

    @property
    def level(self) -> Level: ...
    @property
    def dim(self) -> int: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def signature(self) -> str: ...

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray: ...


class Reader(ABC):
    """Reads what another program made of each audio file: an extractor that hears nothing.

    The store keeps it under the content of the file that is read, not of the audio.

    Attributes:
        level, dim, columns, signature: as a listener's.
    """

    level: Level
    dim: int

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]: ...
    @property
    @abstractmethod
    def signature(self) -> str: ...

    @abstractmethod
    def source(self, file: Path) -> Path:
        """The file that holds the features of an audio file; UserError: there is none."""

    @abstractmethod
    def read(self, source: Path, start: float, end: float) -> np.ndarray:
        """Features out of such a file, (T, D) float32.

        Args:
            source: as `source` gives it.
            start: seconds; NaN: the audio's beginning.
            end: seconds; NaN: the audio's end.

        Raises:
            UserError: it cannot be read, or lacks columns or frames.
        """


Extractor = Listener | Reader


@dataclass(frozen=True)
class Features:
    """The features of many utterances, held compactly.

    Attributes:
        utterances: N utterance ids, in the order of the rows.
        values: (N, D) at utterance level; (sum of T, D) at frame level, the utterances one after
            another. float32, in memory or memory-mapped read-only.
        offsets: (N + 1,) int64 at frame level: utterance i owns values[offsets[i]:offsets[i + 1]];
            None at utterance level.
        columns: D names.
        level: as the extractor's.
    """

    utterances: pd.Index
    values: np.ndarray
    offsets: np.ndarray | None
    columns: tuple[str, ...]
    level: Level

    @property
    def mapped(self) -> bool:
        """Whether the values lie in a file and come into memory as they are read."""
        return isinstance(self.values, np.memmap) or isinstance(self.values.base, np.memmap)
