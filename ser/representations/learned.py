"""Networks as representations: trained by phases until their losses come to rest.

No rule here reads more than training losses, so nothing is held out and nothing can leak.
"""

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytorch_lightning as pl
import torch
from filelock import FileLock
from pytorch_lightning.loggers import Logger
from torch import Tensor

from ser import results
from ser.data.batches import EVALUATED, UNLABELLED, Batch, Batches, Rows, Task
from ser.data.segments import Segments
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.representations import Fitted, Fitting, Items, Representation
from ser.representations.curves import Curves
from ser.training.phased import PhasedModel
from ser.training.stopping import Converged, Watch

log = logging.getLogger(__name__)


class Coder(Protocol):
    """What a `PhasedModel` has, beyond its phases, to be a representation.

    One that makes codes under classes says so by `variants` and `reads_labels`, as of `Fitted`.
    """

    width: int  # of a code

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, width) codes; without labels, unless it `reads_labels`."""

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes and (B,) labels -> (B, D) features."""

    def draw_codes(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, K) samples of the prior."""


class Learned(Representation):
    """A network trained on the training part, and kept in a folder for whoever needs the same.

    Args:
        fitting: how and where fits are made.
        module: partial of a `PhasedModel` that is a `Coder`, called with a task and K.
        size: K, or several of which inner folds choose one.
        clip: as of every representation.
        batch_size: utterances a batch, or segments.
        stopping: partial of the rule that ends training.
    """

    @property
    def network(self) -> "type[Network]":
        """What is made of a trained module."""
        return Network

    def __init__(
        self,
        fitting: Fitting,
        *,
        module: Callable[..., PhasedModel],
        size: int | Sequence[int],
        clip: float | None,
        batch_size: int,
        stopping: Callable[[], Converged],
    ) -> None:
        super().__init__(fitting, size=size, clip=clip)
        self.module, self.batch_size, self.stopping = module, batch_size, stopping

    def fit(
        self,
        x: Items,
        y: np.ndarray,
        size: int,
        *,
        watched: tuple[Items, np.ndarray] | None = None,
        loggers: Sequence[Logger] = (),
    ) -> "Network":
        key = self.key(x, y, size)
        folder = self.fitting.root / key
        if watched is None and not loggers:
            return self.recent(key, lambda: self._found(x, y, size, None, folder, []))
        curves = [Curves(logger, folder / results.METRICS) for logger in loggers]
        return self._found(x, y, size, watched, folder, curves)

    def _found(
        self,
        x: Items,
        y: np.ndarray,
        size: int,
        watched: tuple[Items, np.ndarray] | None,
        folder: Path,
        curves: Sequence[Curves],
    ) -> "Network":
        """What lies in a folder, or is trained into it."""
        of_others = None if watched is None else self.key(*watched, 0)
        folder.mkdir(parents=True, exist_ok=True)
        # Another run that needs the same waits for it, or goes on where it was killed.
        with FileLock(folder / results.LOCK):
            facts = results.read_json(folder / results.FITTED)
            if facts is None or (watched is not None and facts["watched"] != of_others):
                self._train(x, y, size, watched, of_others, folder, curves)
            for each in curves:
                each.catch_up()
        return self.load(folder)

    def load(self, folder: Path) -> "Network":
        """What `fit` or `Network.save` left in a folder.

        Raises:
            UserError: it holds nothing of this kind.
        """
        facts = results.read_json(folder / results.FITTED)
        if facts is None:
            raise UserError(f"{folder} holds no fitted representation (no {results.FITTED})")
        task = Task(facts["inputs"], facts["classes"], None, {})
        module = self.module(task, facts["size"])
        best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        module.load_state_dict(best["weights"])
        return self.network(module.eval(), Standardiser.load(folder), facts, folder)

    def _train(
        self,
        x: Items,
        y: np.ndarray,
        size: int,
        watched: tuple[Items, np.ndarray] | None,
        of_others: str | None,
        folder: Path,
        curves: Sequence[Curves],
    ) -> None:
        started, fitting = time.monotonic(), self.fitting
        standardiser = _standardiser(x, self.clip)
        pl.seed_everything(fitting.seed, verbose=False)
        module = self.module(Task(x.shape[1], fitting.classes, None, {}), size)
        data = _Loaded(self._batches(standardiser, x, y, self.batch_size, fitting.seed))
        watch = None
        if watched is not None:
            watch = Watch("test", self._batches(standardiser, *watched, EVALUATED, None))
        kept = fitting.training.fit(
            module, data, folder / "checkpoints", curves, self.stopping(), watch
        )
        (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
        standardiser.save(folder)
        facts = {
            "inputs": x.shape[1],
            "classes": fitting.classes,
            "size": size,
            _counted(x): len(x),
            "epochs": kept.epoch + 1,
            "watched": of_others,  # whose losses are recorded, too
        }
        results.write_json(folder / results.FITTED, facts)
        log.info(
            "%s of %d values fitted on %d %s: %d epochs, %.0f s",
            type(module).__name__,
            size,
            len(x),
            _counted(x),
            kept.epoch + 1,
            time.monotonic() - started,
        )

    @staticmethod
    def _batches(
        standardiser: Standardiser, x: Items, y: np.ndarray, size: int, seed: int | None
    ) -> Batches:
        values, numbers = _rows(x)
        mapped = isinstance(x, Segments) and x.mapped
        rows = Rows(values, standardiser, at_once=not mapped)
        labels = torch.tensor(y, dtype=torch.long)
        return Batches(rows, numbers, labels, batch_size=size, seed=seed)


def _rows(x: Items) -> tuple[np.ndarray, Tensor]:
    """Rows of features, and their numbers that make up each item, (N,) or (N, L)."""
    if isinstance(x, Segments):
        return x.values, torch.from_numpy(x.frames)
    return x, torch.arange(len(x))


def _standardiser(x: Items, clip: float | None) -> Standardiser:
    """Of features; of segments, of each dimension of a frame, each frame counting once."""
    if isinstance(x, Segments):
        return Standardiser.fit(x.values, x.used, clip)
    return Standardiser.fit(x, np.arange(len(x)), clip)


def _counted(x: Items) -> str:
    return "segments" if isinstance(x, Segments) else "utterances"


class _Loaded(pl.LightningDataModule):
    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> Batches:
        return self.batches


class Network(Fitted):
    """A trained network.

    Args:
        module: in evaluation mode.
        standardiser: of the features that it was trained on, or of their frames.
        facts: of its training.
        folder: where it lies.
    """

    def __init__(
        self, module: Any, standardiser: Standardiser, facts: dict[str, Any], folder: Path
    ) -> None:
        self.module, self.standardiser, self.folder = module, standardiser, folder
        self._facts = facts
        self.variants = getattr(module, "variants", 1)
        self.reads_labels = getattr(module, "reads_labels", False)

    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        values, numbers = _rows(x)
        rows = Rows(values, self.standardiser, at_once=False)
        y = torch.full((len(x),), UNLABELLED) if labels is None else torch.as_tensor(labels)
        with torch.inference_mode():
            parts = zip(numbers.split(EVALUATED), y.split(EVALUATED), strict=True)
            codes = [self.module.codes(Batch(rows.take(n).flatten(1), y)) for n, y in parts]
            return torch.cat(codes).numpy()

    def initialise(self, model: Any) -> None:
        """Copy the weights of the encoder into a classifier (ghosh2016, section 6).

        The classifier must then see features that are standardised by `standardiser`.

        Args:
            model: Model with an encoder of the same shape.
        """
        model.encoder.load_state_dict(self.module.encoder.state_dict())

    def sample(self, labels: np.ndarray, seed: int) -> np.ndarray:
        wanted = torch.as_tensor(labels, dtype=torch.long)
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made = self.module.decode(self.module.draw_codes(wanted), wanted)
        # Of frames, where an item is several.
        rows = made.numpy().reshape(-1, len(self.standardiser.mean))
        return self.standardiser.undo(rows).reshape(made.shape)

    def save(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        with FileLock(self.folder / results.LOCK):
            shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(results.LOCK))

    @property
    def facts(self) -> dict[str, Any]:
        components = getattr(self.module, "components", None)
        if components is None:
            return self._facts
        centres, spread = components
        return {**self._facts, "centres": centres.tolist(), "spread": spread}
