"""Standardisation: statistics from the training part alone, in float64."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

# Rows standardised at a time, so that memory-mapped features never come into memory whole.
_CHUNK = 4096
FILE = "standardiser.npz"


@dataclass(frozen=True)
class Standardiser:
    """x -> clip((x - mean) / scale).

    Attributes:
        mean: (D,) float64.
        scale: (D,) float64, standard deviations; 1 where a dimension does not vary.
        clip: largest magnitude let through, in standard deviations; None: no limit.
    """

    mean: np.ndarray
    scale: np.ndarray
    clip: float | None

    @classmethod
    def fit(cls, values: np.ndarray, rows: np.ndarray, clip: float | None) -> "Standardiser":
        """Takes mean and standard deviation over the given rows of `values`, (N, D).

        openSMILE's values reach 1e13, where float32 sums and one-pass variances are meaningless:
        two passes in float64.
        """
        mean = _mean(values, rows, lambda block: block)
        variance = _mean(values, rows, lambda block: (block - mean) ** 2)
        scale = np.sqrt(variance)
        # A dimension that is constant but for rounding is constant.
        scale[scale <= 1e-12 * np.maximum(1.0, np.abs(mean))] = 1.0
        return cls(mean, scale, clip)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Standardises (N, D) or (N, T, D) into a new float32 array of the same shape."""
        out = np.empty(values.shape, np.float32)
        for start in range(0, len(values), _CHUNK):
            block = values[start : start + _CHUNK] - self.mean
            block /= self.scale  # in place: new memory takes longer than the division
            if self.clip is not None:
                block.clip(-self.clip, self.clip, out=block)
            out[start : start + _CHUNK] = block
        return out

    def undo(self, values: np.ndarray) -> np.ndarray:
        """Standardised (N, D) -> features at their own scale, float32."""
        return (values * self.scale + self.mean).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes `standardiser.npz` into a folder."""
        # No limit is infinitely far, so that the file needs no objects.
        clip = np.inf if self.clip is None else self.clip
        np.savez(folder / FILE, mean=self.mean, scale=self.scale, clip=clip)

    @classmethod
    def load(cls, folder: Path) -> "Standardiser":
        """What `save` wrote."""
        with np.load(folder / FILE, allow_pickle=False) as found:
            clip = float(found["clip"])
            return cls(found["mean"], found["scale"], None if np.isinf(clip) else clip)


def per_speaker(values: np.ndarray, speakers: pd.Series) -> np.ndarray:
    """Standardises each speaker's rows of `values`, (N, D), by their own statistics.

    Uses all utterances of every speaker, a test speaker's unlabelled ones too; a result made so
    is marked as transductive.

    Args:
        values: (N, D).
        speakers: N speakers, in the order of the rows.
    """
    out = np.empty(values.shape, np.float32)
    for rows in speakers.groupby(speakers.to_numpy()).indices.values():
        rows = np.asarray(rows)
        out[rows] = Standardiser.fit(values, rows, clip=None)(values[rows])
    return out


def _mean(values: np.ndarray, rows: np.ndarray, function) -> np.ndarray:
    total = np.zeros(values.shape[1], np.float64)
    for start in range(0, len(rows), _CHUNK):
        total += function(values[rows[start : start + _CHUNK]].astype(np.float64)).sum(axis=0)
    return total / len(rows)
