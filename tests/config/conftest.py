"""Fixtures for tests of the configuration."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import hydra
import pytest
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from ser.config import CONF
from ser.config.run_key import register_resolvers


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """Parse every yaml once; Hydra parses about 30 files for each composition."""
    Plugins.instance()  # registers the source of files
    source_class = SourcesRegistry.instance().resolve("file")
    load = source_class.load_config
    results: dict[tuple[str, str], object] = {}

    def load_once(source: Any, config_path: str) -> object:
        key = (source.path, config_path)
        if key not in results:
            results[key] = load(source, config_path)
        return deepcopy(results[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_class, "load_config", load_once)
        yield


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
