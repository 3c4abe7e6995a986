"""Train a run in this process."""

import copy
from pathlib import Path

from omegaconf import open_dict

from ser.api.run import Run, load
from ser.config.compose import compose_run
from ser.data.preflight import require_valid
from ser.errors import convert_disk_errors


def train(*overrides: str) -> Run:
    """Train and test one run, or return the finished one.

    The run is that of `python train.py` with the same overrides: in the same folder, with the same
    predictions. It prints what the command prints, and sets the seeds of this process.

    Args:
        overrides: As on the command line, e.g. "model=aae", "features=lld", "seed=3".

    Raises:
        UserError: An override is invalid, or the run cannot be made.
    """
    composed = compose_run(overrides)
    cfg = copy.deepcopy(composed)
    with open_dict(cfg):
        del cfg["hydra"]
    with convert_disk_errors():
        require_valid(cfg)
    from ser.runs.run import run  # imports torch

    hydra = composed.hydra
    folder = Path(hydra.run.dir).absolute()
    run(cfg, folder, dict(hydra.runtime.choices), hydra=hydra)
    return load(folder)
