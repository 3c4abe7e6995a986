"""Losses of a representation by epoch, as in figure 2 of sahu2017."""

import numpy as np
import pandas as pd

from ser.plots.axes import Scale, axis_limits, epoch_axis, legend_entry, scale, y_axis
from ser.plots.colours import css_class
from ser.plots.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Figure, points, text
from ser.report.figures.learning_curves import loss_name
from ser.report.figures.representations import SIDES, Example

HEAD = 14  # height of the title of a panel


def losses(example: Example) -> Figure:
    """Draw losses on the training split above, on the test split below, to one scale."""
    table, cell = example.table, example.cell
    names = list(map(str, table))
    phases = list(dict.fromkeys(map(loss_name, names)))
    limits, is_log = axis_limits(table.to_numpy(), may_be_log=True)
    epochs = len(table) - 1
    x = scale((0, max(epochs, 1)), (LEFT, WIDTH - RIGHT))
    y = scale(limits, (HEIGHT - BOTTOM, TOP), is_log)
    axes = "".join([*y_axis(limits, y, 1, is_log), *epoch_axis(x, epochs)])
    panels, top = [], 0.0
    for side in SIDES:
        of_side = [name for name in names if name.startswith(f"{side}/")]
        lines = "".join(_line(phases.index(loss_name(n)), table[n], x, y) for n in of_side)
        title = f"{side} split" + ("" if of_side else ": no losses were recorded")
        head = text("cell", 0, 10, title)
        body = f'<g transform="translate(0 {HEAD})">{axes}{lines}</g>' if of_side else ""
        panels.append(f'<g transform="translate(0 {top:g})">{head}{body}</g>')
        top += HEAD + (HEIGHT if of_side else 4)
    legend = [each for n, phase in enumerate(phases) for each in legend_entry(n, top + 8, phase)]
    label = f"losses by epoch, {cell.system}, {cell.corpus}, {cell.target}"
    height = top + 7 + 13 * ((len(phases) + 1) // 2)
    return Figure("".join([*panels, *legend]), label, height)


def _line(number: int, losses: pd.Series, x: Scale, y: Scale) -> str:
    known = losses.reset_index(drop=True).dropna()
    known = known.iloc[:: int(np.ceil(len(known) / WIDTH))]
    places = points(
        (x(float(epoch)), y(loss)) for epoch, loss in zip(known.index, known, strict=True)
    )
    return f'<polyline class="line {css_class(number)}" points="{places}"/>'
