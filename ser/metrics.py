"""The scores of this project, each defined once, on confusion matrices and on reliabilities.

A confusion matrix here is (C, C) of counts, a row for each true class, a column for each predicted
one, in the order of the target's classes. A reliability is (BINS, 3): how sure predictions are,
and how often right. Both add up over folds, speakers and seeds.
"""

import numpy as np

BINS = 15  # of the top probability, of equal width (Guo et al. 2017, section 5)


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Counts how often each true class was predicted as each class.

    Args:
        truth: (N,) class indices.
        prediction: (N,) class indices.
        classes: C.

    Returns:
        (C, C) int64, rows are the truth.

    Examples:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
        array([[1, 1, 0],
               [0, 1, 0],
               [0, 0, 0]])
    """
    flat = np.asarray(truth, np.int64) * classes + np.asarray(prediction, np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Recall of each class; NaN for a class that is absent from the truth.

    Args:
        confusion: (..., C, C), rows are the truth.

    Returns:
        (..., C)
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    support = confusion.sum(axis=-1)
    return np.divide(hits, support, out=np.full(hits.shape, np.nan), where=support > 0)


def unweighted_accuracy(confusion: np.ndarray) -> float:
    """UA, also called UAR: the mean of the recalls of the classes that the truth has.

    A class absent from the truth is left out, never counted as 0.

    Examples:
        >>> unweighted_accuracy(np.array([[3, 1, 0], [0, 1, 0], [0, 0, 0]]))
        0.875
    """
    return float(np.nanmean(recalls(confusion)))


def weighted_accuracy(confusion: np.ndarray) -> float:
    """WA: the share of utterances predicted right, plain accuracy."""
    return float(np.trace(confusion) / confusion.sum())


def macro_f1(confusion: np.ndarray) -> float:
    """The mean F1 of the classes that the truth has; F1 = 2 hits / (true + predicted)."""
    support, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    present = support > 0
    return float(np.mean(2 * np.diag(confusion)[present] / (support + predicted)[present]))


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Every summary score of a confusion matrix, with what guessing would get.

    Returns:
        `ua`, `wa`, `f1`; `chance_ua`: UA of guessing, 1 / classes in the truth; `majority_wa`: WA
        of always naming the largest class (whose UA is `chance_ua`).
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
    """Counts predictions by how sure they were.

    Bin b of M = `BINS` has confidences in (b / M, (b + 1) / M], as in Guo, Pleiss, Sun, Weinberger,
    *On Calibration of Modern Neural Networks*, ICML 2017, section 2.

    Args:
        confidence: (N,) probabilities of the predicted classes, each the largest of its utterance.
        correct: (N,) bool, whether the prediction is right.

    Returns:
        (BINS, 3) float64: how many, the sum of their confidences, how many of them are right.

    Examples:
        >>> reliability(np.array([0.9, 0.92, 0.5]), np.array([True, False, True]))[13]
        array([2.  , 1.82, 1.  ])
    """
    order = np.argsort(confidence, kind="stable")  # sums are then the same in whatever order
    sure = np.asarray(confidence, np.float64)[order]
    bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    columns = (None, sure, np.asarray(correct, np.float64)[order])
    return np.stack([np.bincount(bins, each, BINS) for each in columns], axis=1).astype(float)


def expected_calibration_error(reliability: np.ndarray) -> float:
    """ECE: how far confidence is from the share that is right, mean over utterances.

    sum over bins of (n_b / N) |hits_b / n_b - mean confidence_b|, Guo et al. 2017, equation 3. Few
    utterances raise it: even of calibrated predictions a bin's share differs from its confidence.

    Args:
        reliability: (BINS, 3), from `reliability`.

    Returns:
        From 0, calibrated, to 1; NaN of no predictions.

    Examples:
        >>> sure = np.full(10, 0.9)
        >>> round(expected_calibration_error(reliability(sure, np.arange(10) < 6)), 3)
        0.3
    """
    count, confidence, hits = reliability.sum(axis=0)[0], reliability[:, 1], reliability[:, 2]
    return float(np.abs(hits - confidence).sum() / count) if count else float("nan")
