"""SVG figures: deterministic, and small enough for many of them on one page.

Colours are CSS classes (`templates/figure.css`), so that a figure follows the page and dark mode.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from textwrap import wrap

from markupsafe import Markup

from ser.plots.colours import PALETTE
from ser.plots.inline import without_css
from ser.plots.jinja import render

WIDTH, HEIGHT = 320, 170
LEFT, RIGHT, TOP, BOTTOM = 34, 6, 8, 18  # margins around the axes
TITLE_CHARACTERS = 46  # per line
GAP = 16  # between the figures of a sheet


@dataclass(frozen=True)
class Figure:
    """An SVG drawing.

    Attributes:
        body: SVG elements, as markup.
        label: Text alternative for screen readers.
        height: Height of the view box; its width is always `WIDTH`.
    """

    body: str
    label: str
    height: float = HEIGHT

    @property
    def svg(self) -> str:
        """The `<svg>` element, for a page that includes `style()`."""
        return (
            f'<svg class="figure" viewBox="0 0 {WIDTH} {self.height:g}" role="img" '
            f'aria-label="{escape(self.label)}">{self.body}</svg>'
        )


@cache
def style() -> Markup:
    """Return the CSS of figures."""
    return render("ser.plots", "figure.css", palette=PALETTE)


def sheet(rows: Sequence[Sequence[tuple[str, Figure | None]]]) -> str:
    """Return a self-contained SVG file with rows of titled figures, on white.

    It has presentation attributes instead of CSS, which Inkscape and Word support in part only.
    """
    panels, y = [], GAP
    for row in rows:
        height = max((figure.height for _, figure in row if figure), default=0)
        titles = [wrap(title, TITLE_CHARACTERS) for title, figure in row if figure]
        head = 5 + 13 * max(map(len, titles), default=1)
        panels += [
            (GAP + column * (WIDTH + GAP), y, wrap(title, TITLE_CHARACTERS), head, figure.body)
            for column, (title, figure) in enumerate(row)
            if figure is not None
        ]
        y += int(height) + (head + GAP if height else 0)
    drawn = render(
        "ser.plots",
        "sheet.svg",
        width=GAP + max(map(len, rows), default=0) * (WIDTH + GAP),
        height=y,
        panels=[(*placed, Markup(body)) for *placed, body in panels],
    )
    return without_css(drawn, style())


def line(css_class: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{css_class}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text(css_class: str, x: float, y: float, text: str) -> str:
    return f'<text class="{css_class}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def points(places: Iterable[tuple[float, float]]) -> str:
    """Format the `points` attribute of a polyline or polygon."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
