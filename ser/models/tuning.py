"""Nested cross-validation: options are chosen by inner folds, without the test split.

Everything that is fitted, e.g. a scaler or a representation, is a step of the pipeline. It is
fitted in each inner fold and never sees the speaker or session that this fold scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut

from ser import metrics


@dataclass(frozen=True)
class Choice:
    """Result of a grid search.

    Attributes:
        options: The best options, the first among equals.
        score: Their mean UA over the inner folds.
        tried: One row per point of the grid: options, mean `ua` and `sd` over the inner folds.
    """

    options: dict[str, Any]
    score: float
    tried: pd.DataFrame


def search(
    pipeline: BaseEstimator,
    grid: Sequence[Mapping[str, Sequence[Any]]],
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    *,
    jobs: int,
    unscored: np.ndarray | None = None,
) -> Choice:
    """Choose options by leave-one-group-out cross-validation.

    Args:
        pipeline: Unfitted pipeline, cloned for every inner fold.
        grid: Grids of values by option, as in scikit-learn (`classifier__C`).
        x: (N, D).
        y: (N,) class indices.
        groups: (N,) groups, e.g. speakers.
        jobs: Number of parallel fits; does not change the result.
        unscored: (N,) bool, items that no inner fold scores; they are left out with their group.
    """
    folds: Any = LeaveOneGroupOut()
    if unscored is not None:
        folds = [(a, b[~unscored[b]]) for a, b in LeaveOneGroupOut().split(x, y, groups)]
    fitted = GridSearchCV(
        pipeline,
        [dict(each) for each in grid],
        cv=folds,
        scoring=_ua_scorer,
        n_jobs=jobs,
        refit=False,
        error_score="raise",
    ).fit(x, y, groups=groups)
    tried = pd.DataFrame(fitted.cv_results_["params"])
    tried["ua"] = fitted.cv_results_["mean_test_score"]
    tried["sd"] = fitted.cv_results_["std_test_score"]
    return Choice(fitted.best_params_, float(fitted.best_score_), tried)


def class_scores(classifier: BaseEstimator, x: np.ndarray) -> np.ndarray:
    """Return decision values of a fitted classifier, (N, C); of two classes, 0 and the value."""
    scores = classifier.decision_function(x)
    return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores


def predicted(classifier: BaseEstimator, x: np.ndarray) -> np.ndarray:
    """Return the class with the largest decision value, (N,), as the test does.

    `predict` of a support vector machine counts votes of pairs of classes, and may differ.
    """
    return classifier.classes_[class_scores(classifier, x).argmax(axis=1)]


def _ua_scorer(classifier: BaseEstimator, x: np.ndarray, y: np.ndarray) -> float:
    """Return UA over the classes of this inner fold; a speaker may lack some."""
    predictions = predicted(classifier, x)
    # The speaker left out may have a class that no other speaker has.
    matrix = metrics.confusion_matrix(y, predictions, int(max(y.max(), predictions.max())) + 1)
    return metrics.unweighted_accuracy(matrix)
