"""What happens at the end of an epoch, and checkpoints by time."""

import csv
import logging
import math
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from ser.data.batches import Batches
from ser.errors import UserError
from ser.training import ranks
from ser.training.checkpoints import LAST
from ser.training.devices import has_room
from ser.training.phased import PhasedModel

log = logging.getLogger(__name__)

STOPPED = "stopped; the same command continues from the last checkpoint"
TERMINATED = "checkpoint saved; the same command continues from it"


class EpochEnd(pl.Callback):
    """Completes the model's record of an epoch before other callbacks read it."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        module.end_epoch()
        require_finite(module.record[-1])


def is_finite(row: Mapping[str, float]) -> bool:
    """Return whether training goes on after an epoch with this row of the record."""
    return all(map(math.isfinite, row.values()))


def require_finite(row: Mapping[str, float]) -> None:
    """Raise a UserError if training cannot go on after an epoch with this row of the record."""
    if not is_finite(row):
        broken = [name for name, value in row.items() if not math.isfinite(value)]
        raise UserError(
            f"epoch {row['epoch']:.0f}: {', '.join(broken)} is not finite; a lower learning rate "
            "(optimiser.lr) or clipped features (data.clip) may help. The last checkpoint before "
            "this epoch is kept"
        )


class MonitoredLosses(pl.Callback):
    """Adds the losses on other utterances to the record, for a figure.

    Training is not affected: random states are restored.

    Args:
        part: Name of the split that the utterances are of; prefix of the columns.
        batches: Batches of the utterances.
    """

    def __init__(self, part: str, batches: Batches) -> None:
        self.part, self.batches = part, batches

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        sums: dict[str, float] = defaultdict(float)
        module.eval()
        gpus = [module.device] if module.on_gpu else []
        with torch.no_grad(), torch.random.fork_rng(gpus):
            for batch in self.batches:
                on_device = module.transfer_batch_to_device(batch, module.device, 0)
                losses = module.losses(on_device)
                for phase, (name, loss) in zip(module.phases, losses.items(), strict=True):
                    sums[name] += float(loss) * (len(batch.y) if phase.items else 1)
        module.train()
        count = len(self.batches.y)
        module.record[-1] |= {f"{self.part}/{name}": value / count for name, value in sums.items()}


class RowsOnGpu(pl.Callback):
    """Copies the features to the GPU for the training, if they fit, and gathers batches there.

    A step of a small network takes less time than the transfer of its batch.
    """

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._placed: list[Batches] = []
        if module.on_gpu:
            for batches in (trainer.train_dataloader, trainer.val_dataloaders):
                if batches is not None and batches.can_move and self._fits(batches, module.device):
                    batches.move(module.device)
                    self._placed.append(batches)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        for batches in self._placed:
            batches.move(torch.device("cpu"))

    def _fits(self, batches: Batches, device: torch.device) -> bool:
        return batches.rows.is_on(device) or has_room(batches.rows.size, device)


class RecordWriter(pl.Callback):
    """Writes the model's record to a CSV file and to the loggers, one row per epoch.

    Args:
        path: File, which is replaced when training starts or is resumed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        if trainer.is_global_zero:
            # Epochs after the last checkpoint are trained again, with the same results.
            self.write(module.record)

    def write(self, record: Sequence[dict[str, float]]) -> None:
        """Replace the file."""
        self.path.unlink(missing_ok=True)
        for row in record:
            self._append(row)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        row = module.record[-1]
        if trainer.is_global_zero:
            self._append(row)
        for logger in trainer.loggers:
            logger.log_metrics(row, step=int(row["epoch"]))

    def _append(self, row: dict[str, float]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)


