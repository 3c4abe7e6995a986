"""Scores of classes, on confusion matrices and on reliability counts.

A confusion matrix is (C, C) counts with a row per true class and a column per predicted class, in
the order of the target's classes. Reliability counts are (BINS, 3): the number, confidence and
accuracy of predictions by confidence. Both can be summed over folds, speakers and seeds.
"""

import numpy as np

BINS = 15  # bins of equal width over the top probability (Guo et al. 2017, section 5)


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count how often each true class is predicted as each class.

    Args:
        truth: (N,) class indices.
        prediction: (N,) class indices.
        classes: C.

    Returns:
        (C, C) int64 counts; rows are true classes.

    Examples:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
        array([[1, 1, 0],
               [0, 1, 0],
               [0, 0, 0]])
    """
    flat = np.asarray(truth, np.int64) * classes + np.asarray(prediction, np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Return the recall of each class; NaN for a class that is absent from the truth.

    Args:
        confusion: (..., C, C) counts; rows are true classes.

    Returns:
        (..., C) recalls.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    support = confusion.sum(axis=-1)
    return np.divide(hits, support, out=np.full(hits.shape, np.nan), where=support > 0)


def unweighted_accuracy(confusion: np.ndarray) -> float:
    """Return UA, also called UAR: the mean recall over the classes that occur in the truth.

    A class that is absent from the truth is left out, not counted as 0.

    Examples:
        >>> unweighted_accuracy(np.array([[3, 1, 0], [0, 1, 0], [0, 0, 0]]))
        0.875
    """
    return float(np.nanmean(recalls(confusion)))


def weighted_accuracy(confusion: np.ndarray) -> float:
    """Return WA, the plain accuracy: the share of correctly predicted utterances."""
    return float(np.trace(confusion) / confusion.sum())


def macro_f1(confusion: np.ndarray) -> float:
    """Return the mean F1, 2 hits / (true + predicted), over the classes that occur in the truth."""
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    present = support > 0
    return float(np.mean(2 * np.diag(confusion)[present] / (support + predicted)[present]))


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Return the summary scores of a confusion matrix and the chance levels.

    Returns:
        `ua`, `wa` and `f1`; `chance_ua`: the chance level of UA, 1 / number of classes in the
        truth; `majority_wa`: the WA of always predicting the largest class, whose UA is
        `chance_ua`.
    """
    support = confusion.sum(axis=1)
    return {
        "ua": unweighted_accuracy(confusion),
        "wa": weighted_accuracy(confusion),
        "f1": macro_f1(confusion),
        "chance_ua": 1.0 / int((support > 0).sum()),
        "majority_wa": float(support.max() / support.sum()),
    }


def reliability(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Count predictions by their confidence.

    Bin b of M = `BINS` contains the confidences in (b / M, (b + 1) / M], as in Guo, Pleiss, Sun,
    Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017, section 2.

    Args:
        confidence: (N,) probabilities of the predicted classes, each the largest of its utterance.
        correct: (N,) bool, whether each prediction is correct.

    Returns:
        (BINS, 3) float64: number of predictions, sum of their confidences, number of correct ones.

    Examples:
        >>> reliability(np.array([0.9, 0.92, 0.5]), np.array([True, False, True]))[13]
        array([2.  , 1.82, 1.  ])
    """
    # Sorted, so that the sums do not depend on the order of the predictions.
    order = np.argsort(confidence, kind="stable")
    ordered = np.asarray(confidence, np.float64)[order]
    bins = np.clip(np.ceil(ordered * BINS).astype(np.int64) - 1, 0, BINS - 1)
    columns = (None, ordered, np.asarray(correct, np.float64)[order])
    return np.stack([np.bincount(bins, each, BINS) for each in columns], axis=1).astype(float)


def expected_calibration_error(reliability: np.ndarray) -> float:
    """Return ECE, the mean difference between confidence and accuracy.

    The sum over bins of (n_b / N) |hits_b / n_b - mean confidence_b|, Guo et al. 2017, equation 3.
    It is biased upwards where utterances are few: in a small bin the accuracy of calibrated
    predictions differs from their confidence by chance.

    Args:
        reliability: (BINS, 3) counts, from `reliability`.

    Returns:
        From 0 (calibrated) to 1; NaN if there are no predictions.

    Examples:
        >>> confidence = np.full(10, 0.9)
        >>> round(expected_calibration_error(reliability(confidence, np.arange(10) < 6)), 3)
        0.3
    """
    count, confidence, hits = reliability.sum(axis=0)[0], reliability[:, 1], reliability[:, 2]
    return float(np.abs(hits - confidence).sum() / count) if count else float("nan")
