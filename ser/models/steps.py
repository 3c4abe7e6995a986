"""Representations as steps of a scikit-learn pipeline.

When a classifier is tuned or calibrated by inner folds, the representation is fitted in each of
them, on the training split of the inner fold only.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.pipeline import Pipeline

from ser.data.batches import UNLABELLED
from ser.models import gram
from ser.models.tuning import predicted
from ser.representations import Representation


class Synthetic(NamedTuple):
    """Synthetic training data: samples of a representation.

    Attributes:
        per_class: Number of samples of each class.
        with_real: Train on the real utterances as well.
    """

    per_class: int
    with_real: bool


def class_labels(y: np.ndarray) -> np.ndarray:
    """Return the class indices (N,) that a representation sees: none where y has values."""
    return np.full(len(y), UNLABELLED) if np.issubdtype(y.dtype, np.floating) else y


class Layer(TransformerMixin, BaseEstimator):
    """Selects the features of one layer of a pretrained encoder.

    Args:
        layers: Layers whose features stand side by side, with an equal number of columns each.
        layer: One of them.
    """

    def __init__(self, layers: tuple[int, ...], layer: int) -> None:
        self.layers, self.layer = layers, layer

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> "Layer":
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return x[:, self.columns(x.shape[1])]

    def columns(self, width: int) -> slice:
        """Return the columns of the layer among `width` columns."""
        size = width // len(self.layers)
        begin = list(self.layers).index(self.layer) * size
        return slice(begin, begin + size)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class Clip(TransformerMixin, BaseEstimator):
    """Limits standardised features, as networks see them.

    Args:
        limit: Largest magnitude, in standard deviations.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def fit(self, x: np.ndarray, y: np.ndarray | None = None) -> "Clip":
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return x.clip(-self.limit, self.limit)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class Coded(TransformerMixin, BaseEstimator):
    """Transforms features into codes.

    Args:
        representation: Representation to be fitted.
        size: K.
    """

    def __init__(self, representation: Representation, size: int) -> None:
        self.representation, self.size = representation, size

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Coded":
        self.fitted_ = self.representation.fit(x, class_labels(y), self.size)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return self.fitted_.transform(x)


class Synthesised(ClassifierMixin, BaseEstimator):
    """A classifier trained on samples of a representation (sahu2017, section 3.3.3).

    Samples vary less than the real features, to which the classifier is applied: their standard
    deviation is about a quarter. So the steps before the classifier are fitted on the real
    features, whatever the classifier is trained on.

    Args:
        classifier: Standardiser and classifier of features, unfitted.
        representation: Representation to be fitted and sampled.
        size: K.
        synthetic: Number of samples, and whether the real features are used as well.
    """

    def __init__(
        self,
        classifier: Pipeline,
        representation: Representation,
        size: int,
        synthetic: Synthetic,
    ) -> None:
        self.classifier, self.representation = classifier, representation
        self.size, self.synthetic = size, synthetic

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Synthesised":
        self.fitted_ = self.representation.fit(x, y, self.size)
        self.classes_ = np.unique(y)
        labels = np.repeat(self.classes_, self.synthetic.per_class)
        samples = self.fitted_.sample(labels, self.representation.fitting.seed)
        if self.synthetic.with_real:
            samples, labels = np.concatenate([x, samples]), np.concatenate([y, labels])
        before, (name, last) = clone(self.classifier[:-1]).fit(x), self.classifier.steps[-1]
        last = gram.fit(last, before.transform(samples), labels)
        self.classifier_ = Pipeline([*before.steps, (name, last)])
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return self.classifier_.decision_function(x)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return predicted(self.classifier_, x)

    def __sklearn_tags__(self) -> Any:
        return self.classifier.__sklearn_tags__()
