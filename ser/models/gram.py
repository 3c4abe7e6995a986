"""Support vector machines and ridge regression, fitted on Gram matrices.

With more features than utterances nearly all time of libsvm is spent on products of feature
vectors, again for each value of C. Here one product of matrices computes them for all models that
are fitted on the same training set. The fitted models are the plain ones of scikit-learn, which
know nothing of Gram matrices; their predictions are the same up to rounding.
"""

from copy import copy
from typing import Any

import numpy as np
from scipy import linalg
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.svm import SVC, SVR
from threadpoolctl import threadpool_limits

LARGEST = 12_000  # utterances; the Gram matrix of more would take over 1.2 GB


class Gram:
    """Kernels between the vectors of a training set, and between them and other vectors.

    Args:
        x: (N, D) training set.
    """

    def __init__(self, x: np.ndarray) -> None:
        self.x = x
        self._products: np.ndarray | None = None
        self._others: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def products(self) -> np.ndarray:
        """(N, N) inner products of the training set, computed once."""
        if self._products is None:
            self._products = _products(self.x, self.x)
        return self._products

    def products_with(self, x: np.ndarray) -> np.ndarray:
        """(M, D) -> (M, N) inner products with the training set; those of one `x` are kept."""
        if self._others is None or self._others[0] is not x:
            self._others = x, _products(x, self.x)
        return self._others[1]

    def kernel(self, machine: SVC | SVR) -> np.ndarray:
        """Return the kernel of a machine between the vectors of the training set, (N, N)."""
        squares = self.products.diagonal()
        return _kernel(machine.kernel, self.gamma(machine), self.products, squares, squares)

    def kernel_with(self, machine: SVC | SVR, x: np.ndarray) -> np.ndarray:
        """Return the kernel of a machine between (M, D) vectors and the training set, (M, N)."""
        squares = np.square(x, dtype=np.float64).sum(axis=1), self.products.diagonal()
        return _kernel(machine.kernel, self.gamma(machine), self.products_with(x), *squares)

    def gamma(self, machine: SVC | SVR) -> float:
        """Return the factor of an RBF kernel, which may be relative to the features."""
        if machine.kernel != "rbf":
            return 0.0
        if machine.gamma == "scale":
            variance = float(self.x.var(dtype=np.float64))
            return 1.0 / (self.x.shape[1] * variance) if variance > 0 else 1.0
        return 1.0 / self.x.shape[1] if machine.gamma == "auto" else float(machine.gamma)


class GramMachine:
    """A support vector machine that is fitted on a Gram matrix.

    Args:
        machine: Unfitted machine with a linear or RBF kernel.
        gram: Products of its training set.
        y: (N,) class indices or values.
        weights: (N,) weights of the vectors; None: all weigh the same.
    """

    def __init__(
        self, machine: SVC | SVR, gram: Gram, y: np.ndarray, weights: np.ndarray | None
    ) -> None:
        self.machine, self.gram = machine, gram
        self.fitted = clone(machine).set_params(kernel="precomputed")
        self.fitted.fit(gram.kernel(machine), y, weights)

    @property
    def classes_(self) -> np.ndarray:
        return self.fitted.classes_

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return self.fitted.decision_function(self.gram.kernel_with(self.machine, x))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.fitted.predict(self.gram.kernel_with(self.machine, x))

    def plain(self) -> SVC | SVR:
        """Return the machine of scikit-learn that fitting it to the features would have given."""
        machine = copy(self.fitted).set_params(kernel=self.machine.kernel)
        machine.support_vectors_ = np.asarray(self.gram.x[machine.support_], np.float64)
        machine.shape_fit_, machine.n_features_in_ = self.gram.x.shape, self.gram.x.shape[1]
        machine._gamma = self.gram.gamma(self.machine)
        return machine


def fit_shared(
    model: BaseEstimator, gram: Gram, y: np.ndarray, weights: np.ndarray | None = None
) -> Any:
    """Return a fitted model of a training set which others are fitted on, too.

    Args:
        model: Unfitted model.
        gram: Products of the training set.
        y: (N,) class indices or values.
        weights: (N,) weights of the vectors; None: all weigh the same.

    Returns:
        A fitted clone of the model, or a `GramMachine` that predicts as it does.
    """
    count, width = gram.x.shape
    if width > count and count <= LARGEST:
        if type(model) in (SVC, SVR) and model.kernel in ("linear", "rbf"):
            return GramMachine(model, gram, y, weights)
        if type(model) in (Ridge, RidgeClassifier) and _is_standard(model) and weights is None:
            with threadpool_limits(1):
                return _fit_ridge(model, gram, y)
    return clone(model).fit(gram.x, y, **({} if weights is None else {"sample_weight": weights}))


def fit(model: BaseEstimator, x: np.ndarray, y: np.ndarray) -> BaseEstimator:
    """Return a fitted clone of a model, as `model.fit(x, y)` would give up to rounding."""
    return plain(fit_shared(model, Gram(x), y))


def plain(fitted: Any) -> BaseEstimator:
    """Return the model of scikit-learn that a fitted model is or equals."""
    return fitted.plain() if isinstance(fitted, GramMachine) else fitted


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(M, D), (N, D) -> (M, N) inner products in double precision, as libsvm computes them."""
    first = np.asarray(a, np.float64)
    second = first if b is a else np.asarray(b, np.float64)
    with threadpool_limits(1):  # the order of summation would depend on the number of threads
        return first @ second.T


def _kernel(
    name: str, gamma: float, products: np.ndarray, squares: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Return a kernel of (M, N) products of vectors whose squared norms are (M,) and (N,)."""
    if name == "linear":
        return products
    distances = -2.0 * products
    distances += squares[:, None]
    distances += others
    np.maximum(distances, 0.0, out=distances)
    distances *= -gamma
    return np.exp(distances, out=distances)


def _is_standard(model: Ridge | RidgeClassifier) -> bool:
    """Whether the options are those that `_fit_ridge` knows."""
    is_weighted = getattr(model, "class_weight", None) is not None
    return model.solver == "auto" and model.fit_intercept and not (model.positive or is_weighted)


def _fit_ridge(model: Ridge | RidgeClassifier, gram: Gram, y: np.ndarray) -> BaseEstimator:
    """Solve the dual problem, as scikit-learn does: (K + alpha I) dual = y, both centred."""
    fitted = clone(model)
    if isinstance(model, RidgeClassifier):
        fitted._label_binarizer = LabelBinarizer(pos_label=1, neg_label=-1).fit(y)
        fitted.classes_ = fitted._label_binarizer.classes_
        y = fitted._label_binarizer.transform(y)
    centred = gram.products - gram.products.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    centred.flat[:: len(centred) + 1] += model.alpha
    mean, offset = gram.x.mean(axis=0, dtype=np.float64), y.mean(axis=0)
    dual = linalg.solve(centred, y - offset, assume_a="pos", overwrite_a=True)
    # The dual variables add up to zero, so the features need not be centred.
    fitted.coef_ = dual.T @ np.asarray(gram.x, np.float64)
    fitted.intercept_ = offset - fitted.coef_ @ mean
    fitted.n_features_in_, fitted.n_iter_, fitted.solver_ = gram.x.shape[1], None, "cholesky"
    return fitted
