"""Scores of values, on moments: sums from which every score of a regression follows.

Moments are (..., 7) sums over N pairs of true values t and predictions p: N, Σt, Σp, Σt², Σp², Σtp
and Σ|t - p|. As confusion matrices do, they add up over folds, speakers and seeds.
"""

import numpy as np

MOMENTS = 7


def moments(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the moments of some predictions.

    Args:
        truth: (N,) values.
        prediction: (N,) values.

    Returns:
        (7,) float64.

    Examples:
        >>> moments(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
        array([ 2.,  3.,  5.,  5., 17.,  9.,  2.])
    """
    t, p = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
    sums = (t, p, t * t, p * p, t * p, np.abs(t - p))
    return np.array([len(t), *(each.sum() for each in sums)], np.float64)


def ccc(moments: np.ndarray) -> np.ndarray:
    """Return the concordance correlation coefficient, 2 cov(t, p) / (var t + var p + (t̄ - p̄)²).

    Lin, *A concordance correlation coefficient to evaluate reproducibility*, Biometrics 45 (1989),
    with variances that divide by N. It is 0 if the predictions are constant, and NaN if all true
    and predicted values are equal to one another, or if there are none.

    Args:
        moments: (..., 7).

    Returns:
        (...), from -1 to 1.

    Examples:
        >>> truth = np.array([1.0, 2.0, 3.0])
        >>> float(ccc(moments(truth, truth)))
        1.0
        >>> round(float(ccc(moments(truth, truth + 1))), 3)  # the mean is shifted
        0.571
    """
    difference, truth, prediction, both = _variances(moments)
    return _ratio(2 * both, truth + prediction + difference**2)


def pearson(moments: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation coefficient; NaN if truth or prediction is constant.

    Args:
        moments: (..., 7).

    Returns:
        (...), from -1 to 1.
    """
    _, truth, prediction, both = _variances(moments)
    return _ratio(both, np.sqrt(truth * prediction))


def rmse(moments: np.ndarray) -> np.ndarray:
    """Return the root of the mean squared error, (...); NaN if there are no predictions."""
    difference, truth, prediction, both = _variances(moments)
    return np.sqrt(np.maximum(truth + prediction - 2 * both, 0.0) + difference**2)


def mae(moments: np.ndarray) -> np.ndarray:
    """Return the mean absolute error, (...); NaN if there are no predictions."""
    moments = np.asarray(moments)
    return _ratio(moments[..., 6], moments[..., 0])


def value_scores(moments: np.ndarray) -> dict[str, float]:
    """Return all scores of the moments (7,) of some predictions: `ccc`, `pearson`, ... ."""
    return {
        "ccc": float(ccc(moments)),
        "pearson": float(pearson(moments)),
        "rmse": float(rmse(moments)),
        "mae": float(mae(moments)),
    }


def _variances(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the difference of the means, the variances of truth and prediction, the covariance."""
    moments = np.asarray(moments, np.float64)
    count = moments[..., :1]
    means = np.divide(moments, count, out=np.full(moments.shape, np.nan), where=count > 0)
    _, t, p, tt, pp, tp, _ = np.moveaxis(means, -1, 0)
    # Rounding leaves some 1e-16 of the squares where a value is constant.
    truth, prediction = _positive(tt - t * t, tt), _positive(pp - p * p, pp)
    both = np.where((truth > 0) & (prediction > 0), tp - t * p, 0.0 * truth * prediction)
    return t - p, truth, prediction, both


def _positive(variance: np.ndarray, square: np.ndarray) -> np.ndarray:
    return np.where(variance > 1e-12 * square, variance, 0.0 * variance)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    out = np.full(np.shape(numerator), np.nan)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)
