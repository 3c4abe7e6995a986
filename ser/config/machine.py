"""The GPU of this machine, as far as it is known without importing torch."""

import copy
import sys
from pathlib import Path
from typing import Literal

from omegaconf import DictConfig, OmegaConf, read_write

from ser.errors import UserError

# Device files of the drivers of GPUs that torch can use: NVIDIA, Jetson, AMD, Windows' subsystem.
DRIVERS = ("nvidia*", "nvhost*", "kfd", "dxg")


def accelerator(name: Literal["cpu", "gpu", "auto"]) -> Literal["cpu", "gpu"]:
    """Return what `trainer.accelerator` means here: "auto" is "gpu" where there is a driver."""
    if name == "auto":
        return "gpu" if _has_driver() else "cpu"
    return name


def with_accelerator(cfg: DictConfig) -> DictConfig:
    """Return a configuration whose `trainer.accelerator` is no longer "auto".

    The configuration that a run saves must mean the same on every machine.
    """
    if OmegaConf.select(cfg, "trainer.accelerator") != "auto":
        return cfg
    cfg = copy.deepcopy(cfg)
    with read_write(cfg):
        cfg.trainer.accelerator = accelerator("auto")
    return cfg


def require_gpu() -> None:
    """Check that this machine can have a GPU.

    Raises:
        UserError: It has none. Where there is a driver, only torch knows whether it can be used.
    """
    if sys.platform == "linux" and not _has_driver():
        raise UserError(
            "trainer.accelerator=gpu: this machine has no GPU; trainer=cpu (or "
            "trainer.accelerator=cpu) needs none"
        )


def _has_driver() -> bool:
    return any(next(Path("/dev").glob(pattern), None) for pattern in DRIVERS)
