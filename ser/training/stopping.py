"""Stopping criteria, and the choice of the epoch whose weights are used."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from ser.errors import UserError
from ser.training.phased import PhasedModel

Weights = dict[str, torch.Tensor]
Record = Sequence[Mapping[str, float]]


class CheckpointSelection(pl.Callback, ABC):
    """Selects the weights of one epoch, and decides when training ends.

    Attributes:
        epoch: Number of the selected epoch, from 0; -1 before the first.
        weights: The selected weights, on the CPU so that they can be read without a GPU.
        max_epochs: Training ends after so many epochs; None: the trainer's number.
    """

    max_epochs: int | None = None

    def __init__(self) -> None:
        self.epoch = -1
        self.weights: Weights = {}

    @abstractmethod
    def is_over(self, record: Record) -> bool:
        """Return whether training ends after the last epoch of a record."""

    @abstractmethod
    def is_selected(self, module: PhasedModel) -> bool:
        """Return whether the last epoch of a model's record is selected, until a later one is."""

    def end_epoch(self, module: PhasedModel) -> bool:
        """Select the last epoch, if it is better; return whether training ends."""
        if self.is_selected(module):
            self.select(module)
        return self.is_over(module.record)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # The process may have been killed between the last epoch and the end of training.
        assert isinstance(module, PhasedModel)
        if module.record and self.is_over(module.record):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        if self.end_epoch(module):
            trainer.should_stop = True

    def select(self, module: PhasedModel) -> None:
        """Select the last epoch and its weights."""
        self.epoch = int(module.record[-1]["epoch"])
        self.snapshot(module)

    def snapshot(self, module: PhasedModel) -> None:
        """Copy the present weights; the selected epoch stays the same."""
        self.weights = {
            name: t.detach().to("cpu", copy=True) for name, t in module.state_dict().items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.weights = state["epoch"], state["weights"]


class BestValidation(CheckpointSelection):
    """Selects the epoch with the highest validation score, the first among equals.

    The score is UA for classes, CCC for values, and the mean over several tasks.

    Args:
        patience: Training ends after so many epochs without a higher validation score; None: it
            goes on to the last epoch.
    """

    def __init__(self, patience: int | None = None) -> None:
        super().__init__()
        self.patience = patience
        self.score = -math.inf

    def is_selected(self, module: PhasedModel) -> bool:
        score = module.record[-1][module.score]
        if not score > self.score:
            return False
        self.score = score
        return True

    def is_over(self, record: Record) -> bool:
        return self.patience is not None and record[-1]["epoch"] - self.epoch >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "score": self.score}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.score = state["score"]


class FixedEpochs(CheckpointSelection):
    """Trains for a fixed number of epochs, and selects the last one.

    Args:
        max_epochs: Number of epochs.
    """

    def __init__(self, *, max_epochs: int) -> None:
        super().__init__()
        self.max_epochs = max_epochs

    def is_selected(self, module: PhasedModel) -> bool:
        return len(module.record) == self.max_epochs or self.is_over(module.record)

    def is_over(self, record: Record) -> bool:
        return False  # the trainer counts the epochs


class Converged(FixedEpochs):
    """Trains until the training losses have converged, and selects the last epoch.

    A loss has converged when its mean over the last `window` epochs differs from its mean over the
    `window` epochs before by at most `tolerance`, relative to the latter. sahu2017 (section 3.3.1)
    trains "while adversarial losses converge", and gives no criterion.

    Args:
        phases: Phases whose losses must all have converged.
        window: Number of epochs.
        tolerance: Largest relative change.
        max_epochs: Training ends after so many epochs in any case.
        below: Bounds by name of the loss, e.g. {"reconstruction": 50.0}; training also ends when
            every loss is less than its bound (latif2018, section 4.3). None: no bounds.
    """

    def __init__(
        self,
        *,
        phases: Sequence[str],
        window: int,
        tolerance: float,
        max_epochs: int,
        below: Mapping[str, float] | None,
    ) -> None:
        super().__init__(max_epochs=max_epochs)
        self.columns = [f"train/{phase}_loss" for phase in phases]
        self.window, self.tolerance = window, tolerance
        self.below = {f"train/{name}_loss": bound for name, bound in (below or {}).items()}

    def is_over(self, record: Record) -> bool:
        return self._has_converged(record) or self._is_below(record[-1])

    def _has_converged(self, record: Record) -> bool:
        if len(record) < 2 * self.window:
            return False
        rows = [[row[column] for column in self.columns] for row in record[-2 * self.window :]]
        before, last = np.asarray(rows).reshape(2, self.window, -1).mean(axis=1)
        return bool((np.abs(last - before) <= self.tolerance * np.abs(before)).all())

    def _is_below(self, row: Mapping[str, float]) -> bool:
        if unknown := [column for column in self.below if column not in row]:
            losses = [column for column in row if column.endswith("_loss")]
            raise UserError(
                f"representation.stopping.below: unknown loss {', '.join(unknown)}; the losses "
                f"are {', '.join(losses)}"
            )
        return bool(self.below) and all(row[name] < bound for name, bound in self.below.items())
