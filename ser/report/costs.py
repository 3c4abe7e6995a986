"""What the runs of a report cost, and which code and libraries made them, as tables."""

from pathlib import Path

from ser.report.data import ReportData
from ser.report.frames import cost
from ser.report.gather import Run
from ser.report.tables import Table
from ser.report.text import NONE

ABOUT_COST = (
    "Seconds of wall clock as the runs recorded them; they depend on the machine and on what else "
    "it did. cost.csv has every run."
)


def costs(data: ReportData) -> Table | None:
    """Return time by system; None if no run recorded any."""
    frame = cost(data)
    if frame["seconds"].isna().all():
        return None
    rows = []
    for system in data.systems:
        own = frame[frame["system"] == system]
        seconds = own["seconds"].dropna()
        if len(seconds):
            threads = ", ".join(sorted({f"{each:g}" for each in own["threads"].dropna()}))
            numbers = (f"{seconds.mean():.1f}", f"{seconds.max():.1f}", f"{seconds.sum() / 60:.1f}")
            rows.append((system, f"{len(seconds):,}", *numbers, threads or NONE))
    columns = ("system", "runs", "seconds a run", "longest", "minutes in all", "threads")
    return Table("Cost of training and testing", columns, tuple(rows), notes=(ABOUT_COST,))


def software(data: ReportData) -> Table:
    """Return commit and versions of libraries by system, one row for each combination."""
    runs: dict[tuple[str, Path], Run] = {}
    for cell in data.cells:
        for run in cell.runs.values() if cell.tested_on is None else ():
            runs.setdefault((cell.system, run.planned.folder), run)
    names = list(dict.fromkeys(name for run in runs.values() for name in run.software.parts))
    made: dict[tuple[str, ...], int] = {}
    for (system, _), run in runs.items():
        parts = run.software.parts
        key = (system, *(parts.get(name, NONE) for name in names))
        made[key] = made.get(key, 0) + 1
    rows = tuple((key[0], f"{count:,}", *key[1:]) for key, count in made.items())
    return Table("Code and libraries", ("system", "runs", *names), rows, left=1)
