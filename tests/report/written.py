"""Reports on disk, and what they printed."""

import io
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ser.report import report
from ser.sweeps.grid import Grid


@dataclass(frozen=True)
class Written:
    """A report on disk.

    Attributes:
        grid: Grid of the report.
        out: Folder of the report.
        printed: What was printed.
    """

    grid: Grid
    out: Path
    printed: str

    def read(self, name: str) -> str:
        return (self.out / name).read_text()

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.out.iterdir()}

    @property
    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in sorted(self.out.iterdir())}


def write_report(grid: Grid, out: Path, width: int = 300) -> Written:
    printed = io.StringIO()
    report(grid, out, Console(file=printed, width=width, highlight=False))
    return Written(grid, out, printed.getvalue())
