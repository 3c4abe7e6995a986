"""Restore the data and the model of a finished run, to analyse its codes."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ser.config import run_key
from ser.data.datamodule import DataModule
from ser.data.prepare import Prepared, prepare
from ser.errors import UserError
from ser.inference.loading import load_network
from ser.results import CHECKPOINTS, RunFolder
from ser.training.phased import PhasedModel


def restore(folder: Path) -> tuple[Prepared, PhasedModel]:
    """Return the data of a finished run, and its network with the best weights.

    Args:
        folder: Folder of the run.

    Raises:
        UserError: There is no finished run of a network on features, or its corpus has changed.
    """
    run = RunFolder(folder)
    result = run.require_result()
    cfg = run.require_config()
    run.require_intact(result, CHECKPOINTS)
    with run.readable():
        return _restore(run, result, cfg)


def _restore(
    run: RunFolder, result: dict[str, Any], cfg: DictConfig
) -> tuple[Prepared, PhasedModel]:
    folder = run.path
    _require_corpus(cfg)
    if cfg.representation is not None:
        raise UserError(f"{folder}: the model sees codes of a representation, not features")
    prepared = prepare(cfg)
    if prepared.run_key != result["run_key"]:
        raise UserError(f"{folder}: corpus or features have changed since the run was trained")
    if not run.best_network.exists():
        raise UserError(f"{folder}: {cfg.model._target_} is not trained by phases")
    if run_key.chooses_layer(cfg):
        prepared = prepared.of_layer(result["layer"])
    data: DataModule = prepared.data
    data.setup("predict")
    return prepared, load_network(cfg, data.task, run.best_network)


def _require_corpus(cfg: DictConfig) -> None:
    """Raise a UserError unless the corpus exists: a stored configuration creates none."""
    root = cfg.corpus.get("root")
    if root is None or not Path(root).expanduser().exists():
        raise UserError(
            f"corpus.root={root} does not exist; the configuration of a finished run is in its "
            "folder, .hydra/config.yaml"
        )
