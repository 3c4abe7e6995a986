"""The report of a grid: tables, tests and figures from what its runs left, and nothing else.

Whatever is written, but `cost.csv`, is a function of predictions, curves and representations: the
same bytes whenever, wherever and in whatever order the runs were made.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ser.errors import UserError
from ser.report import frames
from ser.report.comparisons import baseline_of, compared
from ser.report.figures import curve
from ser.report.findings import Findings
from ser.report.gather import Run, finished_runs, with_evaluations
from ser.report.page import EXPLORABLE, NEIGHBOURS, POINTS, SOMETIMES, Documents
from ser.report.scores import cells
from ser.report.terminal import tell
from ser.results import write_bytes, write_text
from ser.sweeps.grid import Grid


def report(grid: Grid, out: Path, console: Console | None = None) -> None:
    """Prints a grid's tables and writes them, with figures, into a folder.

    Args:
        grid: which runs there should be; those that are missing are named.
        out: receives report.md, report.tex, index.html, dots.svg, confusions.svg, reliability.svg,
            curves.svg, scores.csv, tests.csv, recalls.csv, slices.csv, runs.csv and, apart from
            results,
            cost.csv; where runs have representations also losses.svg, codes.png and codes.html;
            where systems differ in one numeric option also curve.svg and curve.csv; and where the
            grid says so tsne.png, tsne.pdf and neighbours.csv.
        console: where it prints; None: standard output.

    Raises:
        UserError: nothing is finished, a finished run is damaged, or there is no such baseline.
    """
    console = console or Console(highlight=False)
    found = compute(grid, console)
    tell(found, out, console, write(found, out))


def compute(grid: Grid, console: Console | None = None) -> Findings:
    """Reads a grid's finished runs and computes everything that its report tells.

    Raises:
        UserError: as `report`.
    """
    grid = with_evaluations(grid)
    return reckoned(grid, finished_runs(grid, console))


def reckoned(grid: Grid, runs: Sequence[Run]) -> Findings:
    """What finished runs of a grid show.

    Raises:
        UserError: there are none, or no such baseline.
    """
    if not runs:
        raise UserError(
            f"none of the {len(grid.runs):,} runs of {grid.name} is finished: "
            "python train.py with the same options makes them"
        )
    made = tuple(cells(grid, runs))
    baseline = None if grid.baseline is None else baseline_of(made, grid.baseline)
    tests = () if baseline is None else tuple(compared(made, baseline))
    drawn = dict.fromkeys(run.system for run in grid.runs) if grid.tsne else ()
    planned = sum(run.tested_on is None for run in grid.runs)
    return Findings(grid.name, planned, made, baseline, tests, tuple(drawn))


def write(found: Findings, out: Path) -> list[Path]:
    """Writes every file of a report, each whole or not at all.

    Returns:
        Those that not every report has. What an earlier report had, and this one has not, is
        removed.
    """
    documents = Documents(found)
    files = {
        "report.md": documents.markdown(),
        "report.tex": documents.latex(),
        "index.html": documents.html(),
        **dict(documents.figures()),
    }
    made = {
        "scores": frames.scores(found),
        "tests": frames.tests(found),
        "recalls": frames.recalls(found),
        "slices": frames.slices(found),
        "runs": frames.runs(found),
        "cost": frames.cost(found),
    }
    files |= {f"{name}.csv": frames.csv(frame) for name, frame in made.items()}
    if documents.curve:
        files[POINTS] = frames.csv(curve.table(documents.curve))
    if documents.codes:
        files[EXPLORABLE] = documents.codes.page
    if documents.tsne:
        files[NEIGHBOURS] = frames.csv(documents.tsne.numbers)
    for name, text in files.items():
        write_text(out / name, text)
    pictures = dict(documents.pictures())
    for name, content in pictures.items():
        write_bytes(out / name, content)
    there = {*files, *pictures}
    for name in set(SOMETIMES) - there:
        (out / name).unlink(missing_ok=True)
    return [out / name for name in SOMETIMES if name in there]
