"""The scores of this project, each defined once, on confusion matrices.

A confusion matrix here is (C, C) of counts, a row for each true class, a column for each predicted
one, in the order of the target's classes.
"""

import numpy as np


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
    """Recall of each class, (C,); NaN for a class that is absent from the truth."""
    support = confusion.sum(axis=1)
    return np.divide(
        np.diag(confusion), support, out=np.full(len(confusion), np.nan), where=support > 0
    )


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