class TimedCheckpoint(pl.Callback):
    """Saves by time, also within an epoch, everything that training needs to be resumed.

    An interrupt (Ctrl-C) or SIGTERM is handled after the current batch, when the state is
    consistent: it saves a checkpoint and ends training. A second interrupt ends training at once.
    SIGTERM ends the process, unless somebody else handles it: in jobs of submitit, training
    continues until the scheduler ends the job, which may put it back into the queue.

    Lightning saves the weights, optimisers, loops and the position of the loader. Random states
    are added here, as tensors, so that `weights_only=True` loads them.

    Args:
        folder: Receives `last.ckpt`.
        seconds: Time between two checkpoints; 0 saves after every batch.
        owner: Key of the run or fit, so that no other training continues from the file.
    """

    def __init__(self, folder: Path, seconds: float, owner: str) -> None:
        self.path = folder / LAST
        self.seconds, self.owner = seconds, owner
        self._random: list[dict[str, torch.Tensor]] = []  # by rank, then by kind of device
        self._received: int | None = None  # number of the signal that is to be handled
        # Handlers before training. That of SIGTERM is read before Lightning replaces it.
        self._handlers: dict[int, Any] = {}
        self._of_sigterm = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self._random:
            log.info("continuing from %s in epoch %d", self.path, trainer.current_epoch)
        if threading.current_thread() is threading.main_thread():
            self._replace_handlers()
        self._saved = time.monotonic()
        self._gpu = module.device if module.device.type == "cuda" else None
        rank = trainer.global_rank
        if self._random:
            states = self._random[rank]
            torch.set_rng_state(states["cpu"])
            if self._gpu is not None and "cuda" in states:
                torch.cuda.set_rng_state(states["cuda"], self._gpu)
        elif rank:
            # Ranks must not share dropout masks and samples. Rank 0 has those of the run's seed.
            mixed = np.random.SeedSequence([torch.initial_seed(), rank]).generate_state(1)[0]
            torch.manual_seed(int(mixed))

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        # Validation follows the last batch; the checkpoint is then saved at the epoch's end.
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._save_if_due(trainer)

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._restore_handlers()
        # Lightning exits without a message when the user interrupts it.
        if isinstance(exception, KeyboardInterrupt):
            log.info("in epoch %d: %s", trainer.current_epoch, STOPPED)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._restore_handlers()
        if self._received is not None:  # after the last batch
            signal.raise_signal(self._received)

    def _interrupt(self, number: int, frame: Any) -> None:
        if number == self._received == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = number

    def _replace_handlers(self) -> None:
        interrupts = signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGTERM, self._interrupt)
        self._handlers = {signal.SIGINT: interrupts, signal.SIGTERM: self._of_sigterm}

    def _restore_handlers(self) -> None:
        for number, handler in self._handlers.items():
            if handler is not None:  # that of a library in C
                signal.signal(number, handler)
        self._handlers = {}

    def state_dict(self) -> dict[str, Any]:
        states = {"cpu": torch.get_rng_state()}
        if self._gpu is not None:
            # Only the state of the GPU in use: a resumed run may get another GPU.
            states["cuda"] = torch.cuda.get_rng_state(self._gpu)
        return {"random": ranks.every(states), "owner": self.owner}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._random = state["random"]

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        due = self._received is not None or time.monotonic() - self._saved >= self.seconds
        # All ranks take part in a checkpoint, so they must agree to save one.
        if not trainer.strategy.reduce_boolean_decision(due, all=False):
            return
        unfinished = self.path.with_suffix(".part")
        trainer.save_checkpoint(unfinished)
        if trainer.is_global_zero:
            unfinished.replace(self.path)
        self._saved = time.monotonic()
        interrupted = self._received == signal.SIGINT
        if trainer.strategy.reduce_boolean_decision(interrupted, all=False):
            raise KeyboardInterrupt
        if self._received == signal.SIGTERM:
            self._terminate(trainer)

    def _terminate(self, trainer: pl.Trainer) -> None:
        """Handle SIGTERM as before training; return if the process is to go on."""
        log.info("SIGTERM in epoch %d: %s", trainer.current_epoch, TERMINATED)
        self._restore_handlers()
        self._received = None
        signal.raise_signal(signal.SIGTERM)
        self._replace_handlers()
