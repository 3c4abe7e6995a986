"""One representation upon another (ghosh2016: a recurrent autoencoder on denoised frames)."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger

from ser.data.segments import Segments
from ser.errors import UserError
from ser.representations import Fitted, Fitting, Items, Representation

PARTS = ("lower", "upper")


class Stack(Representation):
    """What the lower makes of segments is what the upper is fitted on.

    Each is a fit of its own: others that need the same lower one share it.

    Args:
        fitting: how and where fits are made.
        lower: partial of a representation of segments.
        upper: partial of a representation of the lower one's codes.

    Raises:
        UserError: several sizes to choose from.
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
            raise UserError(f"representation.lower.size={self.lower.sizes}: one number")
        super().__init__(fitting, size=self.upper.sizes, clip=None)

    def fit(
        self,
        x: Items,
        y: np.ndarray,
        size: int,
        *,
        watched: tuple[Items, np.ndarray] | None = None,
        loggers: Sequence[Logger] = (),
    ) -> "Stacked":
        """As of every representation; loggers are told of the upper one."""
        lower = self.lower.fit(x, y, *self.lower.sizes)
        return Stacked(lower, self.upper.fit(coded(lower, x), y, size, loggers=loggers))

    def load(self, folder: Path) -> "Stacked":
        return Stacked(self.lower.load(folder / "lower"), self.upper.load(folder / "upper"))


class Stacked(Fitted):
    """Two representations that were fitted."""

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
    """The codes of segments, each a frame of its own."""
    assert isinstance(x, Segments)
    codes = lower.transform(x)
    return Segments(codes, np.arange(len(codes))[:, None], x.offsets, mapped=False)
