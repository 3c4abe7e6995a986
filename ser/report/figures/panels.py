"""What is drawn of each cell: dots by fold and seed, a confusion matrix, learning curves."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from ser import metrics
from ser.plots.svg import (
    BOTTOM,
    HIGH,
    LEFT,
    PALETTE,
    RIGHT,
    TOP,
    WIDE,
    Figure,
    horizontal,
    line,
    points,
    scale,
    text,
    ticks,
)
from ser.report.gather import VALIDATION
from ser.report.scores import Cell, Summary

POINTS = 100  # of a curve, at most
BAND = (10, 90)  # percentiles over runs


# ---- dots


def bounds(summaries: Sequence[tuple[Cell, Summary]]) -> tuple[float, float]:
    """Of the UA that some cells' dots show, so that they can be compared."""
    values = [
        found
        for cell, summed in summaries
        for found in (_single(cell).ravel(), summed.seeds["pooled"]["ua"])
    ]
    low, high = np.nanmin(np.concatenate(values)), np.nanmax(np.concatenate(values))
    return max(float(low) - 0.02, 0.0), min(float(high) + 0.02, 1.0)


def dots(cell: Cell, summed: Summary, limits: tuple[float, float]) -> Figure:
    """UA of each seed (a dot) by fold, means as lines; on the right of all folds pooled."""
    single = _single(cell)
    slots = len(cell.folds) + 1.5
    step = (WIDE - LEFT - RIGHT) / slots
    y = scale(limits, (HIGH - BOTTOM, TOP))
    parts = [*horizontal(limits, y, 100)]
    chance = y(summed.mean("pooled", "chance_ua"))
    if chance <= HIGH - BOTTOM:
        parts.append(line("chance", LEFT, chance, WIDE - RIGHT, chance))
    every = int(np.ceil(len(cell.folds) / 12))
    for number, fold in enumerate(cell.folds):
        middle = LEFT + (number + 0.5) * step
        named = [f"seed {seed}, fold {fold}" for seed in cell.seeds]
        parts += _column("dots", middle, step, single[:, number], named, y)
        if number % every == 0:
            parts.append(text("middle", middle, HIGH - 5, str(fold)))
    middle = WIDE - RIGHT - step / 2
    named = [f"seed {seed}, folds pooled" for seed in cell.seeds]
    parts += _column("pooled", middle, step, summed.seeds["pooled"]["ua"], named, y)
    parts.append(text("end", WIDE - RIGHT, HIGH - 5, "pooled"))
    label = f"UA in % by fold and seed, {cell.system}, {cell.corpus}, {cell.target}"
    return Figure("".join(parts), label)


def _column(
    kind: str,
    middle: float,
    step: float,
    values: np.ndarray,
    named: Sequence[str],
    y: Callable[[float], float],
) -> Iterator[str]:
    """Dots beside each other in the order of seeds, and their mean."""
    known = [(name, value) for name, value in zip(named, values, strict=True) if value == value]
    if not known:
        return
    radius = min(2.5, max(1.2, step / (1.5 * len(known))))
    offsets = (np.arange(len(known)) - (len(known) - 1) / 2) * 0.7 * step / len(known)
    circles = (
        f'<circle cx="{middle + offset:.1f}" cy="{y(value):.1f}" r="{radius:.1f}">'
        f"<title>{name}: {100 * value:.1f}</title></circle>"
        for (name, value), offset in zip(known, offsets, strict=True)
    )
    yield f'<g class="{kind}">{"".join(circles)}</g>'
    mean = y(float(np.mean([value for _, value in known])))
    yield line("mean", middle - 0.42 * step, mean, middle + 0.42 * step, mean)


def _single(cell: Cell) -> np.ndarray:
    """UA by seed and fold, (S, F); NaN where nobody was tested."""
    return np.array(
        [
            [metrics.unweighted_accuracy(each) if each.any() else np.nan for each in folds]
            for folds in cell.confusions(cell.part)
        ]
    )


# ---- confusion matrices


def confusion(cell: Cell) -> Figure:
    """Row by row, how often a class was told as each: share of the row in %, and counts.

    Counts are summed over folds and complete seeds.
    """
    matrix = cell.confusions(cell.part).sum(axis=(0, 1))
    support = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shares, size = matrix / support, len(matrix)
    left, top = 62, 16
    wide, high = (WIDE - left - RIGHT) / size, max(24.0, min(40.0, 130 / size))
    parts = []
    for number, name in enumerate(cell.classes):
        # Shortened, so that eight classes fit; the row's name is given in full.
        parts.append(text("middle", left + (number + 0.5) * wide, 11, _short(name, wide / 6)))
        parts.append(text("end", left - 4, top + (number + 0.5) * high + 3, _short(name, 11)))
        for told in range(size):
            share = shares[number, told]
            x, y = left + told * wide, top + number * high
            parts.append(
                f'<rect class="heat" x="{x:.1f}" y="{y:.1f}" width="{wide - 1:.1f}" '
                f'height="{high - 1:.1f}" fill-opacity="{0.04 + 0.7 * share:.2f}"/>'
            )
            middle = x + wide / 2
            parts.append(text("middle cell", middle, y + high / 2 - 1, f"{100 * share:.1f}"))
            parts.append(
                text("middle count", middle, y + high / 2 + 9, _count(matrix[number, told]))
            )
    label = f"confusion matrix, {cell.system}, {cell.corpus}, {cell.target}: rows are the truth"
    return Figure("".join(parts), label, top + size * high + 2)


