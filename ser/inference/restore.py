"""A finished run's data and model, for whoever looks into its codes."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ser import results
from ser.data.prepare import Prepared, prepare
from ser.errors import UserError
from ser.inference.loading import network
from ser.training.phased import PhasedModel


def restore(folder: Path) -> tuple[Prepared, PhasedModel]:
    """A finished run's data and its model with the best weights, in evaluation mode.

    Args:
        folder: of the run.

    Raises:
        UserError: no finished run of a model trained by phases, or its corpus has changed since.
    """
    result = results.read_json(folder / results.RESULT)
    if result is None:
        raise UserError(f"{folder} holds no finished run (no {results.RESULT})")
    cfg = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(cfg, DictConfig)
    if cfg.get("representation") is not None:
        raise UserError(f"{folder}: its model sees codes of a representation, not features")
    prepared = prepare(cfg)
    if prepared.hash != result["config_hash"]:
        raise UserError(f"{folder}: its corpus or features are not those that it was trained on")
    best = folder / "checkpoints" / "best.ckpt"
    if not best.exists():
        raise UserError(f"{folder}: {cfg.model._target_} is not trained by phases")
    prepared.data.setup("predict")
    return prepared, network(cfg, prepared.data.task, best)
