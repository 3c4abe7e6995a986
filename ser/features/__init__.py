"""What extractors make of audio, and the store that keeps it."""

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pandas as pd

Level = Literal["utterance", "frame", "segment"]


class Extractor(Protocol):
    """Makes one array of one utterance's signal.

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
