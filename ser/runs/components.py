"""What learns in a run, and what it returns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ser.data.segments import Segments
from ser.representations import Representation
from ser.training.trainer import Training


@dataclass(frozen=True)
class Components:
    """What learns in a run, built from its configuration.

    Args:
        trainer: Trainer of networks.
        segments: Partial that cuts frames into segments.
        representation: Representation to be fitted; None: the model sees features.
        model: Partial of a `PhasedModel` or of `Estimator`.
        name: Name of the model.
    """

    trainer: Training
    segments: Callable[..., Segments]
    representation: Representation | None
    model: Callable[..., Any]
    name: str


@dataclass(frozen=True)
class Outcome:
    """Predictions of a fitted model.

    Args:
        predictions: (N, C) class probabilities, or (N, 1) values, by split.
        details: Facts for `result.json`.
    """

    predictions: Mapping[str, np.ndarray]
    details: Mapping[str, Any]
