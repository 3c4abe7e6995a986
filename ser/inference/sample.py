"""Synthetic features: drawn from what a run's representation has learned of each class."""

from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ser import results
from ser.config import build
from ser.errors import UserError
from ser.inference.loading import representation


def sample(run: Path, component: str | None, count: int, seed: int) -> pd.DataFrame:
    """Draws feature vectors at the scale of real ones (sahu2017, section 3.3.3).

    Args:
        run: folder of a finished run whose representation can draw.
        component: the class drawn; None: every class.
        count: vectors of each class.
        seed: of the draws.

    Returns:
        `class` and a column for each feature, by the extractor's own names; a row a vector. Of
        segments a column for each feature of each frame, which is counted in brackets.

    Raises:
        UserError: no finished run, one without a representation that draws, or no such class.
    """
    result = results.read_json(run / results.RESULT)
    if result is None:
        raise UserError(f"{run} holds no finished run (no {results.RESULT})")
    if count < 1:
        raise UserError(f"--count {count}: at least 1")
    classes = result["classes"]
    if component is not None and component not in classes:
        raise UserError(f"--component {component}: this run has {', '.join(classes)}")
    cfg = OmegaConf.load(run / ".hydra" / "config.yaml")
    assert isinstance(cfg, DictConfig)
    wanted = classes if component is None else [component]
    labels = np.repeat([classes.index(name) for name in wanted], count)
    if cfg.get("representation") is None:
        raise UserError(f"{run} has no representation: representation=aae has one that draws")
    made = representation(run, cfg, len(classes)).sample(labels, seed)
    names = list(build(cfg.features).columns)
    if cfg.features.level != "utterance":
        names = [f"{name}[{frame}]" for frame in range(cfg.segments.frames) for name in names]
    table = pd.DataFrame(made, columns=names)
    table.insert(0, "class", np.asarray(classes)[labels])
    return table
