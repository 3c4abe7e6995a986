"""Validate a configuration before anything is loaded."""

import importlib
import inspect
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser.config import choices, targets
from ser.config.bounds import bound_of, bound_problems, type_problem
from ser.config.combinations import COMBINATIONS, LIGHT_COMBINATIONS, Combination
from ser.config.explain import nearest
from ser.config.libraries import library_problem, options_of
from ser.errors import UserError

# Parts that must be there: those that are built at once, and those that code completes.
BUILT = ("corpus", "features", "trainer", "store")
PARTIAL = ("target", "segments", "fold", "model", "data")
NODES = (*BUILT, *PARTIAL)
# Parts that hold other values, or none.
OTHER = (
    *("representation", "augment", "test_corpus", "logger", "networks", "emotions"),
    "layer_choice",
    *("published", "paper", "report", "hydra"),
)
TOP_LEVEL = (
    *(
        "seed",
        "seeds",
        "test",
        "force",
        "skip_faulty",
        "in_memory",
        "train_on",
        "synthetic_per_class",
    ),
    *("fit_on", "transfer", "calibrate", "fitted", "share_training"),
)


def check(cfg: DictConfig) -> None:
    """Validate the options of a configuration and their combination.

    Names and types of options are compared with the signatures of what they configure, which
    imports it. Combinations are checked of those parts only whose own options are valid.

    Raises:
        UserError: One line per problem: the option, its value, and the nearest or all valid
            choices.
    """
    cfg = _resolved(cfg)
    problems = _option_problems(cfg)
    _raise([*problems.values(), *_combination_problems(cfg, problems, COMBINATIONS)])


def check_part(cfg: DictConfig, key: str) -> None:
    """Validate the options of one part by itself, e.g. of the features.

    Raises:
        UserError: One line per problem.
    """
    part = OmegaConf.create({key: OmegaConf.to_container(cfg[key], resolve=True)})
    _raise(_option_problems(part).values())


def _option_problems(cfg: DictConfig) -> dict[str, str]:
    """Return a message for each option that is unknown, missing or not valid, by its path."""
    problems = dict(bound_problems(cfg))
    for path, node in targets(cfg, ""):
        values_are_valid = not any(name.startswith(f"{path}.") for name in problems)
        for name, problem in _node_problems(path, node, values_are_valid):
            problems.setdefault(name, problem)
    return problems


def check_values(cfg: DictConfig) -> None:
    """Validate what can be validated without importing torch.

    That is the structure, types, ranges, and combinations of valid parts.

    Raises:
        UserError: One line per problem.
    """
    cfg = _resolved(cfg)
    problems = dict(bound_problems(cfg))
    _raise([*problems.values(), *_combination_problems(cfg, problems, LIGHT_COMBINATIONS)])


def _combination_problems(
    cfg: DictConfig, problems: Iterable[str], combinations: Iterable[Combination]
) -> Iterator[str]:
    """Yield problems of combinations of those parts that have no problem by themselves."""
    invalid = {path.partition(".")[0] for path in problems}
    for parts, combination_problems in combinations:
        if invalid.isdisjoint(parts):
            yield from combination_problems(cfg)


def _raise(messages: Iterable[str]) -> None:
    if lines := list(dict.fromkeys(messages)):
        raise UserError("\n".join(lines))


def _resolved(cfg: DictConfig) -> DictConfig:
    """Return a configuration without interpolations whose parts are all there.

    Raises:
        UserError: One line per value that cannot be resolved, or per part that is missing.
    """
    plain: dict[str, Any] = {}
    problems = []
    for key in map(str, cfg):
        if key == "hydra":
            continue
        try:
            value = cfg[key]
            is_config = OmegaConf.is_config(value)
            plain[key] = (
                OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
                if is_config
                else value
            )
        except OmegaConfBaseException as error:
            problems.append(f"{error.full_key or key}: {str(error).splitlines()[0]}")
        except RecursionError:
            problems.append(f"{key}: an interpolation refers to itself")
    _raise(problems)
    resolved = OmegaConf.create(plain)
    _raise(_structure_problems(resolved))
    return resolved


