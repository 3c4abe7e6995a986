"""A report on the terminal: a table per target, at most eighty columns wide."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from ser.report import conclusion, paper, robustness, testing
from ser.report.contrasts import KINDS
from ser.report.data import ReportData, missing, remarks
from ser.report.documents import CURVE_FILES, LAYERS, REPRESENTATION_FILES, ROBUSTNESS
from ser.report.figures import captions
from ser.report.frames import cost
from ser.report.power import POWER
from ser.report.tables import Table, limitations
from ser.report.testing import NEEDED
from ser.report.text import NONE, p_value

# How to read columns and rows, by their name.
PUBLISHED, REPRODUCED = "published", "reproduced"
INTERVAL, DIFFERENCE, LIMITS, EFFECT, P = (
    "95% over speakers",
    "difference",
    "95%",
    "d_z",
    "p (Holm)",
)
EXPLAINED = {
    PUBLISHED: "of the paper",
    REPRODUCED: "of these runs",
    "±": "standard deviation over seeds: the variation between repeated trainings",
    INTERVAL: "confidence interval by a bootstrap over speakers: the variation between speakers",
    DIFFERENCE: "system minus reference",
    LIMITS: "its confidence interval",
    EFFECT: "difference divided by its standard deviation between {units}",
    P: (
        "bootstrap over {units}, with Holm's correction over all main tests of the report; *: "
        "below 0.05. Secondary tests are in the files"
    ),
    NEEDED: (
        f"number of {{units}} with which {POWER:.0%} of further experiments would show the "
        "difference"
    ),
}


def show(data: ReportData, out: Path, console: Console, optional: Sequence[Path]) -> None:
    """Print the conclusion, scores, main tests, missing runs and the paths of files.

    Args:
        data: Data of the report.
        out: Folder of the report.
        console: Where it is printed.
        optional: Files of the report that not every report has.
    """
    _print(console, f"{data.name}: {data.headline}", "bold")
    for sentence in conclusion.sentences(data):
        _print(console, sentence)
    for remark in remarks(data):
        _print(console, remark, "yellow")
    for column in data.columns:
        of_target = data.select(column)
        console.print()
        console.print(_scores(of_target))
        for reference in dict.fromkeys(test.reference.system for test in of_target.main_tests):
            console.print()
            console.print(_tests(of_target, reference))
    corrupted = robustness.table(data, robustness.robustness(data))
    if corrupted:
        console.print()
        console.print(_transposed(corrupted))
    console.print()
    for note in (*_explanations(data), *(corrupted.notes if corrupted else ())):
        _print(console, note, "dim")
    for scoring in data.scorings:
        for note in limitations(data, scoring):
            _print(console, note, "dim")
    if not data.compares:
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
    for name in (INTERVAL, scoring.second.title):
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
    """Return the main tests of one target against a reference."""
    (column,) = data.columns
    score = data.scoring(column).primary
    tests = [test for test in data.main_tests if test.reference.system == reference]
    kinds = " or ".join(dict.fromkeys(KINDS[test.kind].title for test in tests))
    table = rich_table(f"against {reference}: {score.difference}, main test {kinds}")
    table.add_column("system", overflow="fold")
    for name in (DIFFERENCE, LIMITS, EFFECT, P, NEEDED):
        table.add_column(name, justify="right", overflow="fold")
    for test in tests:
        result = test.result
        texts = [NONE, NONE, NONE, "untested", NONE]
        if result is not None:
            limits = f"{score.signed(result.low)} to {score.signed(result.high)}"
            effect = NONE if result.effect is None else f"{result.effect:.2f}"
            p = p_value(test.p_holm) + (" *" if test.is_significant else "  ")
            texts = [score.signed(result.difference), limits, effect, p, testing.needed(test)]
        table.add_row(*map(Text, (test.cell.system, *texts)))
    return table


def _explanations(data: ReportData) -> Iterator[str]:
    """Explain the columns and marks that are shown, and only those."""
    main, tests = paper.main(data), data.main_tests
    for scoring in data.scorings:
        for score in scoring.scores:
            is_shown = any(name.startswith(f"{score.title} ") for name in main.columns)
            if is_shown or score is scoring.second:
                yield f"{score.title}: {score.about}."
    kinds = (PUBLISHED, REPRODUCED)
    shown = [kind for kind in kinds if any(name.endswith(kind) for name in main.columns)]
    shown += ["±"] if any("±" in text for row in main.rows for text in row) else []
    shown += [INTERVAL, *((DIFFERENCE, LIMITS, EFFECT, P, NEEDED) if tests else ())]
    units = " or ".join(dict.fromkeys(test.kind for test in tests))
    yield from (f"{name}: {EXPLAINED[name].format(units=units)}." for name in shown)
    if any(test.kind == "sessions" for test in tests):
        yield testing.WHY_SESSIONS
    yield from (f"{test.cell.system}: {test.verdict}." for test in tests if test.result is None)
    yield from main.notes


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
