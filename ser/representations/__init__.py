"""Representations: fitted on training utterances, they turn features into codes.

What they see are utterances, a vector each, or, where features are frames, segments. Two kinds
under one small contract: scikit-learn's transforms (`ser.representations.projection`) and networks
trained by phases (`ser.representations.learned`).
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.loggers import Logger

from ser.config import run_key
from ser.data.segments import Segments
from ser.errors import UserError
from ser.training.trainer import Training

HELD = 12  # fits in memory: more than there are inner folds over speakers or sessions, mostly

# N items: features of utterances, (N, D), or segments.
Items = np.ndarray | Segments


@dataclass(frozen=True)
class Fitting:
    """How the fits inside a run are made, and where they are kept for others that need the same.

    Attributes:
        training: of networks.
        seed: of the run.
        classes: C of the target.
        root: folder of what was fitted.
        recipe: all of the config that can change a fit.
    """

    training: Training
    seed: int
    classes: int
    root: Path
    recipe: Mapping[str, Any]

    def of(self, part: str) -> "Fitting":
        """That of a part of the representation, as it would be alone."""
        whole = self.recipe["representation"]
        return replace(self, recipe={**self.recipe, "representation": whole[part]})


class Fitted(ABC):
    """A representation that was fitted.

    Attributes:
        variants: how many codes of an item stand side by side, one under each class; or 1.
        reads_labels: whether codes are made under the true classes, which is a leak.
        pools: whether an utterance has one code, rather than each of its segments.
    """

    variants = 1
    reads_labels = False
    pools = False

    @abstractmethod
    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        """N items -> (N, K) codes.

        Args:
            x: items.
            labels: (N,) class indices, where `reads_labels`.
        """

    def sample(self, labels: np.ndarray, seed: int) -> np.ndarray:
        """(N,) class indices -> (N, D) synthetic features of these classes.

        Raises:
            UserError: this kind of representation has no distribution to draw from.
        """
        raise UserError("this representation draws no samples: representation=aae does")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Leaves what was fitted in a folder, which is made anew."""

    @property
    def facts(self) -> dict[str, Any]:
        """What is to be told of the fit, as plain content for a JSON file."""
        return {}


class Representation(ABC):
    """A recipe for codes; fitted as often as folds inside a run need it.

    Args:
        fitting: how and where fits are made.
        size: K, or several of which inner folds choose one.
        clip: largest magnitude of a standardised feature; None: no limit. Features are
            standardised by the statistics of those that are fitted on, and of no others.

    Attributes:
        pools: as of what is fitted.
    """

    pools = False

    def __init__(self, fitting: Fitting, *, size: int | Sequence[int], clip: float | None) -> None:
        self.fitting, self.clip = fitting, clip
        self.sizes = [size] if isinstance(size, int) else list(size)
        self._recent: dict[str, Any] = {}

    @abstractmethod
    def fit(
        self,
        x: Items,
        y: np.ndarray,
        size: int,
        *,
        watched: tuple[Items, np.ndarray] | None = None,
        loggers: Sequence[Logger] = (),
    ) -> Fitted:
        """Fits codes of `size` values, or finds that this was done before.

        Args:
            x: N items.
            y: (N,) class indices; `ser.data.batches.UNLABELLED` where there is none.
            size: K.
            watched: items and classes on which losses are recorded epoch by epoch, for a
                figure; they change nothing of what is fitted.
            loggers: that are shown its epochs, whether it is trained now or was before.
        """

    @abstractmethod
    def load(self, folder: Path) -> Fitted:
        """What `Fitted.save` left in a folder, and its `facts` beside it.

        Raises:
            UserError: it holds nothing of this kind.
        """

    def key(self, x: Items, y: np.ndarray, size: int) -> str:
        """A name for a fit: equal fits have equal ones."""
        content = hashlib.blake2b(digest_size=16)
        blocks = x.blocks() if isinstance(x, Segments) else [np.asarray(x, np.float32)]
        for array in chain(blocks, [np.asarray(y, np.int64)]):
            content.update(np.ascontiguousarray(array).data)
        facts = {"recipe": self.fitting.recipe, "seed": self.fitting.seed, "size": size}
        return run_key.digest({**facts, "shape": list(x.shape), "content": content.hexdigest()})

    def recent(self, key: str, make: Callable[[], Any]) -> Any:
        """What was made under a key, if not too long ago, or else is made now.

        A search asks for the fits of one size again for every option of its classifier.
        """
        if key not in self._recent:
            while len(self._recent) >= HELD:
                del self._recent[next(iter(self._recent))]
            self._recent[key] = make()
        return self._recent[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_recent": {}}  # nothing that other processes should be sent

    def __sklearn_clone__(self) -> "Representation":
        # scikit-learn clones a pipeline for each inner fold; a recipe is the same for all.
        return self
