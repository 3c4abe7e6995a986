"""What a configuration needs of this machine, as far as it is known without importing torch."""

import sys
from pathlib import Path

from omegaconf import DictConfig

from ser.config.run_key import trains_network
from ser.errors import UserError

# Device files of the drivers of GPUs that torch can use: NVIDIA, Jetson, AMD, Windows' subsystem.
DRIVERS = ("nvidia*", "nvhost*", "kfd", "dxg")


def require_gpu(cfg: DictConfig) -> None:
    """Check that a machine can have the GPU that a configuration asks for.

    Raises:
        UserError: It has none. Where there is a driver, only torch knows whether it can be used.
    """
    wanted = cfg.trainer.accelerator == "gpu" and trains_network(cfg)
    if wanted and sys.platform == "linux" and not _has_driver():
        raise UserError(
            "trainer.accelerator=gpu: this machine has no GPU; trainer=cpu (or "
            "trainer.accelerator=cpu) needs none"
        )


def _has_driver() -> bool:
    return any(next(Path("/dev").glob(pattern), None) for pattern in DRIVERS)
