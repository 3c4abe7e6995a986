"""A report on the terminal: a table per target, at most eighty columns wide."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ser.report import paper, robustness
from ser.report.contrasts import KINDS
from ser.report.data import ReportData, missing, remarks
from ser.report.documents import CURVE_FILES, LAYERS, REPRESENTATION_FILES, ROBUSTNESS
from ser.report.figures import captions
from ser.report.frames import cost
from ser.report.tables import Table, about_scores
from ser.report.text import NONE, p_value


def show(data: ReportData, out: Path, console: Console, optional: Sequence[Path]) -> None:
    """Print scores, tests, missing runs and the paths of files.

    Args:
        data: Data of the report.
        out: Folder of the report.
        console: Where it is printed.
        optional: Files of the report that not every report has.
    """
    _print(console, f"{data.name}: {data.headline}", "bold")
    for remark in remarks(data):
        _print(console, remark, "yellow")
    for column in data.columns:
        of_target = data.select(column)
        console.print()
        console.print(_scores(of_target))
        for reference in dict.fromkeys(test.reference.system for test in of_target.tests):
            console.print()
            console.print(_tests(of_target, reference))
    if table := robustness.table(data, robustness.robustness(data)):
        console.print()
        console.print(_transposed(table))
    console.print()
    about = [note for scoring in data.scorings for note in about_scores(data, scoring)]
    for note in (*paper.main(data).notes, *about):
        _print(console, note, "dim")
    if data.tests:
        _print(console, "p with Holm's correction over the whole report; *: below 0.05.", "dim")
        units = dict.fromkeys(test.n for test in data.tests_of("folds") if test.result)
        if units:
            _print(console, f"Tests over folds: {'; '.join(units)}.", "dim")
    elif not data.compares:
        _print(console, captions.NO_BASELINE)
    if any(gap.result for gap in data.gaps):
        _print(console, _gaps(data))
    for line in missing(data):
        _print(console, f"missing: {line}", "yellow")
    _print(console, _cost(data))
    named = (
        ("Scores over an option", CURVE_FILES),
        ("Layers", (LAYERS,)),
        ("Representations", REPRESENTATION_FILES),
        ("Scores on corrupted audio", (ROBUSTNESS,)),
    )
    for title, names in named:
        if paths := [str(path) for path in optional if path.name in names]:
            _print(console, f"{title}: {', '.join(paths)}")
    _print(console, f"Results: {out}; open {out / 'index.html'}")


def _scores(data: ReportData) -> RichTable:
    """Return the main table of one target, with confidence intervals and a second score."""
    (column,) = data.columns
    scoring = data.scoring(column)
    main = paper.main(data)
    table = rich_table(f"{column[0]} {column[1]}: {main.title}")
    for number, name in enumerate(main.columns):
        table.add_column(name, justify="left" if number < main.left else "right", overflow="fold")
    for name in ("95% over speakers", scoring.second.title):
        table.add_column(name, justify="right", overflow="fold")
    for row, (_, summed, interval) in zip(main.rows, data.rows, strict=False):
        second = NONE
        if summed is not None:
            second = scoring.second.text(summed.mean("pooled", scoring.beside))
        table.add_row(*map(Text, (*row, scoring.primary.interval(interval), second)))
    if data.has_ceiling:
        table.add_row(*map(Text, (*main.rows[-2], "", "")), style="dim")
    level = scoring.second.chance
    known = [scoring.second.text(summed.chance[level]) for _, summed in data.scored if level][:1]
    chance = (scoring.chance_name, *main.rows[-1][1:], "", *known)
    table.add_row(*map(Text, chance), style="dim")
    return table


def _tests(data: ReportData, reference: str) -> RichTable:
    """Return the difference and p of the tests of one target against a reference."""
    (column,) = data.columns
    primary = data.scoring(column).primary
    kinds = [kind for kind in KINDS if any(test.kind == kind for test in data.tests)]
    table = rich_table(f"against {reference}: {primary.difference}, and p of each test (Holm)")
    table.add_column("system", overflow="fold")
    for name in ("difference", *kinds):
        table.add_column(name, justify="right", overflow="fold")
    rows: dict[str, dict[str, str]] = {}
    for test in data.tests:
        if test.reference.system != reference:
            continue
        row = rows.setdefault(test.cell.system, {})
        row[test.kind] = "untested"
        if test.result is not None:
            row.setdefault("difference", primary.signed(test.result.difference))
            row[test.kind] = p_value(test.p_holm) + (" *" if test.is_significant else "  ")
    for system, row in rows.items():
        texts = (system, row.get("difference", NONE), *(row[kind] for kind in kinds))
        table.add_row(*map(Text, texts))
    return table


def rich_table(title: str) -> RichTable:
    # `Text`, so that brackets in names are not read as markup.
    return RichTable(box=None, header_style="bold", title=Text(title), title_justify="left")


def _gaps(data: ReportData) -> str:
    """Return which gaps between groups of speakers are shown."""
    shown = [gap for gap in data.gaps if gap.is_significant]
    listed = "; ".join(
        f"{data.cell_name(gap.cell)}: {gap.groups[0]} {gap.verdict}" for gap in shown
    )
    tested = sum(gap.result is not None for gap in data.gaps)
    return (
        f"Gaps between groups ({', '.join(dict.fromkeys(gap.by for gap in data.gaps))}): "
        f"{len(shown)} of {tested} tested ones shown" + (f" ({listed})." if shown else ".")
    )


def _cost(data: ReportData) -> str:
    seconds = cost(data)["seconds"].dropna()
    minutes = seconds.sum() / 60
    duration = f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.1f} hours"
    return f"{len(seconds):,} finished runs took {duration} in total."


def _print(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style))


def _transposed(table: Table) -> RichTable:
    """Return a table with a row per column, which fits where there are few rows."""
    title = Text(table.title)
    printed = RichTable(box=None, header_style="bold", title=title, title_justify="left")
    first, *others = zip(table.columns, *table.rows, strict=True)
    for number, name in enumerate(first):
        printed.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in others:
        printed.add_row(*map(Text, row))
    return printed
