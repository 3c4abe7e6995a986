"""The scores of complete systems at the end of a sweep: folds pooled, with intervals."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ser.report import summarise
from ser.report.data import ReportData, remarks
from ser.report.gather import finished_runs
from ser.report.paper import partial
from ser.report.scoring import titles
from ser.report.tables import ABOUT_RATER, ONE_RATER
from ser.report.terminal import rich_table
from ser.report.text import NONE
from ser.sweeps.grid import Grid


def show(grid: Grid, console: Console) -> None:
    """Print the scores of systems whose runs are all finished.

    Args:
        grid: Their runs.
        console: Where they are printed.

    Raises:
        UserError: All runs are damaged.
    """
    data = summarise(grid, finished_runs(grid))
    for column in data.columns:
        console.print()
        console.print(_table(data.select(column)))
    for note in _notes(data):
        console.print(Text(note, style="dim"))
    for remark in remarks(data):
        console.print(Text(remark, style="yellow"))


def _table(data: ReportData) -> Table:
    """Return the table of one corpus and target; its last row is chance level."""
    ((corpus, target),) = data.columns
    parts = " or ".join(dict.fromkeys(cell.part for cell in data.cells))
    folds, seeds = {len(c.folds) for c in data.cells}, {len(c.seeds) for c in data.cells}
    pooled = "folds pooled"
    if len(folds) == 1:
        (number,) = folds
        pooled = f"{number} folds pooled" if number > 1 else "1 fold"
    seeds_text = f"{seeds.pop()} seeds" if len(seeds) == 1 else "seeds"
    over = "" if seeds_text == "1 seeds" else f", mean over {seeds_text}"
    scoring = data.scoring((corpus, target))
    unit = ", in %" if scoring.primary.in_percent else ""
    table = rich_table(f"{corpus} {target}: {parts} split, {pooled}{over}{unit}")
    table.add_column("system", overflow="fold")
    first, *others = scoring.scores
    names = [first.title, "95% over speakers", *(each.title for each in others), "speakers"]
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    for cell, summed, interval in data.rows:
        if summed is None:
            continue
        texts = [summed.text("pooled", first.name), first.interval(interval)]
        texts += [each.text(summed.mean("pooled", each.name)) for each in others]
        speakers = str(cell.speakers) if cell.knows_speakers else NONE
        table.add_row(*map(Text, (cell.system, *texts, speakers)))
    if (ceiling := data.ceiling((corpus, target))) is not None:
        table.add_row(ONE_RATER, scoring.primary.text(ceiling), style="dim")
    for _, summed in list(data.scored)[:1]:
        levels = [
            score.text(summed.chance[score.chance]) if score.chance else ""
            for score in scoring.scores
        ]
        table.add_row(scoring.chance_row, levels[0], "", *levels[1:], style="dim")
    return table


def _notes(data: ReportData) -> Iterator[str]:
    score = titles(data.scorings)
    yield f"95%: confidence interval of {score} by a bootstrap over the tested speakers."
    if data.has_ceiling:
        yield ABOUT_RATER
    yield from partial(data)
    for cell, summed in data.scored:
        if summed.overlap:
            yield f"{data.cell_name(cell)}: {summed.overlap}."
