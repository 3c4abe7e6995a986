"""Representations: transforms of features into codes, fitted on the training split.

An item is an utterance, as a vector, or a segment of frames. There are scikit-learn transforms
(`ser.representations.projection`) and wrapped models (`ser.representations.learned`).
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

from ser import results
from ser.config import run_key
from ser.data.segments import Segments
from ser.errors import UserError
from ser.results.fitted import UsedKeys, fit_version
from ser.training.trainer import Training

CACHED = 12  # fits in memory: usually more than the inner folds over speakers or sessions

# N items: features of utterances, (N, D), or segments.
Items = np.ndarray | Segments


@dataclass(frozen=True)
class Fitting:
    """How representations are fitted in a run, and where they are stored to be shared.

    Attributes:
        training: Training of networks.
        seed: Seed of the run.
        classes: C of the target.
        root: Folder of all fitted representations.
        recipe: The part of the config that can change a fit, and the names of the classes.
        used: Keys of the fits that the run uses; None: they are not recorded.
        force: Make fits again that this run has not used before.
    """

    training: Training
    seed: int
    classes: int
    root: Path
    recipe: Mapping[str, Any]
    used: UsedKeys | None = None
    force: bool = False

    def of(self, part: str) -> "Fitting":
        """Return the settings of a nested representation, the same as if it were used alone."""
        whole = self.recipe["representation"]
        return replace(self, recipe={**self.recipe, "representation": whole[part]})


@dataclass(frozen=True)
class FitRequest:
    """Arguments of `Representation.fit`.

    Attributes:
        x: N items.
        y: (N,) class indices, or `ser.data.batches.UNLABELLED`.
        size: K.
        monitored: Items and classes whose losses are recorded epoch by epoch, for a figure; they
            do not change the fit.
        loggers: Receive the epochs, also if the representation was fitted before.
    """

    x: Items
    y: np.ndarray
    size: int
    monitored: tuple[Items, np.ndarray] | None
    loggers: Sequence[Logger]


class Fitted(ABC):
    """A fitted representation.

    Attributes:
        variants: Number of concatenated codes of an item, one under each class; or 1.
        reads_labels: Whether codes are computed under the true classes, which is a leak.
        pools: Whether there is one code per utterance, rather than per segment.
    """

    variants = 1
    reads_labels = False
    pools = False

    @abstractmethod
    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        """N items -> (N, K) codes.

        Args:
            x: Items.
            labels: (N,) class indices, if `reads_labels`.
        """

    def sample(self, labels: np.ndarray, seed: int) -> np.ndarray:
        """(N,) class indices -> (N, D) synthetic features of these classes.

        Raises:
            UserError: This kind of representation has no prior.
        """
        raise UserError("this representation cannot be sampled; representation=aae can")

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Save to a folder, whose previous content is replaced."""

    @property
    def facts(self) -> dict[str, Any]:
        """Description of the fit, as plain content for a JSON file."""
        return {}


def read_facts(folder: Path, *names: str) -> list[Any]:
    """Return facts that `Fitted.facts` has left in a folder, by name.

    Raises:
        UserError: The folder contains no fitted representation, or its facts are damaged.
    """
    facts = results.read_sealed(folder / results.FITTED)
    if facts is None:
        raise UserError(f"{folder} contains no fitted representation (no {results.FITTED})")
    if missing := [name for name in names if name not in facts]:
        raise UserError(f"{folder / results.FITTED} is damaged: it has no {missing[0]}")
    return [facts[name] for name in names]


class Representation(ABC):
    """A representation to be fitted, once or in several inner folds.

    Args:
        fitting: How and where it is fitted.
        size: K, or several sizes, of which inner folds choose one.
        clip: Largest magnitude of a standardised feature; None: no limit. Features are
            standardised by the statistics of the items that the representation is fitted on.

    Attributes:
        pools: As in `Fitted`.
    """

    pools = False

    def __init__(self, fitting: Fitting, *, size: int | Sequence[int], clip: float | None) -> None:
        self.fitting, self.clip = fitting, clip
        self.sizes = [size] if isinstance(size, int) else list(size)
        self.cache: dict[str, Any] = {}

    def fit(
        self,
        x: Items,
        y: np.ndarray,
        size: int,
        *,
        monitored: tuple[Items, np.ndarray] | None = None,
        loggers: Sequence[Logger] = (),
    ) -> Fitted:
        """Fit codes of `size` values, or return an equal fit that was made before.

        Args:
            x, y, size, monitored, loggers: As in `FitRequest`.
        """
        return self._fit(FitRequest(x, y, size, monitored, loggers))

    @abstractmethod
    def _fit(self, request: FitRequest) -> Fitted:
        """Fit, or return an equal fit that was made before; called by `fit`."""

    @abstractmethod
    def load(self, folder: Path) -> Fitted:
        """Load what `Fitted.save` and its `facts` have left in a folder.

        Raises:
            UserError: The folder contains no fitted representation.
        """

    def key(self, x: Items, y: np.ndarray, size: int) -> str:
        """Return the key of a fit: equal fits have equal keys."""
        content = hashlib.blake2b(digest_size=16)
        blocks = x.blocks() if isinstance(x, Segments) else [np.asarray(x, np.float32)]
        for array in chain(blocks, [np.asarray(y, np.int64)]):
            content.update(np.ascontiguousarray(array).data)
        fitting = self.fitting
        facts = {
            "recipe": fitting.recipe,
            "seed": fitting.seed,
            "classes": fitting.classes,
            "size": size,
            "version": fit_version(),
            "shape": list(x.shape),
            "content": content.hexdigest(),
        }
        return run_key.digest(facts)

    def cached(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the value of a key from a small cache, or make it.

        A grid search requests the fits of one size again for each option of the classifier.
        """
        if key not in self.cache:
            while len(self.cache) >= CACHED:
                del self.cache[next(iter(self.cache))]
            self.cache[key] = make()
        return self.cache[key]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "cache": {}}  # the cache is not sent to other processes

    def __sklearn_clone__(self) -> "Representation":
        # scikit-learn clones a pipeline for each inner fold; they share the representation.
        return self
