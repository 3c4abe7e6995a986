"""Which weights a training keeps, what it records beside them, and when it ends."""

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from ser.data.batches import Batches
from ser.errors import UserError
from ser.training.phased import PhasedModel

Weights = dict[str, torch.Tensor]


class EpochEnd(pl.Callback):
    """Has the model close its record of an epoch, before others read it."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        module.end_epoch()
        _require_finite(module.record[-1])


class Watch(pl.Callback):
    """Adds the losses on other utterances to an epoch's record, for a figure.

    Training does not notice: it draws the same random numbers with it and without.

    Args:
        part: of the utterances, which names the columns.
        batches: of them.
    """

    def __init__(self, part: str, batches: Batches) -> None:
        self.part, self.batches = part, batches

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        sums: dict[str, float] = defaultdict(float)
        module.eval()
        with torch.no_grad(), torch.random.fork_rng():
            for batch in self.batches:
                on_device = module.transfer_batch_to_device(batch, module.device, 0)
                for name, loss in module.losses(on_device).items():
                    sums[name] += float(loss) * len(batch.y)
        module.train()
        count = len(self.batches.y)
        module.record[-1] |= {f"{self.part}/{name}": value / count for name, value in sums.items()}


class Keeper(pl.Callback, ABC):
    """Keeps the weights of one epoch, and says when training is over.

    Attributes:
        epoch: whose they are, from 0.
        weights: on the CPU, so that they can be read where there is no GPU.
        max_epochs: after which training ends; None: the trainer's.
    """

    max_epochs: int | None = None

    def __init__(self) -> None:
        self.epoch = -1
        self.weights: Weights = {}

    @abstractmethod
    def is_over(self, record: Sequence[Mapping[str, float]]) -> bool:
        """Whether training ends with the last epoch of a record."""

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # Killed after it was over, and before anybody knew.
        assert isinstance(module, PhasedModel)
        if module.record and self.is_over(module.record):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        if self.is_over(module.record):
            trainer.should_stop = True

    def keep(self, module: PhasedModel) -> None:
        self.epoch = int(module.record[-1]["epoch"])
        self.hold(module)

    def hold(self, module: PhasedModel) -> None:
        """Takes the weights as they are now."""
        self.weights = {
            name: t.detach().to("cpu", copy=True) for name, t in module.state_dict().items()
        }

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.weights = state["epoch"], state["weights"]


class Converged(Keeper):
    """Keeps the last weights, and ends training once its losses have come to rest.

    They have when the mean of each over the last `window` epochs differs from its mean over the
    `window` before by no more than a share of `tolerance`. sahu2017 (section 3.3.1) trains "while
    adversarial losses converge", and says no more; only losses of the training part are read.

    Args:
        phases: whose losses are read.
        window: epochs.
        tolerance: relative change.
        max_epochs: after which training ends in any case.
        below: losses by name, e.g. {"reconstruction": 50.0}: it ends once all of them are less,
            too (latif2018, section 4.3); None: however small they are.
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
        super().__init__()
        self.columns = [f"train/{phase}_loss" for phase in phases]
        self.window, self.tolerance, self.max_epochs = window, tolerance, max_epochs
        self.below = {f"train/{name}_loss": bound for name, bound in (below or {}).items()}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, module)
        assert isinstance(module, PhasedModel)
        if trainer.should_stop or len(module.record) == self.max_epochs:
            self.keep(module)

    def is_over(self, record: Sequence[Mapping[str, float]]) -> bool:
        return self._is_at_rest(record) or self._is_below(record[-1])

    def _is_at_rest(self, record: Sequence[Mapping[str, float]]) -> bool:
        if len(record) < 2 * self.window:
            return False
        rows = [[row[column] for column in self.columns] for row in record[-2 * self.window :]]
        before, last = np.asarray(rows).reshape(2, self.window, -1).mean(axis=1)
        return bool((np.abs(last - before) <= self.tolerance * np.abs(before)).all())

    def _is_below(self, row: Mapping[str, float]) -> bool:
        if unknown := [column for column in self.below if column not in row]:
            raise UserError(
                f"representation.stopping.below: there is no {', '.join(unknown)}; there are "
                f"{', '.join(column for column in row if column.endswith('_loss'))}"
            )
        return bool(self.below) and all(row[name] < bound for name, bound in self.below.items())


class Best(Keeper):
    """Keeps the weights of the epoch with the highest validation UA, the first of equals.

    Args:
        patience: training ends after so many epochs without a higher one; None: never before the
            last epoch.
    """

    def __init__(self, patience: int | None = None) -> None:
        super().__init__()
        self.patience = patience
        self.score = -math.inf

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        row = module.record[-1]
        if row["val/ua"] > self.score:
            self.score = row["val/ua"]
            self.keep(module)
        super().on_train_epoch_end(trainer, module)

    def is_over(self, record: Sequence[Mapping[str, float]]) -> bool:
        return self.patience is not None and record[-1]["epoch"] - self.epoch >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "score": self.score}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.score = state["score"]


def _require_finite(row: dict[str, float]) -> None:
    broken = [name for name, value in row.items() if not math.isfinite(value)]
    if broken:
        raise UserError(
            f"epoch {row['epoch']:.0f}: {', '.join(broken)} is not finite; a lower learning rate "
            "(optimiser.lr) or clipped features (data.clip) may help. The last checkpoint before "
            "it is kept"
        )
