"""How representations are fitted inside a run, and what identifies a fit."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from ser.config import run_key
from ser.representations import Fitting
from ser.results.fitted import UsedKeys
from ser.training.trainer import Training

# Options of a network that say how codes are read from it; they do not change the fit.
READING = ("code", "reading")
# Options of the trainer that a representation replaces by its own stopping criterion.
STOPPING = ("max_epochs", "patience", "stopping")


def fitting_of(
    cfg: DictConfig, trainer: Training, classes: Sequence[str], used: UsedKeys | None
) -> Fitting:
    """Return how the representation of a run is fitted.

    Args:
        cfg: Configuration of the run.
        trainer: Trainer of the run.
        classes: Names of the classes of the target.
        used: Receives the keys of the fits that the run uses.
    """
    options = run_key.result_options(cfg)
    trainer_options = {k: v for k, v in options["trainer"].items() if k not in STOPPING}
    recipe = {
        "representation": _without_reading(options["representation"]),
        "trainer": trainer_options,
        "classes": list(classes),
    }
    # Without classes, all utterances are without label.
    count = max(1, len(classes))
    return Fitting(trainer, cfg.seed, count, Path(cfg.fitted), recipe, used, cfg.force)


def _without_reading(node: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a representation without its size, which each fit has of its own."""
    if "lower" in node:
        return {**node, **{part: _without_reading(node[part]) for part in ("lower", "upper")}}
    options = {name: value for name, value in node.items() if name != "size"}
    if "module" in options:
        options["module"] = {k: v for k, v in options["module"].items() if k not in READING}
    return options
