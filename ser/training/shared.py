"""One training for two folds that have the same training split (`ser.data.counterpart`).

The folds differ in their validation splits: that of one is the test split of the other. The epoch
of each is selected by its own validation split alone, and its test split is predicted after that.
The results are, bit for bit, those of two trainings.

    <fitted>/<training key>/
        running.lock             held by the run that trains
        checkpoints/last.ckpt    from which either run continues
        <run key>.ckpt           selected weights and record of a fold; removed by its finished run
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from filelock import FileLock, Timeout
from pytorch_lightning.loggers import Logger
from torch import Tensor

from ser.data.counterpart import require_same_training
from ser.data.datamodule import DataModule
from ser.data.folds import Fold
from ser.errors import UserError
from ser.results import LOCK
from ser.training.callbacks import is_finite
from ser.training.checkpoints import LAST, load_checkpoint, save_atomically
from ser.training.phased import PhasedModel
from ser.training.stopping import CheckpointSelection
from ser.training.trainer import Training, save_training

log = logging.getLogger(__name__)


class OtherValidation(pl.Callback):
    """Selects an epoch of a training for another fold, by the validation split of that fold.

    The training and its own selection are not affected.

    Args:
        data: Data of the other fold.
        run_key: Key of the run of the other fold.
        selection: Selection of the other fold.

    Attributes:
        record: The record that a training of the other fold would have.
        usable: Whether a training of the other fold would be the same, and has not failed.
    """

    def __init__(self, data: DataModule, run_key: str, selection: CheckpointSelection) -> None:
        self.data, self.run_key, self.selection = data, run_key, selection
        self.record: list[dict[str, float]] = []
        self.usable = True

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        own = trainer.datamodule  # type: ignore[attr-defined]
        require_same_training(own.fold, self.data.fold)
        self.batches = self.data.val_dataloader()
        assert self.data.fold.val.equals(own.fold.test)
        assert len(self.batches.y) == len(self.data.fold.val)

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._random = _random_states(module)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        # A validation that draws random numbers changes the training that follows.
        pairs = zip(self._random, _random_states(module), strict=True)
        self.usable &= all(torch.equal(before, after) for before, after in pairs)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, PhasedModel)
        if not self.usable:
            return
        # The record of the other fold takes the place of that of this one for a moment.
        own, module.record = module.record, self.record
        try:
            self._validate(trainer, module)
            module.end_epoch()
            self.usable = is_finite(module.record[-1])
            self.selection.on_train_epoch_end(trainer, module)
        finally:
            module.record = own

    def _validate(self, trainer: pl.Trainer, module: PhasedModel) -> None:
        """Validate as Lightning does; random states and the modes of modules are restored."""
        trained = [each for each in module.modules() if each.training]
        module.eval()
        gpus = [module.device] if module.on_gpu else []
        if self.batches.rows.is_on(module.device):
            self.batches.move(module.device)
        with torch.random.fork_rng(gpus), torch.inference_mode():
            module.on_validation_epoch_start()
            for number, batch in enumerate(self.batches):
                on_device = trainer.strategy.batch_to_device(batch)
                trainer.strategy.validation_step(on_device, number)
        for each in trained:
            each.training = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "run_key": self.run_key,
            "record": self.record,
            "usable": self.usable,
            "selection": self.selection.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state["run_key"] == self.run_key
        self.record, self.usable = state["record"], state["usable"]
        self.selection.load_state_dict(state["selection"])


def _random_states(module: pl.LightningModule) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return states + ([torch.cuda.get_rng_state(module.device)] if module.on_gpu else [])


@dataclass(frozen=True)
class SharedTraining:
    """The training of two folds, from which each of their runs takes its own selection.

    Args:
        folder: Folder of the training, named by its key.
        run_key: Key of the run of this fold.
        other: The other fold.
        other_key: Key of the run of the other fold.
    """

    folder: Path
    run_key: str
    other: Fold
    other_key: str

    def fit(
        self,
        training: Training,
        model: PhasedModel,
        data: DataModule,
        folder: Path,
        loggers: Sequence[Logger],
    ) -> CheckpointSelection:
        """Train for both folds, or take what the run of the other fold has trained for this one.

        Args: as of `Training.fit`. A training of this fold alone that was begun is continued.

        Raises:
            UserError, OSError: As of `Training.fit`.
        """
        if (folder / LAST).exists() and not self._path(self.run_key).exists():
            return training.fit(model, data, folder, loggers)
        with self._claimed():
            trained = self._trained()
            if trained is None:
                return self._train(training, model, data, folder, loggers)
        log.info("the training of fold %d is used, which is the same", self.other.index)
        selection = training.selection()
        selection.load_state_dict(trained["selection"])
        model.record = trained["record"]
        torch.set_rng_state(trained["random"])
        torch.use_deterministic_algorithms(training.deterministic)  # as Lightning does
        save_training(folder, model.record, selection, loggers)
        model.load_state_dict(selection.weights)
        return selection

    def discard(self) -> None:
        """Remove the selection of this fold, whose run is finished, and the folder if empty."""
        self._path(self.run_key).unlink(missing_ok=True)
        with suppress(Timeout), FileLock(self.folder / LOCK, timeout=0):
            if not any(self.folder.rglob("*.ckpt")):
                shutil.rmtree(self.folder)

    def _train(
        self,
        training: Training,
        model: PhasedModel,
        data: DataModule,
        folder: Path,
        loggers: Sequence[Logger],
    ) -> CheckpointSelection:
        """Train for both folds, and save both selections."""
        last = self.folder / "checkpoints" / LAST
        self._exchange(last)
        log.info("validating for fold %d, too, whose training is the same", self.other.index)
        data_of_other = data.of_fold(self.other)
        other = OtherValidation(data_of_other, self.other_key, training.selection())
        selection = training.fit(
            model, data, folder, loggers, monitored=other, checkpoints=last.parent
        )
        random = torch.get_rng_state()
        if other.usable:
            self._save(self.other_key, other.record, other.selection, random)
        self._save(self.run_key, model.record, selection, random)
        last.unlink(missing_ok=True)
        return selection

    def _exchange(self, path: Path) -> None:
        """Exchange the folds in a checkpoint that the run of the other fold has saved."""
        if not path.exists():
            return
        try:
            checkpoint = load_checkpoint(path)
            callbacks = checkpoint["callbacks"]
            other = callbacks[OtherValidation.__qualname__]
            if other["run_key"] == self.other_key:
                return
            if other["run_key"] != self.run_key or not other["usable"]:
                raise UserError(f"{path} cannot be continued for this fold")
            (own,) = (name for name, state in callbacks.items() if "weights" in state)
        except (UserError, KeyError, ValueError) as error:
            log.warning("%s; it is removed, and training begins anew", error)
            path.unlink()
            return
        checkpoint["record"], other["record"] = other["record"], checkpoint["record"]
        callbacks[own], other["selection"] = other["selection"], callbacks[own]
        other["run_key"] = self.other_key
        save_atomically(path, checkpoint)

    def _path(self, run_key: str) -> Path:
        return self.folder / f"{run_key}.ckpt"

    def _save(
        self,
        run_key: str,
        record: Sequence[dict[str, float]],
        selection: CheckpointSelection,
        random: Tensor,
    ) -> None:
        content = {"record": list(record), "selection": selection.state_dict(), "random": random}
        save_atomically(self._path(run_key), {"run_key": run_key, **content})

    def _trained(self) -> dict[str, Any] | None:
        """Return what was saved for this fold; None: nothing, or it was damaged and is removed."""
        path = self._path(self.run_key)
        if not path.exists():
            return None
        try:
            content = load_checkpoint(path)
            if content.get("run_key") != self.run_key:
                raise UserError(f"{path} is of another run")
        except UserError as error:
            log.warning("%s; it is trained again", error)
            path.unlink()
            return None
        return content

    @contextmanager
    def _claimed(self) -> Iterator[None]:
        """Wait until the run of the other fold does not train."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("waiting for fold %d, which is trained for this one, too", self.other.index)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
