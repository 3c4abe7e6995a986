"""A system of a sweep: what the runs that differ in fold and seed only have in common.

Resolving the interpolations of a configuration takes 10 ms. It is done once for all runs of a
system, as far as nothing depends on fold and seed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser.config import run_key

NUMBERS = ("seed", "fold.index")  # options that runs of a system differ in


class System:
    """The configuration that runs which differ in fold and seed only have in common.

    Attributes:
        cfg: Configuration of one of the runs, with Hydra's own node. To get that of another, set
            its numbers. Interpolations that do not depend on them are replaced by their values.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.cfg = cfg
        self._is_settled = _settle(cfg)

    @property
    def options(self) -> dict[str, Any]:
        """The options that can change the result of the run, see `run_key.result_options`."""
        if not self._is_settled:
            return run_key.result_options(self.cfg)
        numbers = {"index": self.cfg.fold.index}
        return self._common | {"seed": self.cfg.seed, "fold": self._common["fold"] | numbers}

    @property
    def folder(self) -> Path:
        """The folder in which a sweep puts the run."""
        sweep = self.cfg.hydra.sweep
        named = OmegaConf.to_container(sweep, resolve=False)
        if isinstance(named, dict) and named["subdir"] == run_key.RUN_NAME:
            return Path(sweep.dir, run_key.run_name(self.cfg, self.choices, self.options))
        return Path(sweep.dir, sweep.subdir)

    @cached_property
    def choices(self) -> dict[str, str]:
        """The choice of each config group, e.g. {"corpus": "emodb"}."""
        return dict(self.cfg.hydra.runtime.choices)

    @cached_property
    def paper(self) -> Mapping[str, Any] | None:
        """Key, published scores and averaging of the experiment's paper; None: no paper."""
        paper: Any = OmegaConf.to_container(self.cfg.paper) if self.cfg.paper else None
        return paper

    @cached_property
    def variant(self) -> str:
        """The digest of all that can change the result, except corpus, target, fold and seed."""
        return variant(self.cfg)

    @cached_property
    def _common(self) -> dict[str, Any]:
        return run_key.result_options(self.cfg)


def variant(cfg: DictConfig) -> str:
    """Return the digest of a config without corpus, target, fold index and seed."""
    content = run_key.result_options(cfg)
    for key in ("seed", "corpus", "target"):
        del content[key]
    del content["fold"]["index"]
    return run_key.digest(content)


def _settle(cfg: DictConfig) -> bool:
    """Replace interpolations by their values, unless they depend on the numbers of a run.

    Dependence is observed, not read from the text of an interpolation: meanwhile, the numbers are
    calls of a resolver that records them. Hydra's own node stays as it is.

    Returns:
        Whether no interpolation is left.
    """
    try:
        interpolations = list(_interpolations(cfg))
        if any(OmegaConf.is_interpolation(*_place(cfg, key)) for key in NUMBERS):
            return False
        with _observed(cfg) as read:
            return all([_resolve(parent, key, read) for parent, key in interpolations])
    except OmegaConfBaseException:  # a number is missing, as the check of the run will say
        return False


def _resolve(parent: DictConfig | ListConfig, key: Any, read: list[str]) -> bool:
    """Replace an interpolation by its value, unless a number was read; return whether it is."""
    read.clear()
    try:
        value = parent[key]
        if OmegaConf.is_config(value):
            value = OmegaConf.to_container(value, resolve=True)
    except OmegaConfBaseException:  # as the check of the run will say
        return False
    if read or "${" in str(value):
        return False
    parent[key] = value
    return True


@contextmanager
def _observed(cfg: DictConfig) -> Iterator[list[str]]:
    """Yield a list that receives the key of a number whenever it is read."""
    values = {key: OmegaConf.select(cfg, key) for key in NUMBERS}
    read: list[str] = []

    def record(key: str) -> Any:
        read.append(key)
        return values[key]

    OmegaConf.register_new_resolver("observed", record, replace=True)
    try:
        for key in NUMBERS:
            OmegaConf.update(cfg, key, f"${{observed:{key}}}")
        yield read
    finally:
        OmegaConf.clear_resolver("observed")
        for key, value in values.items():
            OmegaConf.update(cfg, key, value)


def _place(cfg: DictConfig, path: str) -> tuple[Any, str]:
    """Return the container of an option, and its key there."""
    parent, _, key = path.rpartition(".")
    return (OmegaConf.select(cfg, parent) if parent else cfg), key


def _interpolations(cfg: DictConfig) -> Iterator[tuple[DictConfig | ListConfig, Any]]:
    """Yield container and key of each interpolation outside of Hydra's own node."""
    containers: list[DictConfig | ListConfig] = [cfg]
    while containers:
        parent = containers.pop()
        keys: Any = range(len(parent)) if isinstance(parent, ListConfig) else list(parent)
        for key in keys:
            if parent is cfg and key == "hydra":
                continue
            if OmegaConf.is_interpolation(parent, key):
                yield parent, key
            elif not OmegaConf.is_missing(parent, key) and OmegaConf.is_config(parent[key]):
                containers.append(parent[key])
