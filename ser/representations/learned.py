"""Models as representations, trained for fixed epochs or until their losses have converged.

The stopping criteria use training losses only, so no validation split is needed.
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
from torch import Tensor

from ser import results
from ser.data.batches import SCORING_BATCH_SIZE, UNLABELLED, Batch, Batches, Rows, Task
from ser.data.segments import Segments
from ser.data.standardise import FILE, Standardiser
from ser.errors import UserError
from ser.representations import (
    FitRequest,
    Fitted,
    Fitting,
    Items,
    Representation,
    read_facts,
)
from ser.representations.curves import Curves
from ser.results.fitted import fit_version
from ser.training.callbacks import MonitoredLosses
from ser.training.checkpoints import LAST, load_weights
from ser.training.phased import PhasedModel
from ser.training.stopping import CheckpointSelection
from ser.training.trainer import TrainingBatches

log = logging.getLogger(__name__)

CHECKPOINTS = "checkpoints"
BEST = f"{CHECKPOINTS}/best.ckpt"
# Files of a fit whose digests are kept with its facts.
FILES = (BEST, FILE, results.METRICS)


class Coder(Protocol):
    """Methods of a `PhasedModel` that can be a representation.

    A model whose codes are conditioned on classes has the attributes `variants` and
    `reads_labels` of `Fitted`.

    Attributes:
        width: Width of a code.
    """

    width: int

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, width) codes; uses labels only if `reads_labels`."""

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes and (B,) labels -> (B, D) features."""

    def reconstruct(self, batch: Batch) -> Tensor:
        """Features -> reconstructed features of the same shape, given the labels."""

    def draw_codes(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, K) samples of the prior."""


class Learned(Representation):
    """A model trained on the training split, stored in a folder that equal fits share.

    Args:
        fitting: How and where it is fitted.
        module: Partial of a `PhasedModel` that is a `Coder`, called with a task and K.
        size: K, or several sizes, of which inner folds choose one.
        clip: As in `Representation`.
        batch_size: Utterances or segments per batch.
        stopping: Partial of a stopping criterion (`ser.training.stopping`).
    """

    @property
    def network(self) -> "type[Network]":
        """Class of the fitted representation."""
        return Network

    def __init__(
        self,
        fitting: Fitting,
        *,
        module: Callable[..., PhasedModel],
        size: int | Sequence[int],
        clip: float | None,
        batch_size: int,
        stopping: Callable[[], CheckpointSelection],
    ) -> None:
        super().__init__(fitting, size=size, clip=clip)
        self.module, self.batch_size, self.stopping = module, batch_size, stopping

    def _fit(self, request: FitRequest) -> "Network":
        key = self.key(request.x, request.y, request.size)
        folder = self.fitting.root / key
        if request.monitored is None and not request.loggers:
            return self.cached(key, lambda: self._load_or_train(request, folder, []))
        curves = [Curves(logger, folder / results.METRICS) for logger in request.loggers]
        return self._load_or_train(request, folder, curves)

    def _load_or_train(
        self, request: FitRequest, folder: Path, curves: Sequence[Curves]
    ) -> "Network":
        monitored = None if request.monitored is None else self.key(*request.monitored, 0)
        folder.mkdir(parents=True, exist_ok=True)
        # Another run that needs the same fit waits for it, or resumes it after a kill.
        with FileLock(folder / results.LOCK):
            again = self._is_forced(folder.name)
            facts = None if again else _intact_facts(folder)
            if facts is None or (monitored is not None and facts["monitored"] != monitored):
                self._train(request, monitored, folder, curves)
            for each in curves:
                each.catch_up()
        return self.load(folder)

    def _is_forced(self, key: str) -> bool:
        """Record that the run uses a fit; return whether it must be made again."""
        used, force = self.fitting.used, self.fitting.force
        return used is not None and used.add(key) and force

    def load(self, folder: Path) -> "Network":
        """Load what `fit` or `Network.save` has left in a folder.

        Raises:
            UserError: The folder contains no fitted representation.
        """
        inputs, classes, size = read_facts(folder, "inputs", "classes", "size")
        module = self.module(Task(inputs, classes, None, {}), size)
        load_weights(module, folder / BEST)
        facts = results.read_sealed(folder / results.FITTED) or {}
        facts.pop("digests", None)
        return self.network(module.eval(), Standardiser.load(folder), facts, folder)

    def untrained(self, fitted: "Network") -> "Network":
        """Return the network of a fit as it was before training, with the same standardiser.

        Random states are restored.
        """
        facts = fitted.facts
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.fitting.seed)
            module = self.module(Task(facts["inputs"], facts["classes"], None, {}), facts["size"])
        return self.network(module.eval(), fitted.standardiser, facts, fitted.folder)

    def _train(
        self,
        request: FitRequest,
        monitored: str | None,
        folder: Path,
        curves: Sequence[Curves],
    ) -> None:
        """Train into a folder; `monitored` is the key of the monitored items."""
        started, fitting, x = time.monotonic(), self.fitting, request.x
        # An earlier fit, if there is one, must not be taken for this one after a kill.
        (folder / results.FITTED).unlink(missing_ok=True)
        standardiser = fit_standardiser(x, self.clip)
        pl.seed_everything(fitting.seed, verbose=False)
        module = self.module(Task(x.shape[1], fitting.classes, None, {}), request.size)
        data = TrainingBatches(
            self.batches(standardiser, x, request.y, self.batch_size, fitting.seed)
        )
        losses = None
        if request.monitored is not None:
            others = self.batches(standardiser, *request.monitored, SCORING_BATCH_SIZE, None)
            losses = MonitoredLosses("test", others)
        selected = fitting.training.fit(
            module, data, folder / CHECKPOINTS, curves, self.stopping(), losses
        )
        (folder / CHECKPOINTS / LAST).unlink(missing_ok=True)
        standardiser.save(folder)
        kind = "segments" if isinstance(x, Segments) else "utterances"
        facts = {
            "inputs": x.shape[1],
            "classes": fitting.classes,
            "size": request.size,
            kind: len(x),
            "epochs": selected.epoch + 1,
            "monitored": monitored,
            "version": fit_version(),
        }
        digests = results.digests_of(folder, FILES)
        results.write_sealed(folder / results.FITTED, {**facts, "digests": digests})
        log.info(
            "%s of %d values fitted on %d %s: %d epochs, %.0f s",
            type(module).__name__,
            request.size,
            len(x),
            kind,
            selected.epoch + 1,
            time.monotonic() - started,
        )

    @staticmethod
    def batches(
        standardiser: Standardiser, x: Items, y: np.ndarray, size: int, seed: int | None
    ) -> Batches:
        """Return the batches of items.

        Args:
            standardiser: Standardiser of the features.
            x: N items.
            y: (N,) class indices.
            size: Items per batch.
            seed: Seed of their order; None: the order of `x`.
        """
        values, numbers = _rows(x)
        mapped = isinstance(x, Segments) and x.mapped
        rows = Rows(values, standardiser, eager=not mapped)
        labels = torch.tensor(y, dtype=torch.long)
        return Batches(rows, numbers, labels, batch_size=size, seed=seed)


