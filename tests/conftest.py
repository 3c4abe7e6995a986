"""Fixtures that several folders of tests share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from small import Composed

from ser.config import CONF, build
from ser.config.run_key import register_resolvers

# As runs do; two threads on busy cores are several times slower.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def emodb_root() -> Path:
    """Real speech: EMO-DB at $SER_EMODB_ROOT."""
    root = os.environ.get("SER_EMODB_ROOT")
    if not root:
        if os.environ.get("CI"):
            pytest.fail("SER_EMODB_ROOT is not set: in CI no test may be skipped")
        pytest.skip("needs EMO-DB: set SER_EMODB_ROOT to its folder")
    return Path(root)


@pytest.fixture(scope="session")
def composed() -> Callable[..., Composed]:
    """Composes train.yaml with overrides, as train.py does."""

    def compose_with(*overrides: str) -> Composed:
        register_resolvers()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("train", list(overrides), return_hydra_config=True)
        names = dict(cfg.hydra.runtime.choices)
        del cfg.hydra  # as Hydra hands it to the application
        return cfg, names

    return compose_with


@pytest.fixture(scope="session")
def emodb(
    emodb_root: Path,
    composed: Callable[..., Composed],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[str]:
    """Overrides for EMO-DB with a store that has its functionals and descriptors."""
    store = tmp_path_factory.mktemp("store")
    overrides = ["corpus=emodb", f"corpus.root={emodb_root}", f"store.root={store}"]
    cfg, _ = composed(*overrides)
    build(cfg.store).fill(build(cfg.corpus).table, [build(cfg.features)])
    return overrides
