"""A representation of another one's codes (ghosh2016: a recurrent on a denoising autoencoder)."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ser.data.segments import Segments
from ser.errors import UserError
from ser.representations import FitRequest, Fitted, Fitting, Items, Representation

PARTS = ("lower", "upper")


class Stack(Representation):
    """Two representations: the upper one is fitted on the codes of the lower one.

    Each is stored on its own, so that other fits can share the lower one. Only the upper one is
    logged.

    Args:
        fitting: How and where they are fitted.
        lower: Partial of a representation of segments.
        upper: Partial of a representation of the lower one's codes.

    Raises:
        UserError: The lower one has several sizes.
    """

    def __init__(
        self,
        fitting: Fitting,
        *,
        lower: Callable[[Fitting], Representation],
        upper: Callable[[Fitting], Representation],
    ) -> None:
        self.lower, self.upper = lower(fitting.of("lower")), upper(fitting.of("upper"))
        if len(self.lower.sizes) > 1:
            raise UserError(f"representation.lower.size={self.lower.sizes}: must be one number")
        super().__init__(fitting, size=self.upper.sizes, clip=None)

    def _fit(self, request: FitRequest) -> "Stacked":
        x, y = request.x, request.y
        lower = self.lower.fit(x, y, *self.lower.sizes)
        upper = self.upper.fit(coded(lower, x), y, request.size, loggers=request.loggers)
        return Stacked(lower, upper)

    def load(self, folder: Path) -> "Stacked":
        return Stacked(self.lower.load(folder / "lower"), self.upper.load(folder / "upper"))


class Stacked(Fitted):
    """Two fitted representations."""

    def __init__(self, lower: Fitted, upper: Fitted) -> None:
        self.lower, self.upper = lower, upper
        self.pools = upper.pools

    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        return self.upper.transform(coded(self.lower, x))

    def save(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for name in PARTS:
            getattr(self, name).save(folder / name)

    @property
    def facts(self) -> dict[str, Any]:
        return {name: getattr(self, name).facts for name in PARTS}


def coded(lower: Fitted, x: Items) -> Segments:
    """Return the codes of segments, each as a segment of one frame."""
    assert isinstance(x, Segments)
    codes = lower.transform(x)
    return Segments(codes, np.arange(len(codes))[:, None], x.offsets, mapped=False)
