"""The figure of an audit: UA from each nuisance variable with its interval, beside chance."""

from html import escape

from ser.audit.result import Audit
from ser.plots.axes import scale
from ser.plots.svg import RIGHT, WIDTH, Figure, line, text

LEFT, ROW, TOP, FOOT = 118, 15, 8, 18
TICKS = (0, 25, 50, 75, 100)


def figure(audit: Audit) -> Figure:
    """Draw a row per nuisance variable: UA (dot), 95% interval (line); dashed: chance level."""
    x = scale((0, 1), (LEFT, WIDTH - RIGHT - 6))
    bottom = TOP + ROW * len(audit.baselines)
    chance = audit.chance
    parts = [line("grid", x(tick / 100), TOP, x(tick / 100), bottom) for tick in TICKS]
    parts += [text("middle", x(tick / 100), bottom + 12, str(tick)) for tick in TICKS]
    parts.append(line("chance", x(chance), TOP, x(chance), bottom))
    for row, each in enumerate(audit.baselines):
        y = TOP + (row + 0.5) * ROW
        css = "dots" if not (each.is_fault or each.is_warning) else "pooled"
        parts += [
            text("end", LEFT - 5, y + 3, each.nuisance),
            line("mean", x(each.low), y, x(each.high), y),
            f'<g class="{css}"><circle cx="{x(each.ua):.1f}" cy="{y:.1f}" r="3.5">'
            f"<title>{escape(each.nuisance)}: {100 * each.ua:.1f}</title></circle></g>",
        ]
    label = f"UA in % from each nuisance variable, {audit.target} of {audit.corpus}"
    return Figure("".join(parts), label, bottom + FOOT)
