"""The model of a finished run, handed features or codes as it was in its own test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ser.data.batches import EVALUATED, UNLABELLED, Batches, FrameBatches, Rows, SegmentBatches
from ser.data.datamodule import SCORED
from ser.data.segments import Segments
from ser.data.standardise import Standardiser
from ser.training.phased import PhasedModel
from ser.training.trainer import of_batches

if TYPE_CHECKING:  # a network need not wait for scikit-learn
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class OfNetwork:
    """A network and what it is handed features by, as `DataModule` does for its run.

    Attributes:
        model: in evaluation mode.
        standardiser: of what it sees: features, their frames, or codes.
        max_frames: longest stretch that it sees of an utterance.
        batch_size: as in training.
        cut: makes the segments that it sees one by one; None: it does not.
    """

    model: PhasedModel
    standardiser: Standardiser
    max_frames: int
    batch_size: int
    cut: Callable[..., Segments] | None

    def __call__(self, values: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
        rows = Rows(values, self.standardiser, at_once=True)
        count = len(values) if offsets is None else len(offsets) - 1
        numbers, y = torch.arange(count), torch.full((count,), UNLABELLED)
        if offsets is None:
            batches = Batches(rows, numbers, y, batch_size=EVALUATED, seed=None)
        elif self.cut is not None:
            segments = self.cut(values, offsets, numbers.numpy(), False)
            batches = SegmentBatches(rows, segments, y, batch_size=SCORED)
        else:
            batches = FrameBatches(
                rows,
                numbers,
                y,
                offsets=torch.from_numpy(offsets),
                max_frames=self.max_frames,
                batch_size=min(EVALUATED, self.batch_size),
                seed=None,
            )
        return of_batches(self.model, batches).numpy()


@dataclass(frozen=True)
class OfEstimator:
    """A scikit-learn classifier, of features or codes (N, K).

    Attributes:
        fitted: behind its standardisation and, mostly, under a temperature.
    """

    fitted: "CalibratedClassifierCV | Pipeline"

    def __call__(self, values: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
        # Imported here: a network need not wait for scikit-learn.
        from ser.models import estimator

        return estimator.probabilities(self.fitted, values)
