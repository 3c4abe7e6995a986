"""Layers of a pretrained encoder: learned weights, or scores of inner folds."""

import numpy as np
import pandas as pd

from ser.plots.axes import axis_limits, scale, y_axis
from ser.plots.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Figure, line, text
from ser.report.cells import Cell

LABELS = 13  # layers with a label, at most


def layers(cell: Cell) -> Figure | None:
    """Draw the weight, or the UA of inner folds, of each layer: a dot per run, and their mean.

    Returns:
        None if the runs have neither, or have different layers.
    """
    by_layer = table(cell)
    if by_layer.empty:
        return None
    names, values = list(map(str, by_layer)), by_layer.to_numpy()
    limits, _ = axis_limits(values, may_be_log=False)
    y = scale(limits, (HEIGHT - BOTTOM, TOP))
    step = (WIDTH - LEFT - RIGHT) / len(names)
    parts, every = [*y_axis(limits, y, 100)], int(np.ceil(len(names) / LABELS))
    for number, name in enumerate(names):
        middle = LEFT + (number + 0.5) * step
        circles = (
            f'<circle cx="{middle:.1f}" cy="{y(value):.1f}" r="2"><title>layer {name}: '
            f"{100 * value:.1f}</title></circle>"
            for value in values[:, number]
        )
        parts.append(f'<g class="dots">{"".join(circles)}</g>')
        mean = y(float(values[:, number].mean()))
        parts.append(line("mean", middle - 0.3 * step, mean, middle + 0.3 * step, mean))
        if number % every == 0:
            parts.append(text("middle", middle, HEIGHT - 5, name))
    label = f"layers of the encoder, {cell.system}, {cell.corpus}, {cell.target}"
    return Figure("".join(parts), label)


def table(cell: Cell) -> pd.DataFrame:
    """Return weights or scores by run (seed and fold) and layer; empty if runs have none."""
    runs = {place: cell.runs[place].layers for place in cell.places}
    names = [list(layers) for layers in runs.values()]
    if not names or any(each != names[0] for each in names):
        return pd.DataFrame()
    index = pd.MultiIndex.from_tuples(runs, names=["seed", "fold"])
    return pd.DataFrame([list(layers.values()) for layers in runs.values()], index, names[0])
