"""Layers of a pretrained encoder: learned weights, or scores of inner folds."""

import numpy as np

from ser.plots.axes import axis_limits, scale, y_axis
from ser.plots.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Figure, line, text
from ser.report.cells import Cell

LABELS = 13  # layers with a label, at most


def layers(cell: Cell) -> Figure | None:
    """Draw the weight, or the UA of inner folds, of each layer: a dot per run, and their mean.

    Returns:
        None if the runs have neither, or have different layers.
    """
    runs = [run.layers for run in cell.complete_runs]
    if not runs or not runs[0] or any(list(each) != list(runs[0]) for each in runs):
        return None
    names, values = list(runs[0]), np.array([list(each.values()) for each in runs])
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
