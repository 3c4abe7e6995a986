"""The option `--corrupt` of `evaluate`: names of corruptions, e.g. "noise:10dB,phone,reverb"."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ser.config import CONF, build
from ser.errors import UserError
from ser.features.corruptions import Corruption

FORMS = (
    "noise:10dB, noise:pink:10dB, noise:FOLDER:10dB, gain:-20dB, speed:0.9, reverb, reverb:0.6s, "
    "reverb:FOLDER, phone"
)
UNITS = {"noise": "dB", "gain": "dB", "speed": "", "reverb": "s"}
# The option that a number sets, and what else has the name of a group in conf/augment/.
NUMBERS = {"noise": "snr", "gain": "decibels", "speed": "factor", "reverb": "seconds"}
GROUPS = {"phone": "telephone"}


@dataclass(frozen=True)
class Condition:
    """A corruption that runs are tested under.

    Attributes:
        name: E.g. "noise:10dB".
        corruption: The corruption.
    """

    name: str
    corruption: Corruption

    @property
    def folder(self) -> str:
        """Name of the folder of its results."""
        return re.sub(r"[^\w.+-]+", "-", self.name)


def conditions(text: str) -> list[Condition]:
    """Return the corruptions that an option names, in its order.

    Options that it does not name are those of conf/augment/.

    Raises:
        UserError: One is unknown, has a wrong value, or is there twice.
    """
    parsed = [_condition(word.strip()) for word in text.split(",")]
    folders = [each.folder for each in parsed]
    if twice := [each.name for each in parsed if folders.count(each.folder) > 1]:
        raise UserError(f"--corrupt: {twice[0]} is there twice")
    return parsed


def _condition(word: str) -> Condition:
    kind, *values = word.split(":")
    group = GROUPS.get(kind, kind)
    if not (CONF / "augment" / f"{group}.yaml").exists() or group in ("none", "mixed"):
        raise UserError(f"--corrupt {word}: unknown; expected {FORMS}")
    options: dict[str, Any] = {}
    names = [kind]
    if values and kind in NUMBERS and (number := _number(values[-1], UNITS[kind])) is not None:
        options[NUMBERS[kind]] = [number, number]
        names.append(f"{number:g}{UNITS[kind]}")
        values = values[:-1]
    elif kind in ("noise", "gain", "speed"):
        raise UserError(f"--corrupt {word}: needs a number at its end, as in {FORMS}")
    if len(values) == 1 and kind == "noise" and values[0] in ("white", "pink"):
        options["colour"] = values[0]
        names[1:1] = values
    elif values and kind in ("noise", "reverb"):
        options["root"] = ":".join(values)
        names.insert(1, Path(options["root"]).name)
    elif values:
        raise UserError(f"--corrupt {word}: expected {FORMS}")
    content = OmegaConf.load(CONF / "augment" / f"{group}.yaml")
    assert isinstance(content, DictConfig)
    node: Mapping[str, Any] = content[group]
    try:
        corruption: Corruption = build(OmegaConf.create({**node, **options}))
        _ = corruption.signature  # reads recorded noise
    except UserError as error:
        raise UserError(f"--corrupt {word}: {error}") from error
    return Condition(":".join(names), corruption)


def _number(text: str, unit: str) -> float | None:
    match = re.fullmatch(rf"([-+]?\d+(\.\d+)?)({unit})?", text, re.IGNORECASE)
    return float(match[1]) if match else None
