"""Runs whose training is that of another fold, too (`ser.training.shared`)."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from ser.data.counterpart import can_share
from ser.data.datamodule import DataModule
from ser.data.prepare import Prepared
from ser.results import RunFolder
from ser.results.fitted import in_use
from ser.training.pack import fit_alone
from ser.training.phased import PhasedModel
from ser.training.shared import SharedTraining
from ser.training.stopping import CheckpointSelection
from ser.training.trainer import Training


def shared_training(cfg: DictConfig, prepared: Prepared) -> SharedTraining | None:
    """Return the training that a run shares; None: it is trained alone.

    A run that does not ask for it shares a training that has been begun, e.g. by a killed sweep.
    """
    if not can_share(cfg) or (other := prepared.counterpart()) is None:
        return None
    folder = Path(cfg.fitted) / other.training_key
    shared = SharedTraining(folder, prepared.run_key, other.fold, other.run_key)
    return shared if cfg.share_training or folder.exists() else None


def fit(
    cfg: DictConfig,
    prepared: Prepared,
    training: Training,
    model: PhasedModel,
    data: DataModule,
    folder: RunFolder,
    loggers: Sequence[Logger],
) -> CheckpointSelection:
    """Train a model, or take what the run of another fold has trained for this one.

    With `trainer.packed` it is trained as a pack of one run, with the same result as in others.

    Args:
        cfg: Configuration of the run.
        prepared: Data of the run.
        training: How the model is trained.
        model: Model, initialised from the run's seed.
        data: Data of the run as the model sees it.
        folder: Folder of the run.
        loggers: Loggers of the training.
    """
    if training.packed:
        return fit_alone(training, model, data, folder.checkpoints, loggers)
    shared = shared_training(cfg, prepared)
    if shared is None:
        return training.fit(model, data, folder.checkpoints, loggers)
    with in_use(Path(cfg.fitted)):
        return shared.fit(training, model, data, folder.checkpoints, loggers)


def discard(cfg: DictConfig, prepared: Prepared) -> None:
    """Remove what was trained for a run, now that it is finished."""
    shared = shared_training(cfg, prepared)
    if shared is not None and shared.folder.exists():
        shared.discard()
