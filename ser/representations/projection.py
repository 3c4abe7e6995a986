"""Linear projections by scikit-learn: PCA, LDA."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from pytorch_lightning.loggers import Logger
from sklearn.base import TransformerMixin
from sklearn.utils import get_tags

from ser import results
from ser.data.batches import UNLABELLED
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.representations import Fitted, Fitting, Items, Representation

TRANSFORM = "transform.skops"


class Projection(Representation):
    """The first K axes of a projection whose axes are ordered by what they tell.

    So one fit of the largest K serves every smaller one.

    Args:
        fitting: how and where fits are made.
        transform: partial of a scikit-learn transform that takes `n_components`.
        size: K, or several of which inner folds choose one.
        clip: as of every representation.
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

    def fit(
        self,
        x: Items,
        y: np.ndarray,
        size: int,
        *,
        watched: tuple[Items, np.ndarray] | None = None,
        loggers: Sequence[Logger] = (),
    ) -> "Projected":
        """As of every representation, but of utterances alone; no epochs are there to be watched.

        Raises:
            UserError: more axes than these utterances and classes have.
        """
        assert isinstance(x, np.ndarray)
        key = self.key(x, y, max(self.sizes))
        standardiser, transform = self.recent(key, lambda: self._fit(x, y))
        return Projected(standardiser, transform, size)

    def load(self, folder: Path) -> "Projected":
        facts = results.read_json(folder / results.FITTED)
        if facts is None:
            raise UserError(f"{folder} holds no fitted representation (no {results.FITTED})")
        # Of trusted types alone, or else skops refuses.
        transform = skops.io.load(folder / TRANSFORM)
        return Projected(Standardiser.load(folder), transform, facts["size"])

    def _fit(self, x: np.ndarray, y: np.ndarray) -> tuple[Standardiser, Any]:
        standardiser = Standardiser.fit(x, np.arange(len(x)), self.clip)
        transform = self.transform(n_components=max(self.sizes))
        if get_tags(transform).target_tags.required:  # as of LDA
            x, y = x[y != UNLABELLED], y[y != UNLABELLED]
        try:
            return standardiser, transform.fit(standardiser(x), y)
        except ValueError as error:
            told = f"{len(x)} utterances of {len(np.unique(y))} classes"
            raise UserError(
                f"representation.size={max(self.sizes)} cannot be had from {told}: {error}"
            ) from error


class Projected(Fitted):
    """A fitted projection.

    Args:
        standardiser: of the features.
        transform: fitted, of `size` or more axes.
        size: K.
    """

    def __init__(self, standardiser: Standardiser, transform: Any, size: int) -> None:
        self.standardiser, self.transformer, self.size = standardiser, transform, size

    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        assert isinstance(x, np.ndarray)
        return self.transformer.transform(self.standardiser(x))[:, : self.size]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.standardiser.save(folder)
        skops.io.dump(self.transformer, folder / TRANSFORM)

    @property
    def facts(self) -> dict[str, Any]:
        return {"size": self.size}
