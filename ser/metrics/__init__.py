"""Definitions of all scores.

Of classes, on confusion matrices; of values, on moments; of distributions of raters; and the
agreement of raters.
"""

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
from ser.metrics.distributions import (
    SMALLEST,
    distribution_reliability,
    distribution_scores,
    jensen_shannon_distance,
    kl_divergence,
)
from ser.metrics.raters import (
    is_panel,
    krippendorff_alpha,
    leave_one_out_ccc,
    leave_one_out_ua,
    majority,
    others,
)
from ser.metrics.values import MOMENTS, ccc, mae, moments, pearson, rmse, value_scores

__all__ = [
    "BINS",
    "MOMENTS",
    "SMALLEST",
    "ccc",
    "confusion_matrix",
    "distribution_reliability",
    "distribution_scores",
    "expected_calibration_error",
    "is_panel",
    "jensen_shannon_distance",
    "kl_divergence",
    "krippendorff_alpha",
    "leave_one_out_ccc",
    "leave_one_out_ua",
    "macro_f1",
    "mae",
    "majority",
    "moments",
    "others",
    "pearson",
    "recalls",
    "reliability",
    "rmse",
    "scores",
    "unweighted_accuracy",
    "value_scores",
    "weighted_accuracy",
]
