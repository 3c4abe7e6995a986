"""The config: what identifies a run.

Imported by `train.py` before Hydra starts, so it imports nothing heavy at its top.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parent.parent.parent / "conf"


def choices(group: str) -> list[str]:
    """Return the names of all choices of a config group, e.g. `["cpu", "ddp", "gpu"]`."""
    if group == "test_corpus":  # its choices are corpora, see train.yaml
        return [*choices("corpus"), "none"]
    files = (CONF / group).rglob("*.yaml")
    return sorted(str(file.relative_to(CONF / group).with_suffix("")) for file in files)


def build(node: DictConfig) -> Any:
    """Hydra's `instantiate`, with lists and dicts as plain ones and our errors as they are.

    Raises:
        UserError: as whatever else is raised by what is instantiated; Hydra would wrap it.
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
    """All nodes of a config that name what they configure, each with its path."""
    if not OmegaConf.is_dict(node):
        return
    if "_target_" in node:
        yield path, node
    for key in node:
        if key != "hydra":
            yield from targets(node[key], f"{path}.{key}".lstrip("."))
