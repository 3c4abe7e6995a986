"""The report of a grid: tables, tests and figures computed from the files of its runs.

All files but `cost.csv` are a function of predictions, learning curves and representations: equal
byte for byte whenever, wherever and in whatever order the runs were made.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ser.errors import UserError
from ser.report import documents, frames, page, raters, robustness, terminal
from ser.report.cells import cells
from ser.report.comparisons import compare, pairs, resolve
from ser.report.contents import Contents
from ser.report.data import ReportData
from ser.report.figures import curve, forest
from ser.report.figures import data as figure_data
from ser.report.gather import Run, finished_runs, with_evaluations
from ser.report.recipes import commands, recipes
from ser.results import write_bytes, write_text
from ser.sweeps.grid import Grid


def report(grid: Grid, out: Path, console: Console | None = None) -> ReportData:
    """Print the tables of a grid and write them, with figures, to a folder.

    Args:
        grid: Planned runs; missing ones are listed.
        out: Folder for the documents (report.md, report.tex, index.html), for the figures as SVG
            with their numbers as CSV, and for the tables as CSV: `docs/guide/reports.md` lists
            them. Some depend on what the runs have.
        console: Where tables are printed; None for standard output.

    Returns:
        The data of the report.

    Raises:
        UserError: No run is finished, a finished run is damaged, or a system that is to be
            compared does not exist.
    """
    console = console or Console(highlight=False)
    data = compute(grid, console)
    terminal.show(data, out, console, write(data, out))
    return data


def compute(grid: Grid, console: Console | None = None) -> ReportData:
    """Read the finished runs of a grid and compute the data of its report.

    Raises:
        UserError: As for `report`.
    """
    grid = with_evaluations(grid)
    return summarise(grid, finished_runs(grid, console))


def summarise(grid: Grid, runs: Sequence[Run]) -> ReportData:
    """Compute the data of a report from finished runs of a grid.

    Raises:
        UserError: There are no runs, or a system that is to be compared does not exist.
    """
    if not runs:
        raise UserError(
            f"none of the {len(grid.runs):,} runs of {grid.name} is finished: run "
            "python train.py with the same options"
        )
    ordered = tuple(cells(grid, runs))
    name = grid.baseline
    baseline = None if name is None else resolve(ordered, name, "report.baseline")
    compared = pairs(ordered, baseline, grid.comparisons)
    tests = tuple(compare(ordered, compared))
    tsne = dict.fromkeys(run.system for run in grid.runs) if grid.tsne else ()
    planned = sum(run.tested_on is None for run in grid.runs)
    fold_counts = {run.planned.system: run.fold_count for run in runs}
    return ReportData(
        grid.name,
        planned,
        ordered,
        bool(baseline or compared),
        tests,
        tuple(tsne),
        grid.formats,
        recipes(grid, fold_counts),
        commands(grid, fold_counts),
    )


def write(data: ReportData, out: Path) -> list[Path]:
    """Write all files of a report, each atomically.

    Optional files of an earlier report that this one does not have are removed.

    Returns:
        The optional files of this report.
    """
    contents = Contents(data)
    figures = dict(documents.figures(contents))
    files = {
        "report.md": documents.markdown(contents),
        "report.tex": documents.latex(contents),
        **figures,
    }
    tables = {
        "scores": frames.scores(data),
        "tests": frames.tests(data),
        "slices": frames.slices(data),
        "runs": frames.runs(data),
        "cost": frames.cost(data),
        "forest": forest.table(data),
    }
    files |= {f"{name}.csv": frames.csv(frame) for name, frame in tables.items()}
    if contents.recalls:
        files[documents.RECALLS] = frames.csv(frames.recalls(data))
    if contents.shares:
        files[documents.SHARES] = frames.csv(raters.frame(data))
    if data.gaps:
        files[documents.GAPS] = frames.csv(frames.gaps(data))
    if contents.curve:
        files[documents.POINTS] = frames.csv(curve.table(contents.curve))
    if contents.measured:
        files[documents.ROBUSTNESS] = frames.csv(robustness.frame(contents.measured))
    if contents.codes:
        files[documents.EXPLORABLE] = contents.codes.page
        files[documents.CODE_POINTS] = frames.csv(contents.codes.points)
    if contents.tsne:
        files[documents.NEIGHBOURS] = frames.csv(contents.tsne.numbers)
        files[documents.TSNE_POINTS] = frames.csv(contents.tsne.points)
    for name, frame in figure_data.tables(data).items():
        if f"{name}.svg" in figures:
            files[f"{name}.csv"] = frames.csv(frame)
    pictures = dict(documents.pictures(contents)) | dict(documents.drawn(figures, data.formats))
    files["index.html"] = page.html(contents, sorted({*files, *pictures}))
    for name, text in files.items():
        write_text(out / name, text)
    for name, content in pictures.items():
        write_bytes(out / name, content)
    written = {*files, *pictures}
    for name in set(documents.OPTIONAL_FILES) - written:
        (out / name).unlink(missing_ok=True)
    return [out / name for name in documents.OPTIONAL_FILES if name in written]
