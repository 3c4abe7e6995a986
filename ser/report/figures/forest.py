"""Forest plot: the pooled score of every system with its interval over speakers, on one axis."""

from collections.abc import Iterator, Sequence
from html import escape

import pandas as pd

from ser.plots.axes import Scale, scale, ticks
from ser.plots.colours import css_class
from ser.plots.svg import WIDTH, Figure, line, text
from ser.report.cells import Cell
from ser.report.data import ReportData, published_scores
from ser.report.scores import Summary
from ser.report.scoring import Score

SIDE = 8  # margin left and right
ROW = 24  # height of a system: its name and score, and the interval below
FOOT = 26  # height of the labels below the axis
LETTERS = 36  # of the name of a system, at most

# A system on a target: its cell, scores and interval.
Row = tuple[Cell, Summary, tuple[float, float] | None]


def rows(data: ReportData, column: tuple[str, str]) -> list[Row]:
    """Return the systems that have scores on a target, the highest score first."""
    known = [
        (cell, summed, interval)
        for cell, summed, interval in data.rows
        if cell.column == column and summed is not None
    ]
    return sorted(known, key=lambda row: -_score(row[0], row[1]))


def forest(data: ReportData, column: tuple[str, str]) -> Figure | None:
    """Draw all systems on a target; None without scores.

    Above: name, score and interval; a triangle points up or down where the main test shows a
    difference from the reference.
    """
    drawn = rows(data, column)
    if not drawn:
        return None
    score = drawn[0][0].scoring.primary
    limits = _limits(drawn, data.ceiling(column))
    x = scale(limits, (SIDE, WIDTH - SIDE))
    bottom = ROW * len(drawn) + 4
    ceiling = data.ceiling(column)
    parts = [*_axis(limits, x, bottom, score)]
    parts += _labels(drawn[0][1], ceiling, x, bottom)
    for number, row in enumerate(drawn):
        parts += _levels(limits, row[1], ceiling, x, ROW * number)
        parts += _system(data, row, x, ROW * number, score)
    label = f"{score.axis} of each system with its 95% interval over speakers, "
    label += data.column_name(column)
    return Figure("".join(parts), label, bottom + FOOT)


def table(data: ReportData) -> pd.DataFrame:
    """Return what the forest plot shows: one row per system and target; scores are shares."""
    names = ["system", "corpus", "target", "score", "value", "low", "high", "chance"]
    names += ["one_rater", "published", "seeds", "seeds_planned"]
    known = [
        [
            *(cell.system, cell.corpus, cell.target, cell.scoring.primary.name),
            *(_score(cell, summed), *(interval or (None, None)), _chance(summed)),
            *(cell.ceiling, _published(cell), len(cell.seeds), cell.planned),
        ]
        for column in data.columns
        for cell, summed, interval in rows(data, column)
    ]
    return pd.DataFrame(known, columns=names)


def _score(cell: Cell, summed: Summary) -> float:
    return summed.mean("pooled", cell.scoring.primary.name)


def _chance(summed: Summary) -> float:
    return summed.mean("pooled", str(summed.scoring.primary.chance))


def _published(cell: Cell) -> float | None:
    """Return the primary score that the paper reports, as a share if it is shown in %."""
    score = cell.scoring.primary
    known = published_scores(cell).get(score.name)
    return None if known is None else float(known) / score.factor


def _limits(drawn: Sequence[Row], ceiling: float | None) -> tuple[float, float]:
    """Return limits of the axis that contain everything, chance level as well."""
    values = [_chance(drawn[0][1])] if ceiling is None else [_chance(drawn[0][1]), ceiling]
    for cell, summed, interval in drawn:
        values += [_score(cell, summed), *(interval or ())]
        values += [known] if (known := _published(cell)) is not None else []
    low, high = min(values), max(values)
    pad = 0.04 * (high - low) or 0.02
    lowest, highest = drawn[0][0].scoring.limits
    return max(low - pad, lowest), min(high + pad, highest)