def _intact_facts(folder: Path) -> dict[str, Any] | None:
    """Return the facts of a stored fit; None: there is none, or it was damaged and is removed."""
    try:
        facts = results.read_sealed(folder / results.FITTED)
        if facts is not None:
            for message in results.changed_files(folder, facts.get("digests", {})):
                raise UserError(message)
            results.require_intact_archive(folder / BEST)
            results.require_intact_archive(folder / FILE)
    except UserError as error:
        log.warning("%s; it is fitted again", error)
        for name in (results.FITTED, *FILES):
            (folder / name).unlink(missing_ok=True)
        return None
    if facts is None:
        for remains in folder.rglob("*.part"):  # of a process that was killed
            remains.unlink(missing_ok=True)
    return facts


def _rows(x: Items) -> tuple[np.ndarray, Tensor]:
    """Return rows of features, and the row numbers of each item, (N,) or (N, L)."""
    if isinstance(x, Segments):
        return x.values, torch.from_numpy(x.frames)
    return x, torch.arange(len(x))


def fit_standardiser(x: Items, clip: float | None) -> Standardiser:
    """Fit a standardiser of features; for segments, of their frames, each counted once."""
    if isinstance(x, Segments):
        return Standardiser.fit(x.values, x.used, clip)
    return Standardiser.fit(x, np.arange(len(x)), clip)


class Network(Fitted):
    """A trained model.

    Args:
        module: The model, in evaluation mode.
        standardiser: Standardiser of its features, or of their frames.
        facts: Description of the training.
        folder: Folder where it is stored.
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
        rows = Rows(values, self.standardiser, eager=False)
        y = torch.full((len(x),), UNLABELLED) if labels is None else torch.as_tensor(labels)
        with torch.inference_mode():
            parts = zip(numbers.split(SCORING_BATCH_SIZE), y.split(SCORING_BATCH_SIZE), strict=True)
            codes = [self.module.codes(Batch(rows.take(n).flatten(1), y)) for n, y in parts]
            return torch.cat(codes).numpy()

    def batches(self, x: Items, y: np.ndarray) -> Batches:
        """Return batches of items in their order, for scoring."""
        return Learned.batches(self.standardiser, x, y, SCORING_BATCH_SIZE, None)

    def initialise(self, model: Any) -> None:
        """Copy the weights of the encoder into a classifier (ghosh2016, section 6).

        The classifier must then see features that are standardised by `standardiser`.

        Args:
            model: Model with an encoder of the same shape.
        """
        model.encoder.load_state_dict(self.module.encoder.state_dict())

    def sample(self, labels: np.ndarray, seed: int) -> np.ndarray:
        classes = torch.as_tensor(labels, dtype=torch.long)
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            samples = self.module.decode(self.module.draw_codes(classes), classes)
        # A segment is standardised frame by frame.
        rows = samples.numpy().reshape(-1, len(self.standardiser.mean))
        return self.standardiser.undo(rows).reshape(samples.shape)

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
