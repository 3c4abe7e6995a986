"""Compose configurations as `train.py` does, for all other commands and the Python API."""

from collections.abc import Mapping, Sequence
from itertools import product

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict

from ser.arguments import train_program
from ser.config import own_hydra
from ser.config.explain import explain
from ser.config.run_key import register_resolvers
from ser.errors import UserError


def compose_all(overrides: Sequence[str]) -> list[DictConfig]:
    """Compose one configuration for each combination of comma-separated values.

    Args:
        overrides: Arguments as of train.py, e.g. ["corpus=emodb", "features=functionals,lld"].

    Raises:
        UserError: The overrides cannot be composed.
    """
    return [cfg for cfg, _ in compose_with_choices(overrides)]


def compose_with_choices(overrides: Sequence[str]) -> list[tuple[DictConfig, Mapping[str, str]]]:
    """Compose configurations as `compose_all` does, each with its choices of config groups.

    Args:
        overrides: Arguments as of train.py, e.g. ["corpus=emodb", "target=emotion,activation"].

    Raises:
        UserError: The overrides cannot be composed.
    """
    register_resolvers()
    values = []
    try:
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            if override.is_sweep_override():
                key = override.get_key_element()
                values.append([f"{key}={value}" for value in override.sweep_string_iterator()])
            else:
                values.append([str(override.input_line)])
        with own_hydra():
            return [_without_hydra(list(combination)) for combination in product(*values)]
    except HydraException as error:
        raise UserError("\n".join(explain(["-m", *overrides], error))) from None


def _without_hydra(overrides: list[str]) -> tuple[DictConfig, Mapping[str, str]]:
    """Return a configuration without Hydra's own node, and the choices in that node."""
    cfg = compose("train", overrides, return_hydra_config=True)
    choices = dict(cfg.hydra.runtime.choices)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def value_of(override: str) -> str:
    """Return the value of one override, e.g. "path" of "features.root=path".

    Raises:
        UserError: It is not an override.
    """
    try:
        return str(OverridesParser.create().parse_override(override).value())
    except HydraException as error:
        raise UserError("\n".join(explain([override], error))) from None


def compose_run(overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of one run, with Hydra's own node.

    Args:
        overrides: Arguments as of train.py, e.g. ["model=aae", "seed=3"].

    Raises:
        UserError: The overrides cannot be composed, or are those of several runs.
    """
    register_resolvers()
    try:
        with own_hydra():
            cfg = compose("train", list(overrides), return_hydra_config=True)
    except HydraException as error:
        raise UserError("\n".join(explain(overrides, error))) from None
    if cfg.hydra.mode is not None and cfg.hydra.mode.name == "MULTIRUN":
        raise UserError(f"{' '.join(overrides)}: several runs; `{train_program()}` makes them")
    return cfg
