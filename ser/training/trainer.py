"""Training of a phased model on one fold: continued after a kill, best weights kept."""

import csv
import io
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from pytorch_lightning.loggers import Logger

from ser.data.batches import Batch
from ser.data.datamodule import DataModule
from ser.errors import UserError
from ser.results import METRICS, write_bytes
from ser.training import ranks
from ser.training.devices import free_gpu, require_gpus
from ser.training.phased import PhasedModel
from ser.training.progress import EpochProgress
from ser.training.stopping import Best, EpochEnd, Keeper, Watch

log = logging.getLogger(__name__)
# Lightning tells at each start which accelerators there are, and of its other products.
for library in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)
# Its own use of a torch name that is on its way out.
warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`")
# A representation is trained without.
warnings.filterwarnings("ignore", message="You defined a `validation_step` but have no")

STOPPED = "stopped; the same command goes on from the last checkpoint"


class Training:
    """How long, where, and how often saved: one run on one device.

    Args:
        max_epochs: epochs trained; the best on validation is the one tested.
        patience: epochs without a better one, after which training ends; None: it does not.
        stopping: partial of a rule that ends training by its losses, and keeps the last epoch's
            weights (`ser.training.stopping.Converged`); None: those best on validation are kept.
        accelerator: "cpu", "gpu" or "auto".
        devices: how many of them: one here, more in `ser.training.ddp`.
        runs_per_gpu: how many runs may share a GPU; further ones wait.
        precision: as in Lightning.
        threads: torch threads; part of the run's identity, because sums depend on it.
        checkpoint_seconds: time between checkpoints; 0 saves after every batch.
        deterministic: refuse operations whose result differs from call to call.
    """

    def __init__(
        self,
        *,
        max_epochs: int,
        patience: int | None,
        stopping: Callable[[], Keeper] | None,
        accelerator: Literal["cpu", "gpu", "auto"],
        devices: int,
        runs_per_gpu: int,
        precision: Literal["32-true", "16-mixed", "bf16-mixed"],
        threads: int,
        checkpoint_seconds: float,
        deterministic: bool,
    ) -> None:
        self.max_epochs, self.patience, self.stopping = max_epochs, patience, stopping
        self.accelerator, self.devices, self.precision = accelerator, devices, precision
        self.runs_per_gpu = runs_per_gpu
        self.threads = threads
        self.checkpoint_seconds = checkpoint_seconds
        self.deterministic = deterministic

    def fit(
        self,
        model: PhasedModel,
        data: pl.LightningDataModule,
        folder: Path,
        loggers: Sequence[Logger],
        keeper: Keeper | None = None,
        watch: Watch | None = None,
    ) -> Keeper:
        """Trains `model`, or continues from `folder/last.ckpt`, and loads the weights that it kept.

        Args:
            model: freshly made from the run's seed.
            data: of the fold.
            folder: of the checkpoints.
            loggers: beside `metrics.csv`.
            keeper: chooses which weights are kept; None: the best on validation.
            watch: what else is recorded.

        Raises:
            UserError: a loss is not finite, or there is no such device as is asked for.
            OSError: the disk is full.
        """
        self.require_devices()
        with self._device() as devices:
            keeper = keeper or self.keeper()
            keeper = self._train(model, data, folder, loggers, keeper, watch, devices=devices)
        model.load_state_dict(keeper.weights)
        return keeper

    def keeper(self) -> Keeper:
        """Which weights of a recogniser are kept."""
        return Best(self.patience) if self.stopping is None else self.stopping()

    def require_devices(self) -> None:
        """Holds the devices asked for against those that there are.

        Raises:
            UserError: there are fewer, or several are asked for.
        """
        if self.devices != 1:
            raise UserError(
                f"trainer.devices={self.devices}: one device trains a run, but for trainer=ddp"
            )
        if self.runs_per_gpu < 1:
            raise UserError(f"trainer.runs_per_gpu={self.runs_per_gpu}: at least 1")
        if self.accelerator == "gpu":
            require_gpus(1, "trainer=gpu")

    @contextmanager
    def _device(self) -> Iterator[int | list[int]]:
        """What Lightning is to train on: a GPU with room, or one device of another kind."""
        if self.accelerator == "cpu" or not torch.cuda.is_available():
            yield 1
        else:
            with free_gpu(self.runs_per_gpu) as number:
                yield [number]

    def _train(
        self,
        model: PhasedModel,
        data: pl.LightningDataModule,
        folder: Path,
        loggers: Sequence[Logger],
        keeper: Keeper,
        watch: Watch | None = None,
        **where: Any,
    ) -> Keeper:
        """Trains in this process, `where` being Lightning's devices; leaves `best.ckpt`."""
        folder.mkdir(parents=True, exist_ok=True)
        # Deterministic mode would fill all new memory with NaN, which costs and changes nothing.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        timed = TimedCheckpoint(folder, self.checkpoint_seconds)
        # In the order in which they are to see an epoch's end.
        callbacks = [EpochEnd(), watch, keeper, Record(folder.parent / METRICS), EpochProgress()]
        trainer = pl.Trainer(
            max_epochs=keeper.max_epochs or self.max_epochs,
            accelerator=self.accelerator,
            precision=self.precision,
            deterministic=self.deterministic,
            logger=list(loggers),
            callbacks=[*filter(None, callbacks), timed],
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            use_distributed_sampler=False,  # batches are shared by `ser.data.batches`
            **where,
        )
        resumed = timed.path if timed.path.exists() else None
        if resumed:
            log.info("continuing from %s", resumed)
        trainer.fit(model, datamodule=data, ckpt_path=resumed, weights_only=True)
        if trainer.is_global_zero:
            write_whole(folder / "best.ckpt", keeper.state_dict())
        return keeper


class Record(pl.Callback):
    """Writes the model's record to `metrics.csv` and to the loggers, a row an epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        if not trainer.is_global_zero:
            return
        # What was written after the last checkpoint is written again, to the same numbers.
        self.path.unlink(missing_ok=True)
        for row in module.record:
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
    """Saves everything that training needs to go on, by time, also in the middle of an epoch.

    Lightning saves weights, optimisers, loops and the loader's place; random states are added
    here, as tensors, so that `weights_only=True` loads them.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.path = folder / "last.ckpt"
        self.seconds = seconds
        self._random: list[dict[str, torch.Tensor]] = []  # of each rank, by kind of device

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._saved = time.monotonic()
        self._gpu = module.device if module.device.type == "cuda" else None
        rank = trainer.global_rank
        if self._random:
            states = self._random[rank]
            torch.set_rng_state(states["cpu"])
            if self._gpu is not None and "cuda" in states:
                torch.cuda.set_rng_state(states["cuda"], self._gpu)
        elif rank:
            # Each rank has dropout and samples of its own; the first one has those of the seed.
            mixed = np.random.SeedSequence([torch.initial_seed(), rank]).generate_state(1)[0]
            torch.manual_seed(int(mixed))

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        # After the last batch validation is about to run, and the epoch's end saves.
        if not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._save_if_due(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._save_if_due(trainer)

    def on_exception(
        self, trainer: pl.Trainer, module: pl.LightningModule, exception: BaseException
    ) -> None:
        # Lightning ends the process in silence when its user does.
        if isinstance(exception, KeyboardInterrupt):
            log.info(STOPPED)

    def state_dict(self) -> dict[str, Any]:
        states = {"cpu": torch.get_rng_state()}
        if self._gpu is not None:
            # Of the one that is used: a continued run may get another.
            states["cuda"] = torch.cuda.get_rng_state(self._gpu)
        return {"random": ranks.every(states)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._random = state["random"]

    def _save_if_due(self, trainer: pl.Trainer) -> None:
        due = time.monotonic() - self._saved >= self.seconds
        # A checkpoint is the work of all ranks, so that they save together or not at all.
        if not trainer.strategy.reduce_boolean_decision(due, all=False):
            return
        unfinished = self.path.with_suffix(".part")
        trainer.save_checkpoint(unfinished)
        if trainer.is_global_zero:
            unfinished.replace(self.path)
        self._saved = time.monotonic()


def write_whole(path: Path, content: dict[str, Any]) -> None:
    """Saves tensors and plain content whole or not at all."""
    # By way of memory: torch tells of a full disk by errors of its own.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getbuffer())


def conclude(model: PhasedModel, keeper: Keeper, data: DataModule, folder: Path) -> None:
    """Fits what gradients do not, on the training part, and keeps it with the other weights."""
    model.eval()
    with torch.no_grad():
        model.conclude(_moved(data.split_dataloader("train"), model))
    keeper.hold(model)
    write_whole(folder / "best.ckpt", keeper.state_dict())


def probabilities(model: PhasedModel, data: DataModule, part: str) -> torch.Tensor:
    """Class probabilities of a part's utterances, (N, C), in the order of the fold."""
    return of_batches(model, data.split_dataloader(part))


def of_batches(model: PhasedModel, batches: Iterable[Batch]) -> torch.Tensor:
    """Class probabilities of the utterances of some batches, (N, C), on the CPU."""
    model.eval()
    with torch.inference_mode():
        rows = [model.probabilities(batch) for batch in _moved(batches, model)]
    return torch.cat(rows).cpu()


def _moved(batches: Iterable[Batch], model: PhasedModel) -> Iterator[Batch]:
    """Batches, each on the model's device."""
    return (move_data_to_device(batch, model.device) for batch in batches)
