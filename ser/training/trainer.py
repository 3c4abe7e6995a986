"""Training of a phased model: resumable, with a selection of the epoch whose weights are used."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment

from ser.config import machine
from ser.data.batches import Batches
from ser.errors import UserError
from ser.results import METRICS
from ser.training.callbacks import EpochEnd, RecordWriter, RowsOnGpu, TimedCheckpoint
from ser.training.captured import CapturedSteps
from ser.training.checkpoints import discard_unusable, owner_of, save_atomically
from ser.training.devices import allow_tf32, free_gpu, require_gpus
from ser.training.phased import PhasedModel
from ser.training.progress import EpochProgress
from ser.training.stopping import BestValidation, CheckpointSelection

log = logging.getLogger(__name__)
# Lightning reports the accelerators of the machine, and advertises, at each start.
for library in ("pytorch_lightning", "lightning_fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)
# Lightning uses a deprecated name of torch.
warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`")
# Representations are trained without validation.
warnings.filterwarnings("ignore", message="You defined a `validation_step` but have no")
# Wherever Slurm is installed, Lightning recommends to start every command by `srun`.
warnings.filterwarnings("ignore", message="The `srun` command is available")


class Training:
    """How a model is trained: how long, on which device, how often it is saved.

    Args:
        max_epochs: Largest number of epochs.
        patience: Training ends after so many epochs without a higher validation score; None: it
            does not.
        stopping: Partial of a stopping criterion that selects the last epoch
            (`ser.training.stopping.Converged`, `FixedEpochs`); None: the epoch with the highest
            validation score (UA or CCC) is selected.
        accelerator: "cpu"; "gpu"; or "auto": a GPU where there is a driver of one, else the CPU.
        devices: Number of devices: 1, or more in `ser.training.ddp`.
        runs_per_gpu: Number of runs that may share a GPU; further ones wait.
        precision: Precision, as in Lightning; or "tf32": on GPUs, factors of products are rounded
            to ten bits.
        threads: Number of torch threads; part of the run key, because sums depend on it.
        checkpoint_seconds: Time between checkpoints; 0 saves after every batch.
        deterministic: Refuse operations whose result differs from call to call.
        graphs: Capture steps as CUDA graphs, on one GPU and not in mixed precision, where the model
            allows it; False, as in configurations before there was the option: do not.
        packed: Train in packs (`ser.training.pack`); False, as in configurations before there was
            the option: each run by itself.

    Raises:
        UserError: "tf32" is asked for on a CPU.
    """

    def __init__(
        self,
        *,
        max_epochs: int,
        patience: int | None,
        stopping: Callable[[], CheckpointSelection] | None,
        accelerator: Literal["cpu", "gpu", "auto"],
        devices: int,
        runs_per_gpu: int,
        precision: Literal["32-true", "tf32", "16-mixed", "bf16-mixed"],
        threads: int,
        checkpoint_seconds: float,
        deterministic: bool,
        graphs: bool = False,
        packed: bool = False,
    ) -> None:
        self.graphs, self.packed = graphs, packed
        self.max_epochs, self.patience, self.stopping = max_epochs, patience, stopping
        self.accelerator = machine.accelerator(accelerator)
        self.devices, self.precision = devices, precision
        if precision == "tf32" and self.accelerator == "cpu":
            raise UserError(
                "trainer.precision=tf32: a CPU computes with all bits; trainer=gpu, or "
                "trainer.precision=32-true"
            )
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
        selection: CheckpointSelection | None = None,
        monitored: pl.Callback | None = None,
        checkpoints: Path | None = None,
    ) -> CheckpointSelection:
        """Train a model, or resume from `last.ckpt`, and load the selected weights.

        Args:
            model: Model, initialised from the run's seed.
            data: Data of the fold.
            folder: Folder of `best.ckpt`; `metrics.csv` is written beside it.
            loggers: Further loggers.
            selection: Selects the weights and ends training; None: that of a recogniser, as
                configured.
            monitored: Callback that computes something on other data at the end of each epoch.
            checkpoints: Folder of `last.ckpt`; None: `folder`.

        Raises:
            UserError: A loss is not finite, or a requested device is not available.
            OSError: The disk is full.
        """
        self.require_devices()
        checkpoints = checkpoints or folder
        discard_unusable(checkpoints)
        with self.device() as devices:
            selection = selection or self.selection()
            self._train(
                *(model, data, folder, loggers, selection, monitored, checkpoints), devices=devices
            )
        model.load_state_dict(selection.weights)
        return selection

    def selection(self) -> CheckpointSelection:
        """Return a new checkpoint selection for a recogniser."""
        return BestValidation(self.patience) if self.stopping is None else self.stopping()

    def require_devices(self) -> None:
        """Check that the requested devices are available.

        Raises:
            UserError: They are not, or several are requested.
        """
        if self.devices != 1:
            raise UserError(
                f"trainer.devices={self.devices}: only trainer=ddp trains on several devices"
            )
        if self.runs_per_gpu < 1:
            raise UserError(f"trainer.runs_per_gpu={self.runs_per_gpu}: at least 1")
        if self.accelerator == "gpu":
            require_gpus(1, "trainer=gpu")

    @contextmanager
    def device(self) -> Iterator[int | list[int]]:
        """Yield Lightning's `devices`: one CPU, or a GPU with a free slot."""
        if self.accelerator == "cpu":
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
        selection: CheckpointSelection,
        monitored: pl.Callback | None = None,
        checkpoints: Path | None = None,
        **devices: Any,
    ) -> None:
        """Train in this process, and write `best.ckpt`; `devices` are options of Lightning."""
        checkpoints = checkpoints or folder
        for each in (folder, checkpoints):
            each.mkdir(parents=True, exist_ok=True)
        # Deterministic mode would fill all new memory with NaN, which costs time to no effect.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        if self.accelerator == "gpu":
            allow_tf32(self.precision != "32-true")
        timed = TimedCheckpoint(checkpoints, self.checkpoint_seconds, owner_of(checkpoints))
        # They are called in this order at the end of an epoch.
        record = RecordWriter(folder.parent / METRICS)
        callbacks = [EpochEnd(), monitored, selection, record, EpochProgress(), RowsOnGpu()]
        trainer = pl.Trainer(
            max_epochs=selection.max_epochs or self.max_epochs,
            accelerator=self.accelerator,
            precision="32-true" if self.precision == "tf32" else self.precision,
            deterministic=self.deterministic,
            logger=list(loggers),
            callbacks=[*filter(None, callbacks), timed],
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            use_distributed_sampler=False,  # `ser.data.batches` distributes the batches
            # No process but this one, or those of `ser.training.ddp`, takes part in the training.
            # In a Slurm job, Lightning would take its tasks for the processes of one training.
            plugins=[LightningEnvironment()],
            **devices,
        )
        resumed = timed.path if timed.path.exists() else None
        if self._takes_graphs(model):
            model.captured = CapturedSteps()
        try:
            trainer.fit(model, datamodule=data, ckpt_path=resumed, weights_only=True)
        finally:
            model.captured = None  # the memory of the GPU is free again
        if trainer.is_global_zero:
            if len(model.record) < (trainer.max_epochs or 0):
                log.info(
                    "training stopped after epoch %d of 0 to %d: the weights of epoch %d are kept",
                    model.record[-1]["epoch"],
                    (trainer.max_epochs or 0) - 1,
                    selection.epoch,
                )
            save_atomically(folder / "best.ckpt", selection.state_dict())

    def _takes_graphs(self, model: PhasedModel) -> bool:
        """Whether the steps of a model are captured as CUDA graphs."""
        one_gpu = self.accelerator == "gpu" and self.devices == 1
        # A step of a recurrent network depends on the lengths of sequences, as the CPU knows them.
        recurrent = any(isinstance(module, torch.nn.RNNBase) for module in model.modules())
        mixed = self.precision.endswith("mixed")
        return self.graphs and one_gpu and model.takes_graphs and not (mixed or recurrent)


def save_training(
    folder: Path,
    record: Sequence[dict[str, float]],
    selection: CheckpointSelection,
    loggers: Sequence[Logger],
) -> None:
    """Write what a training leaves, where it was not made by `Training.fit`.

    Args:
        folder: Folder of `best.ckpt`; `metrics.csv` is written beside it.
        record: Record of the model.
        selection: Selected weights.
        loggers: Further loggers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_atomically(folder / "best.ckpt", selection.state_dict())
    RecordWriter(folder.parent / METRICS).write(record)
    for row in record:
        for logger in loggers:
            logger.log_metrics(row, step=int(row["epoch"]))


class TrainingBatches(pl.LightningDataModule):
    """Training batches without validation.

    Args:
        batches: The batches of an epoch.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self) -> Batches:
        return self.batches
