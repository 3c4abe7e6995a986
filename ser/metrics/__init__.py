"""Definitions of all scores: of classes, on confusion matrices; of values, on moments."""

from ser.metrics.classes import (
    BINS,
    confusion_matrix,
    expected_calibration_error,
    macro_f1,
    recalls,
    reliability,
    scores,
    unweighted_accuracy,
    weighted_accuracy,
)
from ser.metrics.values import MOMENTS, ccc, mae, moments, pearson, rmse, value_scores

__all__ = [
    "BINS",
    "MOMENTS",
    "ccc",
    "confusion_matrix",
    "expected_calibration_error",
    "macro_f1",
    "mae",
    "moments",
    "pearson",
    "recalls",
    "reliability",
    "rmse",
    "scores",
    "unweighted_accuracy",
    "value_scores",
    "weighted_accuracy",
]
