"""Reliability diagram of a cell: confidence of predictions and share of correct ones."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from ser.metrics import BINS
from ser.plots.axes import scale, y_axis
from ser.plots.colours import css_class
from ser.plots.svg import LEFT, RIGHT, TOP, WIDTH, Figure, line, text
from ser.report.cells import Cell
from ser.report.scores import Summary
from ser.report.text import percent

FEW = 10  # utterances per seed: bins with fewer are drawn lighter
FLOOR = 128  # lower end of the diagram; the histogram of utterances is below it
HISTOGRAM_TOP, HISTOGRAM_FLOOR, HEIGHT = 148, 178, 192


def reliability(cell: Cell, summed: Summary, colour: int) -> Figure:
    """Draw the share of correct predictions by confidence, above a histogram of confidence.

    Args:
        cell: The system, corpus and target.
        summed: Its scores.
        colour: Number of the colour of the system.
    """
    counts = cell.details(cell.part).sum(axis=(0, 1))
    x, y = scale((0, 1), (LEFT, WIDTH - RIGHT)), scale((0, 1), (FLOOR, TOP))
    parts = [*y_axis((0, 1), y, 100)]
    for number in np.flatnonzero(counts[:, 0]):
        bars = _bin(int(number), counts, len(cell.seeds), summed.predictions / summed.utterances)
        parts.append(f'<g class="heat {css_class(colour)}">{"".join(bars)}</g>')
    parts.append(line("chance", x(0), y(0), x(1), y(1)))
    parts += [text("middle", x(at), HEIGHT - 3, f"{100 * at:.0f}") for at in (0.2, 0.4, 0.6)]
    parts.append(text("end", x(1), HEIGHT - 3, "probability, %"))
    ece = summed.text("pooled", "ece")
    parts.append(text("title", LEFT + 6, TOP + 14, f"ECE {ece}"))
    label = f"share of correct predictions by probability, {cell.system}, {cell.corpus}, "
    return Figure("".join(parts), f"{label}{cell.target}: ECE {ece} %", HEIGHT)


def table(cell: Cell) -> pd.DataFrame:
    """Return one row per bin with predictions, counted over folds and complete seeds."""
    counts = cell.details(cell.part).sum(axis=(0, 1))
    rows = [
        (number / BINS, (number + 1) / BINS, int(count), confidence / count, correct / count)
        for number, (count, confidence, correct) in enumerate(counts)
        if count
    ]
    columns = ["probability_low", "probability_high", "predictions", "probability", "correct"]
    return pd.DataFrame(rows, columns=columns)


def _bin(number: int, counts: np.ndarray, seeds: int, folds: float) -> Iterator[str]:
    """Draw a bar of the diagram with its confidence interval, and one of the histogram.

    Args:
        number: Number of the bin.
        counts: (BINS, 3) reliabilities, summed over folds and seeds.
        seeds: Number of seeds.
        folds: Number of folds in which an utterance is tested, on average.
    """
    count, confidence, correct = counts[number]
    share = count / counts[:, 0].sum()
    x = scale((0, BINS), (LEFT, WIDTH - RIGHT))
    y = scale((0, 1), (FLOOR, TOP))
    left, width = x(number) + 0.5, x(number + 1) - x(number) - 1
    # Seeds, and folds that overlap, are tested on the same utterances, so they do not increase the
    # sample size.
    once = max(1, round(count / seeds / folds))
    low, high = binomtest(round(once * correct / count), once).proportion_ci(method="wilson")
    label = (
        f"probability {100 * number / BINS:.0f} to {100 * (number + 1) / BINS:.0f}: "
        f"{count / seeds:.4g} predictions per seed, mean {percent(confidence / count)}, "
        f"correct {percent(correct / count)}"
    )
    yield _bar(left, width, y(correct / count), FLOOR, 0.2 if once < FEW else 0.6, label)
    yield line("mean", left + width / 2, y(low), left + width / 2, y(high))
    height = scale((0, 1), (HISTOGRAM_FLOOR, HISTOGRAM_TOP))
    top = height(share / (counts[:, 0].max() / counts[:, 0].sum()))
    yield _bar(left, width, top, HISTOGRAM_FLOOR, 0.35, label)
    rounded = f"{100 * share:.0f}" if share >= 0.005 else "<1"
    yield text("middle", left + width / 2, top - 2, rounded)


def _bar(left: float, width: float, top: float, bottom: float, opacity: float, label: str) -> str:
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" '
        f'height="{bottom - top:.1f}" fill-opacity="{opacity:g}"><title>{label}</title></rect>'
    )
