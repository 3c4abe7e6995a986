"""Fixtures for tests of the configuration."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache

import hydra
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from ser.config import CONF
from ser.config.run_key import register_resolvers


@cache
def _compose(*overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("train", list(overrides))


@pytest.fixture(scope="session")
def composed() -> Callable[..., DictConfig]:
    """Compose `train.yaml` with overrides; the result is read-only.

    Each combination of choices is composed once. As in Hydra, values are set after that.
    """
    register_resolvers()
    parser = OverridesParser.create()

    @cache
    def compose(*overrides: str) -> DictConfig:
        values = [text for text in overrides if text[0] not in "+~" and "." in text.split("=")[0]]
        cfg = deepcopy(_compose(*(text for text in overrides if text not in values)))
        for override in parser.parse_overrides(values):
            OmegaConf.update(cfg, override.key_or_group, override.value())
        OmegaConf.set_readonly(cfg, True)
        return cfg

    return compose
