"""Standardisation with statistics of the training split only, in float64."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ser.results import damaged, require_intact_archive

# Rows that are standardised together, so that memory-mapped features are never read as a whole.
_CHUNK = 4096
FILE = "standardiser.npz"


@dataclass(frozen=True)
class Standardiser:
    """Transform x to clip((x - mean) / scale).

    Attributes:
        mean: (D,) float64.
        scale: (D,) float64, standard deviations; 1 for constant dimensions.
        clip: Largest magnitude of the result, in standard deviations; None: no limit.
    """

    mean: np.ndarray
    scale: np.ndarray
    clip: float | None

    @classmethod
    def fit(cls, values: np.ndarray, rows: np.ndarray, clip: float | None) -> "Standardiser":
        """Compute mean and standard deviation over the given rows of `values`, (N, D).

        openSMILE's values reach 1e13, where sums in float32 and variances in one pass are
        meaningless. So there are two passes in float64.
        """
        mean = _mean(values, rows, lambda block: block)
        variance = _mean(values, rows, lambda block: (block - mean) ** 2)
        scale = np.sqrt(variance)
        # Constant except for rounding errors.
        scale[scale <= 1e-12 * np.maximum(1.0, np.abs(mean))] = 1.0
        return cls(mean, scale, clip)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Standardise (N, D) or (N, T, D) into a new float32 array of the same shape."""
        out = np.empty(values.shape, np.float32)
        for start in range(0, len(values), _CHUNK):
            block = values[start : start + _CHUNK] - self.mean
            block /= self.scale  # in place, because allocation takes longer than the division
            if self.clip is not None:
                block.clip(-self.clip, self.clip, out=block)
            out[start : start + _CHUNK] = block
        return out

    def undo(self, values: np.ndarray) -> np.ndarray:
        """Transform standardised values, (N, D), back to the original scale, float32."""
        return (values * self.scale + self.mean).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `standardiser.npz` into a folder."""
        # inf stands for None, so that the file needs no pickled objects.
        clip = np.inf if self.clip is None else self.clip
        np.savez(folder / FILE, mean=self.mean, scale=self.scale, clip=clip)

    @classmethod
    def load(cls, folder: Path) -> "Standardiser":
        """Read the file that `save` wrote.

        Raises:
            UserError: It is missing or damaged.
        """
        require_intact_archive(folder / FILE)
        try:
            with np.load(folder / FILE, allow_pickle=False) as arrays:
                mean, scale, clip = arrays["mean"], arrays["scale"], float(arrays["clip"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise damaged(folder / FILE, error) from error
        return cls(mean, scale, None if np.isinf(clip) else clip)


def per_speaker(values: np.ndarray, speakers: pd.Series) -> np.ndarray:
    """Standardise the rows of each speaker with the statistics of that speaker.

    This uses all utterances of every speaker, including the unlabelled ones of test speakers. The
    result of a run that uses it is marked as transductive.

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