def _structure_problems(cfg: DictConfig) -> Iterator[str]:
    """Yield parts that are missing, unknown, or have no constructor."""
    known = [*NODES, *OTHER, *TOP_LEVEL]
    yield from (f"{key!s}: {nearest(str(key), known)}" for key in cfg if key not in known)
    for key in (*TOP_LEVEL, "test_corpus"):
        if key not in cfg:
            yield f"{key} is missing"
    for key in (*NODES, "representation"):
        if not _is_buildable(cfg, key):
            names = ", ".join(choices(key))
            yield f"{key}: {f'must be one of {names}' if names else 'see conf/train.yaml'}"
    if not OmegaConf.is_dict(cfg.get("logger")):
        yield f"logger: must be one of {', '.join(choices('logger'))}"


def _is_buildable(cfg: DictConfig, key: str) -> bool:
    """Return whether a part is a node, partial where code completes it."""
    node = cfg.get(key)
    if node is None:
        return key == "representation" and key in cfg
    if not OmegaConf.is_dict(node) or not isinstance(node.get("_target_"), str):
        return False
    return node.get("_partial_", False) is (key not in BUILT)


def _node_problems(
    path: str, node: DictConfig, values_are_valid: bool
) -> Iterator[tuple[str, str]]:
    """Compare the arguments of one node with the signature of its target.

    By the convention of this project, arguments that code passes are positional and arguments
    that the configuration sets are keyword-only. So a partial node must set every keyword-only
    argument without default, and no other.

    Yields:
        The dotted path of the option, and a message.
    """
    try:
        target = _located(node._target_)
        signature = inspect.signature(target)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        name = str(node._target_)
        yield f"{path}._target_", f"{path}._target_={name!r}: {_missing(name, error)}"
        return
    partial = bool(node.get("_partial_", False))
    is_own = str(node._target_).startswith("ser.")
    known = {n: p for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    by_code = {n for n, p in known.items() if partial and p.kind is not p.KEYWORD_ONLY and is_own}
    takes_any = len(known) < len(signature.parameters)
    given = [str(key) for key in node if str(key) not in ("_target_", "_partial_")]
    unknown = [n for n in given if n in by_code or (n not in known and not takes_any)]
    for name in unknown:
        options = [option for option in known if option not in by_code]
        yield f"{path}.{name}", f"{path}.{name}: {nearest(name, options)}"
    missing = [
        name
        for name, parameter in known.items()
        if parameter.default is parameter.empty
        and (parameter.kind is parameter.KEYWORD_ONLY or not partial)
        and name not in given
    ]
    for name in missing:
        yield f"{path}.{name}", f"{path}.{name} is missing"
    if is_own:
        yield from _type_problems(path, node, target)
    elif values_are_valid and not unknown and not missing:
        problem = library_problem(path, options_of(node), target)
        yield from [] if problem is None else [(path, problem)]


def _missing(name: str, error: Exception) -> str:
    """Say what is missing: the target, or a library that its module needs."""
    absent = isinstance(error, ModuleNotFoundError) and name.startswith(f"{error.name}.")
    if isinstance(error, ImportError) and not absent:
        return f"cannot be imported: {error}"
    return "nothing of this name"


def _located(name: Any) -> Any:
    """Return a class or function by its dotted path; Hydra's own function logs what it raises."""
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(name)
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _type_problems(path: str, node: DictConfig, target: Any) -> Iterator[tuple[str, str]]:
    """Compare the arguments of one node with the annotations of its target."""
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for name in map(str, node):
        value, option = node[name], f"{path}.{name}"
        if name not in hints or (OmegaConf.is_dict(value) and "_target_" in value):
            continue
        # A bound may allow null, which only some of the targets take.
        is_bounded = bound_of(option) is not None and value is not None
        if not is_bounded and (problem := type_problem(option, value, hints[name])):
            yield option, problem
