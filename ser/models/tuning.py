"""Nested cross-validation: options are chosen by inner folds, without the test split.

Everything that is fitted, e.g. a scaler or a representation, is a step of the pipeline. It is
fitted in each inner fold and never sees the speaker or session that this fold scores.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone, is_regressor
from sklearn.model_selection import LeaveOneGroupOut, ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.utils.parallel import Parallel, delayed

from ser import metrics
from ser.models.gram import Gram, fit_shared
from ser.models.pipelines import Inputs, fit_steps, fit_weighted_steps, transform


@dataclass(frozen=True)
class Choice:
    """Result of a grid search.

    Attributes:
        options: The best options, the first among equals.
        score: Their score: of classes the mean UA over the inner folds, of values the CCC.
        tried: One row per point of the grid: options and scores. Of classes `ua` and `sd`, mean and
            standard deviation over the inner folds; of values `ccc`, of all predictions together.
    """

    options: dict[str, Any]
    score: float
    tried: pd.DataFrame


def search(
    pipeline: Pipeline,
    grid: Sequence[Mapping[str, Sequence[Any]]],
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    *,
    jobs: int,
    unscored: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> Choice:
    """Choose options by leave-one-group-out cross-validation.

    The steps before the model are fitted once in each inner fold for all options of the model.

    Args:
        pipeline: Unfitted pipeline, cloned for every inner fold.
        grid: Grids of values by option, as in scikit-learn (`classifier__C`).
        x: (N, D).
        y: (N,) class indices or values.
        groups: (N,) groups, e.g. speakers.
        jobs: Number of parallel fits; does not change the result.
        unscored: (N,) bool, items that no inner fold scores; they are left out with their group.
        weights: (N,) weights of items; x is then as `GramPipeline` takes it. None: all weigh the
            same.
    """
    folds = list(LeaveOneGroupOut().split(x, y, groups))
    if unscored is not None:
        folds = [(train, test[~unscored[test]]) for train, test in folds]
    truth = [y[test] for _, test in folds]
    rows = []
    for each in grid:
        points = list(ParameterGrid(dict(each)))
        predictions = Parallel(n_jobs=jobs)(
            delayed(_predict_left_out)(pipeline, points, x, y, weights, *fold) for fold in folds
        )
        score = _score_values if is_regressor(pipeline) else _score_classes
        for options, *by_fold in zip(points, *predictions, strict=True):
            rows.append((options, score(truth, by_fold)))
    name = next(iter(rows[0][1]))
    options, scores = max(rows, key=lambda row: row[1][name])  # the first among equals
    return Choice(options, scores[name], pd.DataFrame([{**row, **more} for row, more in rows]))


def class_scores(classifier: BaseEstimator, x: np.ndarray) -> np.ndarray:
    """Return decision values of a fitted classifier, (N, C); of two classes, 0 and the value."""
    scores = classifier.decision_function(x)
    return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores


def predicted(classifier: BaseEstimator, x: np.ndarray) -> np.ndarray:
    """Return the class with the largest decision value, (N,), as the test does.

    `predict` of a support vector machine counts votes of pairs of classes, and may differ.
    """
    return classifier.classes_[class_scores(classifier, x).argmax(axis=1)]


def _predict_left_out(
    pipeline: Pipeline,
    points: Sequence[Mapping[str, Any]],
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None,
    train: np.ndarray,
    test: np.ndarray,
) -> list[np.ndarray]:
    """Return the predictions of an inner fold, (M,), for each point of a grid."""
    last = pipeline.steps[-1][0]
    by_steps: dict[tuple[tuple[str, Any], ...], list[int]] = defaultdict(list)
    for number, point in enumerate(points):
        others = {key: value for key, value in point.items() if not key.startswith(f"{last}__")}
        by_steps[tuple(others.items())].append(number)
    predictions = [np.empty(0)] * len(points)
    for before, numbers in by_steps.items():
        changed = clone(pipeline).set_params(**dict(before))
        if weights is None:
            steps, inside = fit_steps(changed, x[train], y[train])
            learned: Inputs = inside, y[train], None
            outside = transform(steps, x[test])
        else:
            steps, learned = fit_weighted_steps(changed, x[train], y[train], weights[train])
            outside = transform(steps, x[test, :-1])
        gram = Gram(learned[0])
        for number in numbers:
            model = clone(pipeline).set_params(**points[number])[-1]
            fitted = fit_shared(model, gram, *learned[1:])
            predict = fitted.predict if is_regressor(model) else partial(predicted, fitted)
            predictions[number] = predict(outside)
    return predictions


def _score_classes(
    truth: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> dict[str, float]:
    """Return mean and standard deviation of UA over inner folds."""
    ua = [unweighted_accuracy(*pair) for pair in zip(truth, predictions, strict=True)]
    return {"ua": float(np.mean(ua)), "sd": float(np.std(ua))}


def unweighted_accuracy(truth: np.ndarray, predictions: np.ndarray) -> float:
    """Return UA over the classes of an inner fold; a speaker may lack some."""
    # The speaker left out may have a class that no other speaker has.
    matrix = metrics.confusion_matrix(
        truth, predictions, int(max(truth.max(), predictions.max())) + 1
    )
    return metrics.unweighted_accuracy(matrix)


def _score_values(
    truth: Sequence[np.ndarray], predictions: Sequence[np.ndarray]
) -> dict[str, float]:
    """Return the CCC of all inner folds together.

    Within one speaker values vary little, and a speaker with few utterances has a CCC near 0 or
    none. What counts is that speakers are placed correctly on one scale, as the test does.
    """
    moments = [metrics.moments(*pair) for pair in zip(truth, predictions, strict=True)]
    return {"ccc": float(metrics.ccc(np.sum(moments, axis=0)))}
