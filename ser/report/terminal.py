"""What a report says on the terminal: a table a target, narrow enough for eighty columns."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ser.report import paper
from ser.report.comparisons import KINDS
from ser.report.figures import captions
from ser.report.findings import Findings, missing, remarks
from ser.report.frames import cost
from ser.report.page import REPRESENTATIONS, SWEPT
from ser.report.tables import NONE, about_scores, p_value, percent


def tell(found: Findings, out: Path, console: Console, more: Sequence[Path]) -> None:
    """Prints scores, tests, what is missing, and where the rest lies.

    Args:
        found: to be told.
        out: where the report lies.
        console: where it prints.
        more: files of it that not every report has.
    """
    _say(console, f"{found.name}: {found.headline}", "bold")
    for remark in remarks(found):
        _say(console, remark, "yellow")
    for column in found.columns:
        here = found.of(column)
        console.print()
        console.print(_scores(here))
        if here.tests:
            console.print()
            console.print(_tests(here))
    console.print()
    for note in (*paper.main(found).notes, *about_scores(found)):
        _say(console, note, "dim")
    if found.tests:
        _say(console, "p is corrected over the whole table (Holm); *: below 0.05.", "dim")
    elif found.baseline is None:
        _say(console, captions.NO_BASELINE)
    for line in missing(found):
        _say(console, f"missing: {line}", "yellow")
    _say(console, _cost(found))
    for what, names in (("Over an option", SWEPT), ("Representations", REPRESENTATIONS)):
        if there := [str(path) for path in more if path.name in names]:
            _say(console, f"{what}: {', '.join(there)}")
    _say(console, f"Everything lies in {out}; open {out / 'index.html'}")


def _scores(here: Findings) -> RichTable:
    """The main table of one target, with intervals and WA."""
    (column,) = here.columns
    main = paper.main(here)
    shown = _table(f"{column[0]} {column[1]}: {main.title}")
    for number, name in enumerate(main.columns):
        shown.add_column(name, justify="left" if number < main.left else "right", overflow="fold")
    for name in ("95% over speakers", "WA"):
        shown.add_column(name, justify="right", overflow="fold")
    for row, (_, summed, interval) in zip(main.rows, here.rows, strict=False):
        reach = NONE if interval is None else f"{percent(interval[0])} to {percent(interval[1])}"
        wa = NONE if summed is None else percent(summed.mean("pooled", "wa"))
        shown.add_row(*map(Text, (*row, reach, wa)))
    majority = [summed.mean("pooled", "majority_wa") for _, summed in here.scored][:1]
    guessed = main.rows[-1][1:]
    last = ("guessing, largest class", *guessed, "", *map(percent, majority))
    shown.add_row(*map(Text, last), style="dim")
    return shown


def _tests(here: Findings) -> RichTable:
    """All tests of one target in short: the difference, and p of each."""
    shown = _table(f"against {here.baseline}: points of UA, and p of each test (Holm)")
    shown.add_column("system", overflow="fold")
    for name in ("difference", *KINDS):
        shown.add_column(name, justify="right", overflow="fold")
    told: dict[str, dict[str, str]] = {}
    for test in here.tests:
        row = told.setdefault(test.cell.system, {})
        row[test.kind] = "untested"
        if test.found is not None:
            row.setdefault("difference", f"{100 * test.found.difference:+.1f}")
            row[test.kind] = p_value(test.p_holm) + (" *" if test.is_shown else "  ")
    for system, row in told.items():
        cells = (system, row.get("difference", NONE), *(row[kind] for kind in KINDS))
        shown.add_row(*map(Text, cells))
    return shown


def _table(title: str) -> RichTable:
    # As text, so that brackets in names are no markup.
    return RichTable(box=None, header_style="bold", title=Text(title), title_justify="left")


def _cost(found: Findings) -> str:
    took = cost(found)["seconds"].dropna()
    minutes = took.sum() / 60
    told = f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.1f} hours"
    return f"{len(took):,} finished runs took {told} in all."


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style))
