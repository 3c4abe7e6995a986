"""The figure of a leaderboard: systems with their intervals, beside chance and one rater."""

from html import escape

from ser.benchmark.standing_tables import short
from ser.benchmark.standings import Board
from ser.plots.axes import scale, ticks
from ser.plots.svg import RIGHT, WIDTH, Figure, line, text

TEXT, ROW, TOP, FOOT = 160, 14, 8, 18  # width of names, height of rows, margins
NAME = 30  # characters of a name


def figure(board: Board) -> Figure:
    """Draw a row per system: score (dot) and 95% interval; dashed: chance; solid: one rater."""
    shown = [entry for entry in board.entries if len(entry.seeds)]
    factor = board.task.scoring.primary.factor
    ends = [end for entry in shown for end in (entry.interval or (entry.score,))]
    marks = [board.task.chance, *([] if board.ceiling is None else [board.ceiling])]
    low, high = (factor * f([*ends, *marks]) for f in (min, max))
    x = scale((low, high), (TEXT, WIDTH - RIGHT - 6))
    bottom = TOP + ROW * len(shown)
    places = ticks(low, high)
    parts = [line("grid", x(tick), TOP, x(tick), bottom) for tick in places]
    parts += [text("middle", x(tick), bottom + 12, f"{tick:g}") for tick in places]
    for kind, mark in zip(("chance", "mean"), marks, strict=False):
        parts.append(line(kind, x(factor * mark), TOP, x(factor * mark), bottom))
    for row, entry in enumerate(shown):
        y = TOP + (row + 0.5) * ROW
        left, right = entry.interval or (entry.score, entry.score)
        css = "pooled" if entry.verdict == "higher" else "dots"
        parts += [
            text("end", TEXT - 5, y + 3, short(entry.system)[:NAME]),
            line("mean", x(factor * left), y, x(factor * right), y),
            f'<g class="{css}"><circle cx="{x(factor * entry.score):.1f}" cy="{y:.1f}" r="3.5">'
            f"<title>{escape(entry.system)}: {factor * entry.score:.3g}</title></circle></g>",
        ]
    label = f"{board.task.scoring.primary.axis} with 95% intervals, {board.task.title}"
    return Figure("".join(parts), label, bottom + FOOT)
