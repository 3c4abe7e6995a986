"""Linear projections of scikit-learn: PCA, LDA."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import get_tags

from ser.data.batches import UNLABELLED
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.representations import (
    FitRequest,
    Fitted,
    Fitting,
    Items,
    Representation,
    read_facts,
)
from ser.results.estimators import load_estimator, save_estimator

TRANSFORM = "transform.skops"


class Projection(Representation):
    """The first K axes of a projection of utterances, whose axes are ordered by importance.

    One fit with the largest K is used for every smaller one. There are no epochs to be monitored.

    Args:
        fitting: How and where it is fitted.
        transform: Partial of a scikit-learn transform that takes `n_components`.
        size: K, or several sizes, of which inner folds choose one.
        clip: As in `Representation`.
    """

    def __init__(
        self,
        fitting: Fitting,
        *,
        transform: Callable[..., TransformerMixin],
        size: int | Sequence[int],
        clip: float | None,
    ) -> None:
        super().__init__(fitting, size=size, clip=clip)
        self.transform = transform

    def _fit(self, request: FitRequest) -> "Projected":
        x, y = request.x, request.y
        assert isinstance(x, np.ndarray)
        key = self.key(x, y, max(self.sizes))
        standardiser, transform = self.cached(key, lambda: self._fit_largest(x, y))
        return Projected(standardiser, transform, request.size)

    def load(self, folder: Path) -> "Projected":
        (size,) = read_facts(folder, "size")
        transform = load_estimator(folder / TRANSFORM)  # loads trusted types only
        return Projected(Standardiser.load(folder), transform, size)

    def _fit_largest(self, x: np.ndarray, y: np.ndarray) -> tuple[Standardiser, Any]:
        """Fit as many axes as the largest size.

        Raises:
            UserError: The utterances and classes do not have so many axes.
        """
        standardiser = Standardiser.fit(x, np.arange(len(x)), self.clip)
        transform = self.transform(n_components=max(self.sizes))
        if get_tags(transform).target_tags.required:  # as of LDA
            x, y = x[y != UNLABELLED], y[y != UNLABELLED]
        try:
            return standardiser, transform.fit(standardiser(x), y)
        except ValueError as error:
            raise UserError(
                f"representation.size={max(self.sizes)} is not possible with {len(x)} utterances "
                f"of {len(np.unique(y))} classes: {error}"
            ) from error


class Projected(Fitted):
    """A fitted projection.

    Args:
        standardiser: Standardiser of the features.
        transform: Fitted transform with `size` or more axes.
        size: K.
    """

    def __init__(self, standardiser: Standardiser, transform: Any, size: int) -> None:
        self.standardiser, self.transformer, self.size = standardiser, transform, size

    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        assert isinstance(x, np.ndarray)
        return self.transformer.transform(self.standardiser(x))[:, : self.size]

    @property
    def explained_variance(self) -> float | None:
        """Share of the variance that the axes explain; for LDA, of that between classes.

        None: the transform does not compute it.
        """
        shares = getattr(self.transformer, "explained_variance_ratio_", None)
        return None if shares is None else float(shares[: self.size].sum())

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.standardiser.save(folder)
        save_estimator(folder / TRANSFORM, self.transformer)

    @property
    def facts(self) -> dict[str, Any]:
        return {"size": self.size}
