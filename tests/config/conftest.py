"""Fixtures for tests of the configuration."""

from collections.abc import Callable
from functools import cache

import hydra
import pytest
from omegaconf import DictConfig, OmegaConf

from ser.config import CONF
from ser.config.run_key import register_resolvers


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Compose `train.yaml` with overrides, each combination once; the result is read-only."""
    register_resolvers()

    @cache
    def compose(*overrides: str) -> DictConfig:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = hydra.compose("train", list(overrides))
        OmegaConf.set_readonly(cfg, True)
        return cfg

    return compose
