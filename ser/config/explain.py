"""Explain why Hydra cannot compose a configuration."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from omegaconf import OmegaConf

from ser.arguments import train_program
from ser.config import CONF, choices, own_hydra

# Extras of this package (`pip install -e ".[...]"`) that Hydra's launchers and sweepers are in.
EXTRAS = {"optuna": "sweep", "submitit_local": "sweep", "submitit_slurm": "sweep", "ray": "ray"}
PLUG_IN = re.compile(r"hydra/(launcher|sweeper)/(\w+)")
MOST = 3  # options that a message suggests
TABLES = (".csv", ".tsv", ".parquet")  # suffixes of manifests


def explain(overrides: Sequence[str], error: Exception | None = None) -> list[str]:
    """Explain which of some overrides are invalid, as far as this can be determined.

    Args:
        overrides: Arguments of `train.py` that Hydra could not compose.
        error: What Hydra raised.

    Returns:
        One message per invalid choice of a group, otherwise one per other invalid override,
        otherwise the first line of the error.

    Examples:
        >>> explain(["model=mpl", "trainer.max_epoch=3"])[1]
        'trainer.max_epoch: there is no such option; did you mean trainer.max_epochs?'
    """
    many = bool({"-m", "--multirun"} & set(overrides))
    plug_in = PLUG_IN.search(str(error))
    if plug_in and (extra := EXTRAS.get(plug_in[2])):
        return [f'hydra/{plug_in[1]}={plug_in[2]} is not installed: pip install -e ".[{extra}]"']
    # Hydra's messages about its own groups (launchers, sweepers) are clear enough.
    texts = [text for text in overrides if not text.startswith(("hydra", "-"))]
    groups = [text for text in texts if _is_group(text)]
    reasons = [reason for text in groups for reason in _explain_group(text)]
    if not reasons:
        given = [f"{key}={values[0]}" for key, values in map(_values, groups)]
        others = [text for text in texts if text not in groups]
        reasons = [reason for text in others if (reason := _explain_other(text, given))]
    if not reasons and not many:
        several = [text for text in texts if _is_sweep(text)]
        reasons = [
            f"{text}: several values are several runs, one for each: {train_program()} -m {text}"
            for text in several
        ]
    return reasons or ([str(error).splitlines()[0]] if error is not None else [])


def _is_group(text: str) -> bool:
    key, equals, _ = text.lstrip("+~").partition("=")
    return bool(equals) and (CONF / key).is_dir()


def _values(text: str) -> tuple[str, list[str]]:
    """Return the key of an override, and its values if it has several."""
    key, _, value = text.lstrip("+~").partition("=")
    return key, value.split(",")


def _explain_group(text: str) -> Iterator[str]:
    key, values = _values(text)
    names = choices(key)
    for value in values:
        if value in names or "(" in text or value in ("", "null"):
            continue
        close = get_close_matches(value, names, n=1)
        hint = f"did you mean {key}={close[0]}? " if close else ""
        if key == "corpus" and value.lower().endswith(TABLES):
            hint = f"did you mean corpus=manifest corpus.root={value}? "
        yield f"{key}={value}: there is no such {key}; {hint}there are {', '.join(names)}"


def _is_sweep(text: str) -> bool:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create().parse_override(text).is_sweep_override()


def _explain_other(text: str, groups: list[str]) -> str | None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    if "=" not in text and not text.startswith("~"):
        return _explain_word(text)
    try:
        OverridesParser.create().parse_override(text)
    except HydraException as error:
        return f"{text}: {str(error).splitlines()[0]}"
    return None if text.startswith("+") else _explain_option(text.partition("=")[0], groups)


def _explain_word(text: str) -> str:
    """Explain an argument that is no override: the choice of a group without the group."""
    folders = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir())
    groups = [folder for folder in folders if text in choices(folder)]
    if "corpus" in groups:  # the choices of test_corpus are the same
        groups = ["corpus"]
    hint = f"; did you mean {' or '.join(f'{group}={text}' for group in groups)}?" if groups else ""
    return f"{text}: expected OPTION=VALUE{hint}"


def _explain_option(key: str, groups: list[str]) -> str | None:
    from hydra import compose
    from hydra.errors import HydraException

    try:
        with own_hydra():
            cfg: Any = compose("train", groups)
    except HydraException:
        return None
    node, path = cfg, ""
    for name in key.lstrip("~").split("."):
        if not OmegaConf.is_dict(node):
            return None
        if name not in node:
            options = [str(option) for option in node if option not in ("_target_", "_partial_")]
            if elsewhere := _suggestions(cfg, key, path, options):
                return f"{key}: there is no such option; did you mean {' or '.join(elsewhere)}?"
            return f"{path}{name}: {nearest(name, options)}"
        node, path = node._get_node(name), f"{path}{name}."
    return None


def _suggestions(cfg: Any, key: str, path: str, options: list[str]) -> list[str]:
    """Return paths of options with the last name of a key, or a similar one where it is given.

    Those that begin as the key does come first.
    """
    name = key.rpartition(".")[2]
    same = [each for each in _paths(cfg, "") if each.rpartition(".")[2] == name]
    same.sort(key=lambda each: (not each.startswith(path), each.count("."), each))
    if same:
        return [each for each in same if each.startswith(path)][:MOST] or same[:MOST]
    return [f"{path}{each}" for each in get_close_matches(name, options, n=1)]


def _paths(node: Any, path: str) -> Iterator[str]:
    """Yield the dotted paths of all options at or below a node that are not in `networks`."""
    for key in node:
        child = node._get_node(key)
        if str(key).startswith("_") or (not path and key in ("networks", "published", "emotions")):
            continue
        yield f"{path}{key}"
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_interpolation():
            yield from _paths(child, f"{path}{key}.")


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Return a message about an unknown option, with the closest known ones."""
    close = get_close_matches(name, list(known), n=1)
    if close:
        return f"there is no such option; did you mean {close[0]}?"
    return f"there is no such option; there are {', '.join(known)}"
