"""The classifier of a finished run, applied to features or codes as in the run's own test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ser.data.batches import UNLABELLED, Rows
from ser.data.loaders import make_batches
from ser.data.segments import Segments
from ser.data.standardise import Standardiser
from ser.training.phased import PhasedModel
from ser.training.prediction import batch_predictions

if TYPE_CHECKING:  # a network does not need scikit-learn
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class NetworkClassifier:
    """A network with the standardisation and batches of its training.

    Args:
        model: Network in evaluation mode.
        standardiser: Standardiser of its inputs: features, their frames, or codes.
        max_frames: Longest stretch of an utterance that it sees.
        batch_size: Batch size of the training.
        segments: Partial that cuts frames into the segments that it sees one by one; None: it sees
            whole utterances.
    """

    model: PhasedModel
    standardiser: Standardiser
    max_frames: int
    batch_size: int
    segments: Callable[..., Segments] | None

    def __call__(self, values: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
        """Return class probabilities, (N, C).

        Args:
            values: (N, K) vectors, or (sum of T, K) frames.
            offsets: (N + 1,) where the frames of each utterance begin; None: vectors.
        """
        count = len(values) if offsets is None else len(offsets) - 1
        numbers = np.arange(count)
        segments = None
        if self.segments is not None and offsets is not None:
            segments = self.segments(values, offsets, numbers, False)
        batches = make_batches(
            Rows(values, self.standardiser, eager=True),
            numbers,
            torch.full((count,), UNLABELLED),
            offsets=offsets,
            segments=segments,
            max_frames=self.max_frames,
            batch_size=self.batch_size,
            seed=None,
        )
        return batch_predictions(self.model, batches).numpy()


@dataclass(frozen=True)
class EstimatorClassifier:
    """A scikit-learn classifier of features or codes.

    Args:
        fitted: Classifier behind its standardisation and, in most cases, with a temperature.
    """

    fitted: "CalibratedClassifierCV | Pipeline"

    @property
    def is_calibrated(self) -> bool:
        """Whether it has a temperature."""
        return hasattr(self.fitted, "calibrated_classifiers_")

    def __call__(self, values: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
        """Return class probabilities (N, C) of vectors (N, K)."""
        from ser.models import estimator  # a network does not need scikit-learn

        return estimator.predictions(self.fitted, values)
