"""Fitted linear transforms and classifiers of scikit-learn as torch modules."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from ser.errors import UserError
from ser.models.steps import Clip, Layer


class Projection(nn.Module):
    """(N, D) features -> (N, K) coordinates on the first axes of a PCA or LDA.

    Args:
        transform: Fitted PCA or LDA.
        size: K.

    Raises:
        UserError: The transform is neither.
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
                f"representation.transform: {transform} cannot be exported. Only PCA without "
                "whitening and LDA with solver=svd can"
            )
        self.register_buffer("centre", _double(centre))
        self.register_buffer("axes", _double(axes[:, :size]))

    def forward(self, x: Tensor) -> Tensor:
        return ((x.double() - self.centre) @ self.axes).float()


class LinearScores(nn.Module):
    """(N, K) features -> (N, C) logits or (N, 1) values of a standardisation and a linear model.

    Args:
        pipeline: Fitted pipeline of both, after the choice of a layer if there is one, and with a
            limit of what is standardised if there is one.
        inverse_temperature: Factor of the scores; None: they are not calibrated.

    Raises:
        UserError: The classifier is not linear.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, pipeline: Pipeline, inverse_temperature: float | None) -> None:
        super().__init__()
        steps = {type(step): step for _, step in pipeline.steps}
        scaler, (_, classifier) = steps[StandardScaler], pipeline.steps[-1]
        self.layer, clip = steps.get(Layer), steps.get(Clip)
        self.limit = None if clip is None else clip.limit
        if not hasattr(classifier, "coef_"):
            raise UserError(
                f"{classifier} is not linear in its features and cannot be exported. An SVM with a "
                "linear kernel, logistic and ridge regression can; python -m ser predict works "
                "with every model"
            )
        self.register_buffer("mean", _double(scaler.mean_))
        self.register_buffer("scale", _double(scaler.scale_))
        self.register_buffer("weight", _double(np.atleast_2d(classifier.coef_)))
        self.register_buffer("bias", _double(np.atleast_1d(classifier.intercept_)))
        self.classes = len(getattr(classifier, "classes_", ()))  # 0: it predicts a value
        # libsvm compares classes in pairs; scikit-learn turns the comparisons into votes.
        self.pairwise = hasattr(classifier, "decision_function_shape") and self.classes > 2
        # Two classes have one score x. With a temperature scikit-learn uses the logits (-x, x),
        # without one (0, x).
        self.first_of_two = 0.0 if inverse_temperature is None else -1.0
        self.factor = 1.0 if inverse_temperature is None else inverse_temperature

    def forward(self, x: Tensor) -> Tensor:
        if self.layer is not None:
            x = x[:, self.layer.columns(x.shape[1])]
        # In single precision, as scikit-learn's scaler computes it.
        x = (x - self.mean.to(x.dtype)) / self.scale.to(x.dtype)
        if self.limit is not None:
            x = x.clamp(-self.limit, self.limit)
        scores = x.double() @ self.weight.T + self.bias
        if self.pairwise:
            scores = self._one_vs_rest(scores)
        elif self.classes == 2:
            scores = torch.cat([self.first_of_two * scores, scores], dim=1)
        return self.factor * scores

    def _one_vs_rest(self, scores: Tensor) -> Tensor:
        """Convert scores of the first class over the second to a score per class.

        The score of a class is its number of wins. Confidences, scaled to less than a third of a
        vote, break ties, as in `_ovr_decision_function` of scikit-learn.

        Args:
            scores: (N, C (C - 1) / 2).

        Returns:
            (N, C).
        """
        first, second = np.triu_indices(self.classes, k=1)
        of_first = torch.eye(self.classes, dtype=torch.float64)[first]
        of_second = torch.eye(self.classes, dtype=torch.float64)[second]
        wins = (scores >= 0).double()
        votes = wins @ of_first + (1 - wins) @ of_second
        confidences = scores @ (of_first - of_second)
        return votes + confidences / (3 * (confidences.abs() + 1))


def linear_scores(fitted: CalibratedClassifierCV | Pipeline) -> LinearScores:
    """Return the module of a classifier that `ser.models.estimator` has fitted."""
    if isinstance(fitted, Pipeline):
        return LinearScores(fitted, None)
    (calibrated,) = fitted.calibrated_classifiers_
    (temperature,) = calibrated.calibrators
    return LinearScores(calibrated.estimator, float(temperature.beta_))


def _double(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float64))
