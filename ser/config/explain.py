"""Explain why Hydra cannot compose a configuration."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from omegaconf import OmegaConf

from ser.config import CONF, choices


def explain(overrides: Sequence[str]) -> list[str]:
    """Explain which of some overrides are invalid, as far as this can be determined.

    Args:
        overrides: Arguments of `train.py` that Hydra could not compose.

    Returns:
        One message per invalid choice of a group, otherwise one per unknown option.

    Examples:
        >>> explain(["model=mpl", "trainer.max_epoch=3"])[1]
        'trainer.max_epoch: there is no such option; did you mean max_epochs?'
    """
    # Hydra's messages about its own groups (launchers, sweepers) are clear enough.
    overrides = [text for text in overrides if not text.startswith("hydra")]
    groups = [text for text in overrides if (CONF / text.partition("=")[0]).is_dir()]
    reasons = [reason for text in groups if (reason := _explain_group(text))]
    if reasons:
        return reasons
    options = [text.lstrip("+~").partition("=")[0] for text in overrides if text not in groups]
    return [reason for option in options if (reason := _explain_option(option, groups))]


def _explain_group(text: str) -> str | None:
    key, _, value = text.partition("=")
    names = choices(key)
    if value in names:
        return None
    close = get_close_matches(value, names, n=1)
    hint = f"did you mean {key}={close[0]}? " if close else ""
    return f"{key}={value}: there is no such {key}; {hint}there are {', '.join(names)}"


def _explain_option(key: str, groups: list[str]) -> str | None:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            node: Any = compose("train", groups)
    except HydraException:  # Hydra has printed it already
        return None
    path = ""
    for name in key.split("."):
        if not OmegaConf.is_dict(node):
            return None
        if name not in node:
            options = [str(option) for option in node if option not in ("_target_", "_partial_")]
            return f"{path}{name}: {nearest(name, options)}"
        node, path = node[name], f"{path}{name}."
    return None


def nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Return a message about an unknown option, with the closest known ones."""
    close = get_close_matches(name, list(known), n=1)
    if close:
        return f"there is no such option; did you mean {close[0]}?"
    return f"there is no such option; there are {', '.join(known)}"
