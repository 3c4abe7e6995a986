"""Pipelines of scikit-learn whose last step is fitted by Gram matrices where this is faster."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.pipeline import Pipeline

from ser.models.gram import Gram, fit, fit_shared, plain

Steps = list[tuple[str, Any]]


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
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def fit(self, x: np.ndarray, y: np.ndarray) -> "GramPipeline":
        self.steps_, inside = fit_steps(self.pipeline, x, y)
        self.model_ = fit_shared(self.pipeline[-1], Gram(inside), y)
        self.classes_, self.n_features_in_ = self.model_.classes_, x.shape[1]
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return self.model_.decision_function(transform(self.steps_, x))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model_.predict(transform(self.steps_, x))

    def plain(self) -> Pipeline:
        """Return the fitted pipeline of scikit-learn."""
        name, _ = self.pipeline.steps[-1]
        return Pipeline([*self.steps_, (name, plain(self.model_))])
