"""Predicted values of a cell against true ones, as a 2-D histogram."""

import numpy as np
import pandas as pd

from ser.plots.axes import scale, ticks
from ser.plots.colours import css_class
from ser.plots.svg import LEFT, RIGHT, TOP, WIDTH, Figure, line, points, text
from ser.report.cells import Cell
from ser.report.scores import Summary
from ser.report.values import LOWEST, SQUARES, STEP

FLOOR, HEIGHT = 196, 212
FEW = 5  # predictions per seed: true values with fewer have no mean


def density(cell: Cell, summed: Summary, colour: int) -> Figure:
    """Draw how often each prediction (y) is made for each true value (x), and the mean of y.

    Args:
        cell: The system, corpus and target.
        summed: Its scores.
        colour: Number of the colour of the system.
    """
    counts = cell.details(cell.part).sum(axis=(0, 1))
    rows, columns = np.nonzero(counts.sum(axis=1))[0], np.nonzero(counts.sum(axis=0))[0]
    first, last = min(rows[0], columns[0]), max(rows[-1], columns[-1]) + 1
    limits = LOWEST + STEP * first, LOWEST + STEP * last
    x, y = scale(limits, (LEFT, WIDTH - RIGHT)), scale(limits, (FLOOR, TOP))
    parts = []
    for tick in ticks(*limits):
        parts.append(line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick)))
        parts.append(text("end", LEFT - 3, y(tick) + 3, f"{tick:g}"))
        if x(tick) < WIDTH - 60:
            parts.append(text("middle", x(tick), HEIGHT - 4, f"{tick:g}"))
    parts.append(text("end", WIDTH - RIGHT, HEIGHT - 4, "truth"))
    edges = LOWEST + STEP * np.arange(SQUARES + 1)
    most, seeds = counts.max(), len(cell.seeds)
    for true, predicted in zip(*np.nonzero(counts), strict=True):
        left, top = x(edges[true]), y(edges[predicted + 1])
        width, height = x(edges[true + 1]) - left - 0.5, y(edges[predicted]) - top - 0.5
        label = (
            f"truth {edges[true]:.2f} to {edges[true + 1]:.2f}, prediction "
            f"{edges[predicted]:.2f} to {edges[predicted + 1]:.2f}: "
            f"{counts[true, predicted] / seeds:.4g} predictions per seed"
        )
        # The square root, so that rare predictions are visible.
        opacity = 0.06 + 0.74 * np.sqrt(counts[true, predicted] / most)
        parts.append(
            f'<rect class="heat {css_class(colour)}" x="{left:.1f}" y="{top:.1f}" '
            f'width="{width:.1f}" height="{height:.1f}" '
            f'fill-opacity="{opacity:.2f}"><title>{label}</title></rect>'
        )
    parts.append(line("chance", x(limits[0]), y(limits[0]), x(limits[1]), y(limits[1])))
    middles = (edges[:-1] + edges[1:]) / 2
    known = np.flatnonzero(counts.sum(axis=1) >= FEW * seeds)
    means = counts @ middles / np.maximum(counts.sum(axis=1), 1)
    places = points((x(middles[at]), y(means[at])) for at in known)
    parts.append(f'<polyline class="line mean" points="{places}"/>')
    ccc = f"CCC {summed.text('pooled', 'ccc')}"
    parts.append(text("title", LEFT + 6, TOP + 14, ccc))
    label = f"predictions by true value, {cell.system}, {cell.corpus}, {cell.target}: {ccc}"
    return Figure("".join(parts), label, HEIGHT)


def table(cell: Cell) -> pd.DataFrame:
    """Return one row per square with predictions, counted over folds and complete seeds."""
    counts = cell.details(cell.part).sum(axis=(0, 1))
    edges = LOWEST + STEP * np.arange(SQUARES + 1)
    rows = [
        (edges[true], edges[true + 1], edges[at], edges[at + 1], int(counts[true, at]))
        for true, at in zip(*np.nonzero(counts), strict=True)
    ]
    columns = ["truth_low", "truth_high", "prediction_low", "prediction_high", "predictions"]
    return pd.DataFrame(rows, columns=columns)
