"""How far recordings are from the training data, by the range of each feature in it.

The measure was chosen on EMO-DB (10 folds; ComParE functionals and descriptors, eGeMAPS) over root
mean squares, distances in PCA subspaces and nearest neighbours. At an equal share of flagged test
speakers it flags the most of EmoTale, telephone bands and reverberation. It compares values only,
so that openSMILE's extremes, which reach 1e13, count no more than others.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from ser.data.datamodule import DataModule
from ser.results import RunFolder, damaged, require_intact_archive, write_bytes

FILE = "training_range.npz"
COVERED = 0.995  # share of the training split that is within the range of a feature
FLAGGED = 0.05  # largest share of recordings like those of validation that is flagged
# Features whose quantiles are computed together, so that memory-mapped features are never copied
# as a whole.
_COLUMNS = 512


@dataclass(frozen=True)
class TrainingRange:
    """The range of each feature in the training split, and a threshold chosen on validation.

    The distance of a recording is the share of its features that are outside their range, divided
    by the threshold. A recording with a distance above 1 is unlike the training data.

    Attributes:
        low: (K,) float32.
        high: (K,) float32.
        threshold: Share of the features.
    """

    low: np.ndarray
    high: np.ndarray
    threshold: float

    @classmethod
    def fit(cls, data: DataModule) -> "TrainingRange":
        """Measure the features of the training split. Those of the test split are not read.

        The threshold is the smallest share of features outside their range that at most `FLAGGED`
        of the recordings exceed which are exchangeable with the n of validation: the
        ceil((1 - `FLAGGED`)(n + 1))-th smallest of these, or the largest for n < 19. Without
        validation, the training split takes its place.

        Args:
            data: Features of the fold, before any representation.
        """
        values, rows = _vectors(data, data.fold.training)
        quantiles = [(1 - COVERED) / 2, (1 + COVERED) / 2]
        blocks = [
            np.quantile(values[rows, start : start + _COLUMNS], quantiles, axis=0)
            for start in range(0, values.shape[1], _COLUMNS)
        ]
        low, high = np.concatenate(blocks, axis=1).astype(np.float32)
        if len(data.fold.val):
            values, rows = _vectors(data, data.fold.val)
        shares = np.sort(_shares_outside(values[rows], low, high))
        rank = min(len(shares), math.ceil((1 - FLAGGED) * (len(shares) + 1)))
        # At least one feature, because no distance is measured in units of 0.
        return cls(low, high, max(float(shares[rank - 1]), 1 / len(low)))

    def distances(self, values: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
        """Return the distances of N utterances, (N,).

        Args:
            values: (N, D) features, or (sum of T, F) frames.
            offsets: (N + 1,) where the frames of each utterance begin; None: vectors.
        """
        if offsets is not None:
            values = _frame_statistics(values[slice(*bounds)] for bounds in pairwise(offsets))
        return _shares_outside(values, self.low, self.high) / self.threshold

    def content(self) -> bytes:
        """Return the content of `training_range.npz`."""
        buffer = io.BytesIO()
        np.savez(buffer, low=self.low, high=self.high, threshold=self.threshold)
        return buffer.getvalue()

    def save(self, folder: RunFolder) -> None:
        """Write `training_range.npz` to the checkpoints of a run."""
        write_bytes(folder.checkpoints / FILE, self.content())

    @classmethod
    def load(cls, folder: RunFolder) -> "TrainingRange | None":
        """Read what `save` wrote; None: the run was made before this file was.

        Raises:
            UserError: The file is damaged.
        """
        file = folder.checkpoints / FILE
        if not file.exists():
            return None
        require_intact_archive(file)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                return cls(arrays["low"], arrays["high"], float(arrays["threshold"]))
        except (ValueError, KeyError, EOFError, TypeError) as error:
            raise damaged(file, error) from error


def _vectors(data: DataModule, ids: pd.Index) -> tuple[np.ndarray, np.ndarray]:
    """Return an array with a vector per utterance, and the rows of some utterances in it."""
    numbers, offsets = data.features.utterances.get_indexer(ids), data.features.offsets
    if offsets is None:
        return data.values, numbers
    frames = (data.values[offsets[n] : offsets[n + 1]] for n in numbers)
    return _frame_statistics(frames), np.arange(len(ids))


def _frame_statistics(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Return mean and standard deviation of each column, (N, 2F), for N utterances (T, F)."""
    # In float64, because openSMILE's values reach 1e13.
    moments = [(f.mean(axis=0, dtype=float), f.std(axis=0, dtype=float)) for f in frames]
    return np.array(moments, np.float32).reshape(len(moments), -1)


def _shares_outside(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the share of the K features of each vector (N, K) that is outside its range, (N,)."""
    return ((values < low) | (values > high)).mean(axis=1)
