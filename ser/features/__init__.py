"""Feature extractors, and the store that caches their output."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pandas as pd

Level = Literal["utterance", "frame", "segment"]


class Extractor(Protocol):
    """Compute features of one utterance from its signal.

    Attributes:
        level: "utterance" returns (D,), "frame" returns (T, D).
        dim: D.
        columns: D names.
        signature: identifies the values: library version, feature set, parameters. It changes
            whenever the values could change.
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
class Location:
    """Where precomputed features of an utterance are.

    Attributes:
        file: File with the features.
        entry: Name of the features in a file of many utterances; None: all of the file.
        is_recording: Whether the features are of the whole audio file, of which the utterance is
            the part from its start to its end.
    """

    file: Path
    entry: str | None = None
    is_recording: bool = True


class PrecomputedFeatures(ABC):
    """Features that another program has written, in one file per utterance or one of many.

    The store keeps them by the content of that file, not by the content of the audio.

    Attributes:
        level, dim, columns, signature: as in `Extractor`.
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
    def locate(self, utterance: str, audio: Path) -> Location:
        """Return where the features of an utterance are.

        Args:
            utterance: Its id.
            audio: Its audio file.

        Raises:
            UserError: There are none.
        """

    @abstractmethod
    def read(self, file: Path, start: float, end: float, entry: str | None = None) -> np.ndarray:
        """Read features, (T, D) float32.

        Args:
            file, entry: As `locate` returned them.
            start: Seconds; NaN: the beginning of the audio.
            end: Seconds; NaN: the end of the audio.

        Raises:
            UserError: The file cannot be read, or columns or frames are missing.
        """


FeatureSource = Extractor | PrecomputedFeatures


def stored(source: FeatureSource) -> FeatureSource:
    """Return the source whose output the store keeps.

    It is the source itself, or its attribute `stored`, of which it has some columns:
    `stored_columns`.
    """
    return getattr(source, "stored", source)


def number_type(source: FeatureSource) -> np.dtype:
    """Return the type of the numbers that the store keeps of a source: float32 or float16."""
    return np.dtype(getattr(stored(source), "number_type", "<f4"))


@dataclass(frozen=True)
class Features:
    """The features of many utterances in one array.

    Attributes:
        utterances: N utterance ids, in the order of the rows.
        values: float32, in memory or memory-mapped read-only: (N, D) at utterance level; at frame
            level (sum of T, D), all frames of an utterance together. Mapped frames of a pretrained
            encoder are float16.
        offsets: (N + 1,) int64 at frame level: utterance i owns values[offsets[i]:offsets[i + 1]];
            None at utterance level.
        columns: D names.
        level: as in `Extractor`.
        layers: Layers of a pretrained encoder, each of which has an equal block of columns; empty:
            other features.
    """

    utterances: pd.Index
    values: np.ndarray
    offsets: np.ndarray | None
    columns: tuple[str, ...]
    level: Level
    layers: tuple[int, ...] = ()

    @property
    def mapped(self) -> bool:
        """Whether the values are memory-mapped from a file."""
        return isinstance(self.values, np.memmap) or isinstance(self.values.base, np.memmap)

    def of_layer(self, layer: int) -> "Features":
        """Return the features of one of the layers of a pretrained encoder."""
        width = len(self.columns) // len(self.layers)
        start = self.layers.index(layer) * width
        block = slice(start, start + width)
        values = np.ascontiguousarray(self.values[:, block])
        return replace(self, values=values, columns=self.columns[block], layers=(layer,))
