"""What scikit-learn has fitted, as torch modules, where it is linear."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from torch import Tensor, nn

from ser.errors import UserError


def _buffer(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float64))


class Projection(nn.Module):
    """(N, D) -> (N, K): the first axes of PCA or LDA.

    Args:
        transform: fitted.
        size: K.

    Raises:
        UserError: it is neither.
    """

    centre: Tensor
    axes: Tensor

    def __init__(self, transform: BaseEstimator, size: int) -> None:
        super().__init__()
        if hasattr(transform, "components_") and not transform.whiten:
            centre, axes = transform.mean_, transform.components_.T
        elif hasattr(transform, "scalings_") and hasattr(transform, "xbar_"):
            centre, axes = transform.xbar_, transform.scalings_
        else:
            raise UserError(
                f"representation.transform: {transform} cannot be exported; PCA without whitening "
                "and LDA (solver svd) can"
            )
        self.register_buffer("centre", _buffer(centre))
        self.register_buffer("axes", _buffer(axes[:, :size]))

    def forward(self, x: Tensor) -> Tensor:
        return ((x.double() - self.centre) @ self.axes).float()


class Scores(nn.Module):
    """(N, K) values -> (N, C) logits of a linear classifier behind a standardisation.

    Args:
        pipeline: of both.
        inverse_temperature: by which scores are multiplied; None: there is no temperature.

    Raises:
        UserError: the classifier is not linear.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, pipeline: Pipeline, inverse_temperature: float | None) -> None:
        super().__init__()
        scaler, classifier = (step for _, step in pipeline.steps)
        if not hasattr(classifier, "coef_"):
            raise UserError(
                f"model.classifier: {classifier} has no linear function of its features; an SVM of "
                "kernel linear and logistic regression can be exported, and python -m ser predict "
                "tells of recordings by every other"
            )
        self.register_buffer("mean", _buffer(scaler.mean_))
        self.register_buffer("scale", _buffer(scaler.scale_))
        self.register_buffer("weight", _buffer(classifier.coef_))
        self.register_buffer("bias", _buffer(classifier.intercept_))
        self.classes = len(classifier.classes_)
        # libsvm compares classes in pairs, and scikit-learn counts who wins.
        self.votes = hasattr(classifier, "decision_function_shape") and self.classes > 2
        # Of two classes there is one score: scikit-learn's temperature takes logits -x and x.
        self.low = 0.0 if inverse_temperature is None else -1.0
        self.sharpness = 1.0 if inverse_temperature is None else inverse_temperature

    def forward(self, x: Tensor) -> Tensor:
        # In single precision, as scikit-learn's scaler has it.
        x = (x - self.mean.to(x.dtype)) / self.scale.to(x.dtype)
        found = x.double() @ self.weight.T + self.bias
        if self.votes:
            found = self._counted(found)
        elif self.classes == 2:
            found = torch.cat([self.low * found, found], dim=1)
        return self.sharpness * found

    def _counted(self, found: Tensor) -> Tensor:
        """(N, C (C - 1) / 2) scores of the first class over the second -> (N, C) votes.

        Confidences, squeezed into a third of a vote, break ties: `_ovr_decision_function` of
        scikit-learn.
        """
        first, second = np.triu_indices(self.classes, k=1)
        of_first = torch.eye(self.classes, dtype=torch.float64)[first]
        of_second = torch.eye(self.classes, dtype=torch.float64)[second]
        wins = (found >= 0).double()
        votes = wins @ of_first + (1 - wins) @ of_second
        confidences = found @ (of_first - of_second)
        return votes + confidences / (3 * (confidences.abs() + 1))


def scores(fitted: CalibratedClassifierCV | Pipeline) -> Scores:
    """What `ser.models.estimator` has fitted."""
    if isinstance(fitted, Pipeline):
        return Scores(fitted, None)
    (calibrated,) = fitted.calibrated_classifiers_
    (temperature,) = calibrated.calibrators
    return Scores(calibrated.estimator, float(temperature.beta_))
