"""How sure predictions are, and how often they are right: a reliability diagram of each cell."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import binomtest

from ser.metrics import BINS
from ser.plots.svg import LEFT, RIGHT, TOP, WIDE, Figure, horizontal, line, scale, text
from ser.report.scores import Cell, Summary
from ser.report.tables import percent, spread

FEW = 10  # utterances of one seed: a bin with fewer is drawn lighter
FLOOR = 128  # of the diagram; below it stand the shares of utterances
LOW, DEEP, HIGH = 148, 178, 192  # their ceiling, their floor, and the whole


def reliability(cell: Cell, summed: Summary) -> Figure:
    """The share that is right by confidence, and how many are that confident."""
    counts = cell.reliabilities(cell.part).sum(axis=(0, 1))
    x, y = scale((0, 1), (LEFT, WIDE - RIGHT)), scale((0, 1), (FLOOR, TOP))
    parts = [*horizontal((0, 1), y, 100)]
    for number in np.flatnonzero(counts[:, 0]):
        parts += _bin(int(number), counts, len(cell.seeds))
    parts.append(line("chance", x(0), y(0), x(1), y(1)))
    parts += [text("middle", x(at), HIGH - 3, f"{100 * at:.0f}") for at in (0.2, 0.4, 0.6)]
    parts.append(text("end", x(1), HIGH - 3, "probability, %"))
    ece = spread(summed.mean("pooled", "ece"), summed.sd("pooled", "ece"))
    parts.append(text("title", LEFT + 6, TOP + 14, f"ECE {ece}"))
    label = f"share of right predictions by probability, {cell.system}, {cell.corpus}, "
    return Figure("".join(parts), f"{label}{cell.target}: ECE {ece} %", HIGH)


def _bin(number: int, counts: np.ndarray, seeds: int) -> Iterator[str]:
    """A bar of the diagram with its interval, and one of how many there are."""
    count, sure, right = counts[number]
    share = count / counts[:, 0].sum()
    x = scale((0, BINS), (LEFT, WIDE - RIGHT))
    y = scale((0, 1), (FLOOR, TOP))
    left, wide = x(number) + 0.5, x(number + 1) - x(number) - 1
    # Seeds are tested on the same utterances, and so make none of them more.
    once = max(1, round(count / seeds))
    low, high = binomtest(round(once * right / count), once).proportion_ci(method="wilson")
    told = (
        f"probability {100 * number / BINS:.0f} to {100 * (number + 1) / BINS:.0f}: "
        f"{count / seeds:.4g} utterances of a seed, mean {percent(sure / count)}, "
        f"right {percent(right / count)}"
    )
    yield _bar(left, wide, y(right / count), FLOOR, 0.2 if once < FEW else 0.6, told)
    yield line("mean", left + wide / 2, y(low), left + wide / 2, y(high))
    top = scale((0, 1), (DEEP, LOW))(share / (counts[:, 0].max() / counts[:, 0].sum()))
    yield _bar(left, wide, top, DEEP, 0.35, told)
    shown = f"{100 * share:.0f}" if share >= 0.005 else "<1"
    yield text("middle", left + wide / 2, top - 2, shown)


def _bar(left: float, wide: float, top: float, bottom: float, opacity: float, told: str) -> str:
    return (
        f'<rect class="heat" x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" '
        f'height="{bottom - top:.1f}" fill-opacity="{opacity:g}"><title>{told}</title></rect>'
    )