def _axis(limits: tuple[float, float], x: Scale, bottom: float, score: Score) -> Iterator[str]:
    for tick in ticks(*limits):
        place = min(max(x(tick), SIDE + 4), WIDTH - SIDE - 8)
        yield text("middle", place, bottom + 11, f"{score.factor * tick:.6g}")


def _levels(
    limits: tuple[float, float], summed: Summary, ceiling: float | None, x: Scale, top: float
) -> Iterator[str]:
    """Draw grid, chance level and the score of one rater behind an interval, not behind names."""
    low, high = top + 13, top + 22
    for tick in ticks(*limits):
        yield line("grid", x(tick), low, x(tick), high)
    yield line("chance", x(_chance(summed)), low, x(_chance(summed)), high)
    if ceiling is not None:
        yield line("ceiling", x(ceiling), low, x(ceiling), high)


def _labels(summed: Summary, ceiling: float | None, x: Scale, bottom: float) -> Iterator[str]:
    """Name chance level and the score of one rater below the axis."""
    known = [("chance", _chance(summed))]
    known += [] if ceiling is None else [("one rater", ceiling)]
    for name, value in known:
        side = "" if x(value) < WIDTH / 2 else "end"
        yield text(side, x(value), bottom + 23, f"{name} {summed.scoring.primary.text(value)}")


def _system(data: ReportData, row: Row, x: Scale, top: float, score: Score) -> Iterator[str]:
    """Draw name, score and interval of a system."""
    cell, summed, interval = row
    colour, value, y = css_class(data.colour_of(cell.system)), _score(cell, summed), top + 17
    few = len(cell.seeds) < cell.planned
    seeds = f" [{len(cell.seeds)}/{cell.planned} seeds]" if few else ""
    name = shortened(cell.system, LETTERS - len(seeds))
    yield text("name", SIDE, top + 10, f"{name}{seeds}")
    end = WIDTH - SIDE
    if (side := _side(data, cell)) is not None:
        tip, base = (top + 2, top + 9) if side > 0 else (top + 10, top + 3)
        corners = f"{end - 7},{base} {end},{base} {end - 3.5},{tip}"
        yield f'<polygon class="shown" points="{corners}"/>'
    between = "" if interval is None else f" ({score.text(interval[0])}–{score.text(interval[1])})"
    yield text("end cell", end - 10, top + 10, f"{score.text(value)}{between}")
    if interval is not None:
        yield line(f"line {colour}", x(interval[0]), y, x(interval[1]), y)
    hollow = " few" if few else ""
    title = f"<title>{escape(cell.system)}: {score.text(value)}{between}</title>"
    mark = f'<circle class="mark {colour}{hollow}" cx="{x(value):.1f}" cy="{y}" r="3.2"/>'
    yield f"<g>{mark}{title}</g>"
    if (known := _published(cell)) is not None:
        yield _diamond(x(known), y, f"published: {score.text(known, 2)}")


def shortened(name: str, most: int) -> str:
    """Shorten the name of a system; its options, which tell it from others, are kept if they fit.

    Examples:
        >>> shortened("utterance_baseline target.bins=majority", 30)
        'utteranc… target.bins=majority'
    """
    if len(name) <= most:
        return name
    first, _, options = name.partition(" ")
    room = most - len(options) - 2
    return f"{first[:room]}… {options}" if options and room > 2 else f"{name[: most - 1]}…"


def _side(data: ReportData, cell: Cell) -> int | None:
    """Return 1 or -1 if a main test shows the system above or below its reference, else None.

    Tests against several references may show both; then nothing is drawn.
    """
    sides = {
        1 if test.result.difference > 0 else -1
        for test in data.main_tests
        if test.cell.system == cell.system
        and test.cell.column == cell.column
        and test.result is not None
        and test.is_significant
    }
    return sides.pop() if len(sides) == 1 else None


def _diamond(x: float, y: float, title: str) -> str:
    corners = " ".join(
        f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in ((-4, 0), (0, -4), (4, 0), (0, 4))
    )
    shape = f'<polygon class="published" points="{corners}"/>'
    return f"<g>{shape}<title>{title}</title></g>"
