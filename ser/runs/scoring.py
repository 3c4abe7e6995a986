"""Predictions and scores of a run, of one task or of several, and the agreement of raters."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from ser.data.folds import Fold
from ser.data.raters import agreement
from ser.data.targets import Target
from ser.results import predictions, split_scores, task_predictions, task_scores

log = logging.getLogger(__name__)


def predictions_of(
    split: str, target: Target, ids: pd.Index, predicted: np.ndarray
) -> pd.DataFrame:
    """Return the rows of `predictions.csv` for one split, (N, W) predictions of N utterances."""
    if not target.tasks:
        return predictions(split, target.truth.loc[ids], predicted, target.classes, target.shares)
    truth = {task.name: task.truth for task in target.tasks}
    shares = {task.name: task.shares for task in target.tasks}
    return task_predictions(split, ids, truth, predicted, classes_by_task(target), shares)


def warn_of_impossible_values(table: pd.DataFrame, target: Target) -> None:
    """Log predicted values that are further from all ratings than these are from each other.

    One of them can make the CCC of a run 0. Linear models of scikit-learn extrapolate from an
    extreme feature.

    Args:
        table: Rows of `predictions.csv`.
        target: Target of the run.
    """
    for task in target.tasks or (target,):
        if not task.is_value:
            continue
        low, high = task.labels.min(), task.labels.max()
        rows = table if not target.tasks else table[table["task"] == task.name]
        values = rows.set_index("utterance")["prediction"].astype(float)
        beyond = values[(values < 2 * low - high) | (values > 2 * high - low)]
        if beyond.empty:
            continue
        worst = str(beyond.abs().idxmax())
        log.warning(
            "%d of %d values of %s cannot be: %s is predicted as %.4g, ratings are %.4g to %.4g. "
            "Its features are extreme; networks clip them (data.clip), models of scikit-learn do "
            "not",
            *(len(beyond), len(values), task.name, worst, beyond[worst], low, high),
        )


def scores_of(table: pd.DataFrame, split: str, target: Target) -> dict[str, Any] | None:
    """Return the scores of one split, see `split_scores` and `task_scores`."""
    if target.tasks:
        return task_scores(table, split, classes_by_task(target))
    return split_scores(table, split, target.classes)


def classes_by_task(target: Target) -> dict[str, list[str]]:
    """Return the classes of each task; none: a value."""
    return {task.name: list(task.classes) for task in target.tasks}


def test_sets(fold: Fold, table: pd.DataFrame, target: Target) -> dict[str, Any]:
    """Return the scores of each test set under the key of `result.json`, if there are several."""
    if not fold.test_sets:
        return {}
    tested = {name: table[table["utterance"].isin(ids)] for name, ids in fold.test_sets.items()}
    return {"test_sets": {name: scores_of(each, "test", target) for name, each in tested.items()}}


def agreement_of(target: Target, fold: Fold) -> dict[str, Any] | None:
    """Return how well raters agree on the utterances of a target, and on those of the test split.

    Returns:
        The result of `agreement`, with that of the test split under `test`, unless it is empty; of
        several tasks, {"tasks": results by name}. None: there are no ratings.
    """
    if target.tasks:
        each = {task.name: agreement_of(task, fold) for task in target.tasks}
        known = {name: of_task for name, of_task in each.items() if of_task is not None}
        return {"tasks": known} if known else None
    if target.ratings is None:
        return None
    whole = agreement(target.ratings.of(target.labels.index))
    if fold.test.empty:
        return whole
    return {**whole, "test": agreement(target.ratings.of(fold.test))}
