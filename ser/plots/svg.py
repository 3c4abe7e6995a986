"""Small SVG, written by hand: the same bytes each time, light enough for many on a page.

Colours are classes of `STYLE`, so that a figure follows the page, or the reader's dark mode.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

import numpy as np

WIDE, HIGH = 320, 170
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 8, 18
TITLE = 46  # characters of a title's line
# Of middling lightness, to be seen on white and on black.
PALETTE = ("#3f90da", "#e76300", "#2f9e62", "#b5559b", "#a98600", "#7d858c")

STYLE = """
.figure text { font: 10px system-ui, sans-serif; fill: var(--quiet); }
.figure .title, .figure .cell, .figure .count { fill: var(--text); }
.figure .count { font-size: 9px; }
.figure .title { font-weight: 600; font-size: 11px; }
.figure .end { text-anchor: end; } .figure .middle { text-anchor: middle; }
.figure .grid { stroke: var(--line); }
.figure .chance { stroke: var(--warn); stroke-dasharray: 4 3; }
.figure .mean { stroke: var(--text); stroke-width: 1.5; }
.figure .dots { fill: #3f90da; fill-opacity: .6; }
.figure .pooled { fill: #e76300; fill-opacity: .75; }
.figure .heat { fill: #3f90da; }
.figure .line { fill: none; stroke-width: 1.6; }
.figure .band { fill-opacity: .2; }
.figure .mark.few { fill-opacity: 0; }
""" + "".join(
    f".figure .line.c{number} {{ stroke: {colour}; }}\n"
    f".figure .band.c{number} {{ fill: {colour}; }}\n"
    f".figure .mark.c{number} {{ fill: {colour}; stroke: {colour}; }}\n"
    for number, colour in enumerate(PALETTE)
)
# What a page has and a file of figures must bring along.
ALONE = (
    """
svg { color-scheme: light dark; --back: #fff; --text: #1c1e21; --quiet: #5d6369;
  --line: #d5d9dd; --warn: #8a4b00; }
@media (prefers-color-scheme: dark) { svg { --back: #15181b; --text: #e7e9eb;
  --quiet: #a0a7ae; --line: #3a4046; --warn: #ffb95e; } }
.back { fill: var(--back); }"""
    + STYLE
)


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        body: its elements.
        label: what it shows, for those who cannot see it.
        height: of its box, in its own units; `WIDE` is the width of each.
    """

    body: str
    label: str
    height: float = HIGH

    @property
    def svg(self) -> str:
        """To stand within a page that has `STYLE`."""
        return (
            f'<svg class="figure" viewBox="0 0 {WIDE} {self.height:g}" role="img" '
            f'aria-label="{escape(self.label)}">{self.body}</svg>'
        )


def sheet(rows: Sequence[Sequence[tuple[str, Figure | None]]]) -> str:
    """A file of figures in rows, each under its title; it needs nothing beside it."""
    gap = 16
    body, y = [], gap
    for row in rows:
        high = max((figure.height for _, figure in row if figure), default=0)
        titles = [wrap(title, TITLE) for title, figure in row if figure]
        head = 5 + 13 * max(map(len, titles), default=1)
        for number, (title, figure) in enumerate(row):
            if figure is not None:
                x = gap + number * (WIDE + gap)
                titled = "".join(
                    f'<text class="title" y="{10 + 13 * at}">{escape(each)}</text>'
                    for at, each in enumerate(wrap(title, TITLE))
                )
                body.append(
                    f'<g transform="translate({x} {y})">{titled}'
                    f'<g transform="translate(0 {head})">{figure.body}</g></g>'
                )
        y += int(high) + (head + gap if high else 0)
    wide = gap + max(map(len, rows), default=0) * (WIDE + gap)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="figure" width="{wide}" height="{y}" '
        f'viewBox="0 0 {wide} {y}"><style>{ALONE}</style>'
        f'<rect class="back" width="{wide}" height="{y}"/>{"".join(body)}</svg>\n'
    )


# ---- axes


def scale(
    limits: tuple[float, float], places: tuple[float, float], is_log: bool = False
) -> Callable[[float], float]:
    warp = np.log if is_log else float
    low, high = (warp(limit) for limit in limits)
    return lambda value: float(
        places[0] + (warp(value) - low) / (high - low) * (places[1] - places[0])
    )


def ticks(low: float, high: float, is_log: bool = False) -> list[float]:
    """Round numbers between two, about five of them."""
    if is_log:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        steps = (1,) if len(powers) > 4 else (1, 3)
        return [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
    raw = (high - low) / 6
    power = 10.0 ** np.floor(np.log10(raw)) if raw > 0 else 1.0
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= raw)
    return [float(k * step) for k in range(int(np.ceil(low / step)), int(high / step) + 1)]


def horizontal(
    limits: tuple[float, float], y: Callable[[float], float], scaled: float, is_log: bool = False
) -> Iterator[str]:
    """Lines across with what they stand for, `scaled` times."""
    for tick in ticks(*limits, is_log):
        yield line("grid", LEFT, y(tick), WIDE - RIGHT, y(tick))
        yield text("end", LEFT - 3, y(tick) + 3, _label(scaled * tick))


def _label(value: float) -> str:
    """Short enough for the margin."""
    if 0 < abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.6g}"


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def points(places: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
