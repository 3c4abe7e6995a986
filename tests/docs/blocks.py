"""Blocks of commands in the documentation, and how they are run."""

import glob
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
# The first line of a block that a test cannot run says so: "# needs IEMOCAP".
NEEDS = "# needs "


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        file: The document.
        line: Number of its first line, from 1.
        language: Word after the fence, e.g. "bash".
        text: Content.
    """

    file: Path
    line: int
    language: str
    text: str

    @property
    def runs(self) -> bool:
        """Whether it is a program that needs nothing but the demo corpus."""
        return self.language in ("bash", "python") and not self.text.startswith(NEEDS)


def blocks(file: Path) -> list[Block]:
    """Return the fenced blocks of a Markdown document."""
    text = file.read_text()
    return [
        Block(file, text.count("\n", 0, match.start()) + 2, match[2], match[3])
        for match in FENCE.finditer(text)
    ]


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the commands of a block of `bash` as lists of words, globs not expanded."""
    for line in block.text.replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            words = shlex.split(command, comments=True)
            if words:
                yield words


def expand(words: list[str], folder: Path) -> list[str]:
    """Replace words such as `seed-0-*` by the paths below a folder that match."""
    expanded: list[str] = []
    for word in words:
        matches = (
            sorted(glob.glob(word, root_dir=folder)) if "*" in word and "=" not in word else []
        )
        expanded += matches or [word]
    return expanded