def _count(number: int) -> str:
    return f"{number:,}" if number < 100_000 else f"{number // 1000:,}k"


def _short(name: str, room: float) -> str:
    return name if len(name) <= room else name[: max(2, int(room) - 1)] + "."


# ---- learning curves


def curves(cell: Cell) -> Figure | None:
    """Validation UA above, training losses below, by epoch; None where nothing was recorded.

    Lines are means over the runs of complete seeds, bands run from the 10th to the 90th percentile;
    both end where fewer than half of the runs go on.
    """
    found = _by_epoch(cell)
    losses = {name: rows for name, rows in found.items() if name != VALIDATION}
    panels, y = [], 0.0
    for drawn, scaled in (({VALIDATION: found.get(VALIDATION)}, 100), (losses, 1)):
        known = {name: rows for name, rows in drawn.items() if rows is not None}
        if known:
            panel, height = _panel(known, scaled)
            panels.append(f'<g transform="translate(0 {y:g})">{panel}</g>')
            y += height
    if not panels:
        return None
    label = f"learning curves, {cell.system}, {cell.corpus}, {cell.target}"
    return Figure("".join(panels), label, y)


def _by_epoch(cell: Cell) -> dict[str, np.ndarray]:
    """Runs by epochs, (R, E), NaN after a run's end, for each column of `metrics.csv`."""
    runs = [run.curves for run in cell.counted]
    found = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        there = [run[name] for run in runs if name in run]
        rows = np.full((len(there), max(map(len, there))), np.nan)
        for row, values in zip(rows, there, strict=True):
            row[: len(values)] = values
        if (np.isfinite(rows).mean(axis=0) >= 0.5).any():
            found[name] = rows
    return found


def _panel(drawn: Mapping[str, np.ndarray], scaled: float) -> tuple[str, float]:
    """Curves over one pair of axes, and its height."""
    shown = {name: _statistics(rows) for name, rows in drawn.items()}
    limits, is_log = span(np.concatenate([each for _, each in shown.values()], axis=1), scaled == 1)
    epochs = max(int(each[0][-1]) for each in shown.values())
    x = scale((0, max(epochs, 1)), (LEFT, WIDE - RIGHT))
    y = scale(limits, (HIGH - BOTTOM, TOP), is_log)
    parts = [*horizontal(limits, y, scaled, is_log)]
    for number, (name, (at, (mean, bottom, top))) in enumerate(shown.items()):
        kind = f"c{number % len(PALETTE)}"
        places = [x(each) for each in at]
        around = [*zip(places, map(y, top), strict=True)]
        around += reversed([*zip(places, map(y, bottom), strict=True)])
        parts.append(f'<polygon class="band {kind}" points="{points(around)}"/>')
        middle = points(zip(places, map(y, mean), strict=True))
        parts.append(f'<polyline class="line {kind}" points="{middle}"/>')
        parts += key(number, HIGH + 8, _called(name))
    parts += by_epoch(x, epochs)
    return "".join(parts), HIGH + 7 + 13 * ((len(shown) + 1) // 2)


def span(values: np.ndarray, may_be_log: bool) -> tuple[tuple[float, float], bool]:
    """Limits of an axis on which values, some of them NaN, are seen, and whether it is a log."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    # Losses of several orders of magnitude share a panel, if the logarithm can hold them.
    is_log = may_be_log and low > 0 and high / low > 20
    pad = 0.04 * (high - low) or 0.01
    return (low / 1.1, high * 1.1) if is_log else (low - pad, high + pad), is_log


def key(number: int, down: float, name: str) -> Iterator[str]:
    """What a line stands for, two beside each other; `down`: where the first are."""
    across, down = LEFT + 140 * (number % 2), down + 13 * (number // 2)
    yield line(f"line c{number % len(PALETTE)}", across, down - 3, across + 14, down - 3)
    yield text("", across + 18, down, name)


def by_epoch(x: Callable[[float], float], epochs: int) -> Iterator[str]:
    """Numbers of epochs below a panel."""
    for tick in ticks(0, epochs):
        if 1 <= tick < 0.88 * epochs and tick == int(tick):
            yield text("middle", x(tick), HIGH - 5, f"{tick:g}")
    yield text("end", WIDE - RIGHT, HIGH - 5, "epoch")


def _called(name: str) -> str:
    return "UA on validation, %" if name == VALIDATION else called(name)


def called(name: str) -> str:
    """A loss in words.

    Examples:
        >>> called("train/reconstruction_loss")
        'reconstruction loss'
    """
    return name.partition("/")[2].replace("_", " ")


def _statistics(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Epochs (E,), and (3, E): mean, lower and upper end of the band, thinned out.

    They end where most runs have: a mean over the few that go on is one of other runs.
    """
    known = np.flatnonzero(np.isfinite(rows).mean(axis=0) >= 0.5)
    at = known[:: int(np.ceil(len(known) / POINTS))]
    rows = np.where(np.isfinite(rows), rows, np.nan)[:, at]
    return at, np.stack([np.nanmean(rows, axis=0), *np.nanpercentile(rows, BAND, axis=0)])
