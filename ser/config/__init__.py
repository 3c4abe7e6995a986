"""The configuration: composition, validation and run identity.

`train.py` imports this package before Hydra starts, so nothing heavy is imported at its top.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Inside the installed package, or at the top of a checkout, whose `ser/` has none.
PACKAGE = Path(__file__).parents[1]
CONF = next(each for each in (PACKAGE / "conf", PACKAGE.parent / "conf") if each.is_dir())


def choices(group: str) -> list[str]:
    """Return the names of all choices of a config group, e.g. `["cpu", "ddp", "gpu"]`."""
    if group == "test_corpus":  # its choices are corpora, see train.yaml
        return [*choices("corpus"), "none"]
    files = (CONF / group).rglob("*.yaml")
    return sorted(str(file.relative_to(CONF / group).with_suffix("")) for file in files)


@contextmanager
def own_hydra() -> Iterator[None]:
    """Initialise Hydra with `conf/`, and restore what another application of Hydra had."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = outer


def build(node: DictConfig) -> Any:
    """Instantiate a node with Hydra, with plain lists and dicts.

    Raises:
        Exception: The original error of the target, e.g. a `UserError`; Hydra would wrap it.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


def targets(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    """Yield all nodes below `node` that have a `_target_`, each with its dotted path."""
    if not OmegaConf.is_dict(node):
        return
    if "_target_" in node:
        yield path, node
    for key in node:
        if key != "hydra":
            yield from targets(node[key], f"{path}.{key}".lstrip("."))
