"""Scores of predicted distributions of classes against those of raters.

A distribution of raters is the share of an utterance's raters that each class has. Divergences are
in nats (natural logarithms).
"""

import numpy as np

from ser.metrics.classes import expected_calibration_error, reliability

# Probabilities may be rounded to 0, with an infinite divergence: the smallest normal float32.
SMALLEST = float(np.finfo(np.float32).tiny)


def kl_divergence(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the Kullback-Leibler divergence KL(truth || prediction) = Σ t log(t / p), in nats.

    Classes without a share of the truth add nothing. It is infinite where the truth has a share in
    a class with predicted probability 0.

    Args:
        truth: (..., C) distributions.
        prediction: (..., C) distributions.

    Returns:
        (...), from 0 (equal) to infinity.

    Examples:
        >>> round(float(kl_divergence(np.array([0.5, 0.5]), np.array([0.9, 0.1]))), 3)
        0.511
    """
    t, p = np.broadcast_arrays(np.asarray(truth, np.float64), np.asarray(prediction, np.float64))
    terms, present = np.zeros(t.shape), t > 0
    with np.errstate(divide="ignore"):
        terms[present] = t[present] * (np.log(t[present]) - np.log(p[present]))
    return np.maximum(terms.sum(axis=-1), 0.0)  # rounding may leave -1e-16


def jensen_shannon_distance(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon distance: the square root of the divergence, in base e.

    The divergence is (KL(t || m) + KL(p || m)) / 2 with m = (t + p) / 2; its root is a metric
    (Endres and Schindelin, *A new metric for probability distributions*, IEEE Transactions on
    Information Theory 49, 2003). Equal to `scipy.spatial.distance.jensenshannon`.

    Args:
        truth: (..., C) distributions.
        prediction: (..., C) distributions.

    Returns:
        (...), from 0 (equal) to √(log 2) = 0.833 (no class in common).

    Examples:
        >>> round(float(jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]))), 3)
        0.833
    """
    middle = (np.asarray(truth, np.float64) + np.asarray(prediction, np.float64)) / 2
    both = kl_divergence(truth, middle) + kl_divergence(prediction, middle)
    return np.sqrt(both / 2)


def distribution_reliability(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Count predictions by confidence, where the share of raters takes the place of correctness.

    A prediction is as correct as the share of raters who chose the predicted class: the expected
    correctness against a rater drawn at random. If all raters agree, these are the counts of
    `reliability`.

    Args:
        truth: (N, C) shares of the raters.
        prediction: (N, C) probabilities.

    Returns:
        (BINS, 3) float64: number of predictions, sum of their confidences, sum of the shares.
    """
    predicted = np.asarray(prediction).argmax(axis=1)[:, None]
    confidence = np.take_along_axis(np.asarray(prediction), predicted, axis=1)[:, 0]
    share = np.take_along_axis(np.asarray(truth), predicted, axis=1)[:, 0]
    return reliability(confidence, share)


def distribution_scores(truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Return the scores of predicted distributions.

    Args:
        truth: (N, C) shares of the raters.
        prediction: (N, C) probabilities.

    Returns:
        `kl`: mean KL(truth || prediction), where probabilities are at least `SMALLEST`;
        `js`: mean Jensen-Shannon distance; `ece_distribution`: the calibration error of
        `distribution_reliability`. All are 0 for equal distributions, and NaN if there are none.
    """
    if not len(truth):
        return dict.fromkeys(("kl", "js", "ece_distribution"), float("nan"))
    return {
        "kl": float(kl_divergence(truth, np.maximum(prediction, SMALLEST)).mean()),
        "js": float(jensen_shannon_distance(truth, prediction).mean()),
        "ece_distribution": expected_calibration_error(distribution_reliability(truth, prediction)),
    }
