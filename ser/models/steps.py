"""Representations as steps of a scikit-learn pipeline.

So whatever tunes or calibrates a classifier by inner folds fits the representation anew inside each
of them, on no more than that fold's training part.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone

from ser.representations import Representation


class Synthetic(NamedTuple):
    """What a model is trained on beside real utterances, or in their place.

    Attributes:
        per_class: samples of each class.
        with_real: train on the training part's own utterances, too.
    """

    per_class: int
    with_real: bool


class Coded(TransformerMixin, BaseEstimator):
    """Features in, codes out.

    Args:
        representation: what is fitted.
        size: K.
    """

    def __init__(self, representation: Representation, size: int) -> None:
        self.representation, self.size = representation, size

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Coded":
        self.fitted_ = self.representation.fit(x, y, self.size)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return self.fitted_.transform(x)


class Synthesised(ClassifierMixin, BaseEstimator):
    """A classifier trained on samples of a representation that was fitted on its training part.

    sahu2017, section 3.3.3.

    Args:
        classifier: of features, unfitted.
        representation: what is fitted, and draws.
        size: K.
        synthetic: how many, and whether the training part's own features are used, too.
    """

    def __init__(
        self,
        classifier: BaseEstimator,
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
        drawn = self.fitted_.sample(labels, self.representation.fitting.seed)
        if self.synthetic.with_real:
            drawn, labels = np.concatenate([x, drawn]), np.concatenate([y, labels])
        self.classifier_ = clone(self.classifier).fit(drawn, labels)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return self.classifier_.decision_function(x)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classifier_.predict(x)

    def __sklearn_tags__(self) -> Any:
        return self.classifier.__sklearn_tags__()
