"""Draw synthetic features from the representation of a finished run."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser.config import build
from ser.config.run_key import segment_length
from ser.errors import UserError
from ser.inference.loading import load_representation
from ser.results import REPRESENTATION, RunFolder


def sample(run: Path, component: str | None, count: int, seed: int) -> pd.DataFrame:
    """Draw feature vectors at the scale of real ones (sahu2017, section 3.3.3).

    Args:
        run: Folder of a finished run whose representation has a prior per class.
        component: Class to draw; None: every class.
        count: Vectors per class.
        seed: Seed of the draws.

    Returns:
        One row per vector: `class`, and one column per feature, named as by the extractor. For
        segments, one column per feature and frame, with the number of the frame in brackets.

    Raises:
        UserError: There is no finished run, no representation that draws, or no such class.
    """
    folder = RunFolder(run)
    result = folder.require_result()
    classes = result.get("classes", [])
    if count < 1:
        raise UserError(f"--count {count}: at least 1")
    if not classes:
        raise UserError(f"{run}: samples are of a class, and this run predicts values")
    if component is not None and component not in classes:
        raise UserError(f"--component {component}: this run has {', '.join(classes)}")
    cfg = folder.require_config()
    if cfg.representation is None:
        raise UserError(f"{run}: no representation to draw from; representation=aae has one")
    chosen = classes if component is None else [component]
    labels = np.repeat([classes.index(name) for name in chosen], count)
    folder.require_intact(result, REPRESENTATION)
    with folder.readable():
        names = list(build(cfg.features).columns)
        if cfg.features.level != "utterance":
            names = [f"{name}[{frame}]" for frame in range(segment_length(cfg)) for name in names]
        fitted = load_representation(folder, cfg, len(classes))
    table = pd.DataFrame(fitted.sample(labels, seed), columns=names)
    table.insert(0, "class", np.asarray(classes)[labels])
    return table
