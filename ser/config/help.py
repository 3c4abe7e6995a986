"""The text of `python train.py --help`, from the folders of `conf/` and comments of its train.yaml.

Hydra's own help composes a configuration, for which it imports every installed plug-in, and lists
all experiments and grids. This text needs neither.
"""

import re
import textwrap
from collections.abc import Iterator

from ser.arguments import program, train_program
from ser.config import CONF, choices

HEADER = """\
Train one system on one fold with one seed, and test it once.

  python train.py                                    first run, on synthetic speech
  python train.py corpus=emodb corpus.root=PATH model=mlp fold.index=3 seed=7
  python train.py -m model=mlp,svm 'seed=range(3)'   one run per combination
  python train.py grid=demo                          all runs of a table
"""
FOOTER = """\
All options of a configuration, with their values:
  python train.py model=svm --cfg job
Flags of Hydra: python train.py --hydra-help
"""
# Groups with too many choices to print, and a command that lists them.
LISTED = {"experiment": "ls conf/experiment/*", "grid": "ls conf/grid"}

GROUP = re.compile(r"  - (?:optional )?(?P<name>\w+): (?P<default>\S+)  # (?P<comment>.*)")
SECTION = re.compile(r"(?P<name>\w+):(?:  #.*)?")
OPTION = re.compile(r"(?P<indent> *)(?P<name>\w+): (?P<value>.+?)  # (?P<comment>.*)")


def help_text() -> str:
    """Return the help of `train.py`."""
    lines = (CONF / "train.yaml").read_text().splitlines()
    lines = lines[: lines.index("hydra:")]
    text = "\n".join(
        [
            HEADER,
            "Groups: python train.py GROUP=CHOICE (* marks the default)",
            *_groups(lines),
            "",
            "Options: python train.py OPTION=VALUE",
            *_options(lines),
            "",
            FOOTER,
        ]
    )
    if program() == "ser":
        text = text.replace("python train.py", train_program()).replace("ls conf/", f"ls {CONF}/")
    return text


def _groups(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if match := GROUP.fullmatch(line):
            name, default, comment = match.group("name", "default", "comment")
            yield f"  {name:<16}{comment}"
            yield _wrapped(LISTED.get(name) or ", ".join(_marked(name, default)))


def _marked(group: str, default: str) -> list[str]:
    names = [name for name in choices(group) if "/" not in name]
    return [f"{name}*" if name == default else name for name in names]


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, initial_indent=" " * 18, subsequent_indent=" " * 18)


def _options(lines: list[str]) -> Iterator[str]:
    section = ""
    for line in lines:
        if match := SECTION.fullmatch(line):
            section = match["name"] + "."
        elif (match := OPTION.fullmatch(line)) and len(match["indent"]) in (0, 2):
            prefix = section if match["indent"] else ""
            yield f"  {prefix + match['name'] + '=' + _shown(match['value']):<32}{match['comment']}"


def _shown(value: str) -> str:
    """Return a default; of an interpolation of a variable of the environment its own default."""
    interpolation = re.fullmatch(r"\$\{oc\.env:\w+,(.*)\}", value)
    if interpolation:
        return interpolation[1]
    return "..." if value.startswith("$") else value
