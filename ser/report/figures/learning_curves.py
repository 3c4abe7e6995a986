"""Learning curves of a cell: validation score and training losses by epoch."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ser.plots.axes import axis_limits, epoch_axis, legend_entry, scale, y_axis
from ser.plots.colours import css_class
from ser.plots.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Figure, points
from ser.report.cells import Cell
from ser.report.scoring import Score

POINTS = 100  # of a curve, at most
BAND = (10, 90)  # percentiles over runs


def curves(cell: Cell) -> Figure | None:
    """Draw the validation score above, training losses below; None if nothing was recorded.

    Lines are means over the runs of complete seeds, bands are from the 10th to the 90th percentile.
    Both end where fewer than half of the runs continue.
    """
    columns, score = _by_epoch(cell), cell.scoring.primary
    above = {name: rows for name, rows in columns.items() if name.startswith("val/")}
    losses = {name: rows for name, rows in columns.items() if name not in above}
    panels, y = [], 0.0
    for curves, shown in ((above, score), (losses, None)):
        if curves:
            panel, height = _panel(curves, shown)
            panels.append(f'<g transform="translate(0 {y:g})">{panel}</g>')
            y += height
    if not panels:
        return None
    label = f"learning curves, {cell.system}, {cell.corpus}, {cell.target}"
    return Figure("".join(panels), label, y)


def table(cell: Cell) -> pd.DataFrame:
    """Return one row per curve and drawn epoch: mean and band over the runs of complete seeds."""
    rows = [
        (name, epoch, *of_epoch)
        for name, values in _by_epoch(cell).items()
        for epochs, bands in [_statistics(values)]
        for epoch, *of_epoch in zip(epochs, *bands, strict=True)
    ]
    return pd.DataFrame(rows, columns=["curve", "epoch", "mean", *(f"p{each}" for each in BAND)])


def loss_name(column: str) -> str:
    """Return the name of a loss for a legend.

    Examples:
        >>> loss_name("train/reconstruction_loss")
        'reconstruction loss'
    """
    return column.partition("/")[2].replace("_", " ")


def _by_epoch(cell: Cell) -> dict[str, np.ndarray]:
    """Return values (R, E) by run and epoch, NaN after a run's end, by column of `metrics.csv`."""
    runs = [run.curves for run in cell.complete_runs]
    columns = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        recorded = [run[name] for run in runs if name in run]
        rows = np.full((len(recorded), max(map(len, recorded))), np.nan)
        for row, values in zip(rows, recorded, strict=True):
            row[: len(values)] = values
        if (np.isfinite(rows).mean(axis=0) >= 0.5).any():
            columns[name] = rows
    return columns


def _panel(curves: Mapping[str, np.ndarray], score: Score | None) -> tuple[str, float]:
    """Draw the curves of a score, or of losses, in one pair of axes; return SVG and height."""
    bands = {name: _statistics(rows) for name, rows in curves.items()}
    values = np.concatenate([each for _, each in bands.values()], axis=1)
    limits, is_log = axis_limits(values, may_be_log=score is None)
    last = max(int(epochs[-1]) for epochs, _ in bands.values())
    x = scale((0, max(last, 1)), (LEFT, WIDTH - RIGHT))
    y = scale(limits, (HEIGHT - BOTTOM, TOP), is_log)
    parts = [*y_axis(limits, y, 1 if score is None else score.factor, is_log)]
    for number, (name, (epochs, (mean, bottom, top))) in enumerate(bands.items()):
        colour = css_class(number)
        places = [x(epoch) for epoch in epochs]
        outline = [*zip(places, map(y, top), strict=True)]
        outline += reversed([*zip(places, map(y, bottom), strict=True)])
        parts.append(f'<polygon class="band {colour}" points="{points(outline)}"/>')
        middle = points(zip(places, map(y, mean), strict=True))
        parts.append(f'<polyline class="line {colour}" points="{middle}"/>')
        legend = loss_name(name) if score is None else _legend(score)
        parts += legend_entry(number, HEIGHT + 8, legend)
    parts += epoch_axis(x, last)
    return "".join(parts), HEIGHT + 7 + 13 * ((len(bands) + 1) // 2)


def _legend(score: Score) -> str:
    return f"{score.title} on validation" + (", %" if score.in_percent else "")


def _statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return epochs (E,), and (3, E): mean, lower and upper end of the band; at most `POINTS`.

    They end where fewer than half of the runs continue, because a mean over the remaining runs
    would be that of other runs.
    """
    known = np.flatnonzero(np.isfinite(rows).mean(axis=0) >= 0.5)
    epochs = known[:: int(np.ceil(len(known) / POINTS))]
    rows = np.where(np.isfinite(rows), rows, np.nan)[:, epochs]
    return epochs, np.stack([np.nanmean(rows, axis=0), *np.nanpercentile(rows, BAND, axis=0)])
