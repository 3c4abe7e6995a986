"""Nested search: options chosen by folds inside the training part.

The test part is nowhere in here. Whatever is fitted on the way (a scaler, a representation)
is a step of the pipeline, so it is refitted inside each inner fold and never sees the speaker or
session that the fold scores.
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
    """What a search chose.

    Attributes:
        options: the best of the grid; of equals the first.
        score: its mean UA over the inner folds.
        tried: a row for each point of the grid: its options, `ua` and `sd` over inner folds.
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
) -> Choice:
    """Chooses options by leaving one group (speaker, session) out in turn.

    Args:
        pipeline: unfitted; cloned for every inner fold.
        grid: values to try by option, as in scikit-learn (`classifier__C`); grids one after
            another.
        x: (N, D).
        y: (N,) class indices.
        groups: (N,) what an inner fold leaves out.
        jobs: inner fits at a time; changes no result.
    """
    found = GridSearchCV(
        pipeline,
        [dict(each) for each in grid],
        cv=LeaveOneGroupOut(),
        scoring=_ua_scorer,
        n_jobs=jobs,
        refit=False,
        error_score="raise",
    ).fit(x, y, groups=groups)
    tried = pd.DataFrame(found.cv_results_["params"])
    tried["ua"] = found.cv_results_["mean_test_score"]
    tried["sd"] = found.cv_results_["std_test_score"]
    return Choice(found.best_params_, float(found.best_score_), tried)


def _ua_scorer(estimator: BaseEstimator, x: np.ndarray, y: np.ndarray) -> float:
    """UA over the classes that this inner fold has: a speaker may lack some."""
    found = estimator.predict(x)
    # The speaker left out may have a class that no other one has.
    matrix = metrics.confusion_matrix(y, found, int(max(y.max(), found.max())) + 1)
    return metrics.unweighted_accuracy(matrix)
