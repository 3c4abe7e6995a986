"""Pipelines of scikit-learn whose last step is fitted by Gram matrices where this is faster."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.pipeline import Pipeline

from ser.models.gram import Gram, fit, fit_shared, plain

Steps = list[tuple[str, Any]]
# Vectors, class indices or values, and weights that the last step of a pipeline is fitted on.
Inputs = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def fit_steps(pipeline: Pipeline, x: np.ndarray, y: np.ndarray) -> tuple[Steps, np.ndarray]:
    """Fit clones of all steps but the last.

    Args:
        pipeline: Unfitted pipeline.
        x: (N, D).
        y: (N,) class indices or values.

    Returns:
        The fitted steps, and what they make of x.
    """
    steps = []
    for name, step in pipeline.steps[:-1]:
        fitted = clone(step)
        x = fitted.fit_transform(x, y)
        steps.append((name, fitted))
    return steps, x


def fit_weighted_steps(
    pipeline: Pipeline, x: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[Steps, Inputs]:
    """Fit clones of all steps but the last on one item of each utterance.

    Args:
        pipeline: Unfitted pipeline.
        x: (M, D + 1) items, see `ser.models.repeated`.
        y: (M,) class indices.
        weights: (M,) weights of the items.

    Returns:
        The fitted steps, and what the last step is fitted on: all items with a weight.
    """
    first, used = x[:, -1] == 1, weights > 0
    steps, _ = fit_steps(pipeline, x[first, :-1], y[first])
    return steps, (transform(steps, x[used, :-1]), y[used], weights[used])


def transform(steps: Steps, x: np.ndarray) -> np.ndarray:
    """Apply fitted steps."""
    for _, step in steps:
        x = step.transform(x)
    return x


def fit_pipeline(pipeline: Pipeline, x: np.ndarray, y: np.ndarray) -> Pipeline:
    """Return a fitted clone of a pipeline, as `pipeline.fit(x, y)` would be up to rounding."""
    steps, inside = fit_steps(pipeline, x, y)
    name, model = pipeline.steps[-1]
    return Pipeline([*steps, (name, fit(model, inside, y))])


class GramPipeline(ClassifierMixin, BaseEstimator):
    """A pipeline of a classifier that decides by Gram matrices, too, where this is faster.

    Args:
        pipeline: Unfitted pipeline.
        is_repeated: Whether the last column of x tells which items stand for an utterance (see
            `ser.models.repeated`). The plain pipeline has no such column.
    """

    def __init__(self, pipeline: Pipeline, is_repeated: bool = False) -> None:
        self.pipeline, self.is_repeated = pipeline, is_repeated

    def fit(
        self, x: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> "GramPipeline":
        if self.is_repeated:
            assert sample_weight is not None
            self.steps_, inputs = fit_weighted_steps(self.pipeline, x, y, sample_weight)
        else:
            self.steps_, inside = fit_steps(self.pipeline, x, y)
            inputs = inside, y, sample_weight
        self.model_ = fit_shared(self.pipeline[-1], Gram(inputs[0]), *inputs[1:])
        self.classes_ = self.model_.classes_
        self.n_features_in_ = self._features(x).shape[1]
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return self.model_.decision_function(transform(self.steps_, self._features(x)))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model_.predict(transform(self.steps_, self._features(x)))

    def _features(self, x: np.ndarray) -> np.ndarray:
        return x[:, :-1] if self.is_repeated else x

    def plain(self) -> Pipeline:
        """Return the fitted pipeline of scikit-learn."""
        name, _ = self.pipeline.steps[-1]
        return Pipeline([*self.steps_, (name, plain(self.model_))])
