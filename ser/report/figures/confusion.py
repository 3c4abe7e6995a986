"""The confusion matrix of a cell."""

import numpy as np
import pandas as pd

from ser.plots.colours import css_class
from ser.plots.svg import RIGHT, WIDTH, Figure, text
from ser.report.cells import Cell

LEFT, TOP = 62, 16  # margins, with room for class names


def confusion(cell: Cell, colour: int) -> Figure:
    """Draw the share of each row in %, and counts summed over folds and complete seeds.

    Args:
        cell: The system, corpus and target.
        colour: Number of the colour of the system.
    """
    matrix = cell.sums(cell.part).sum(axis=(0, 1))
    support = np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    shares, size = matrix / support, len(matrix)
    width, height = (WIDTH - LEFT - RIGHT) / size, max(24.0, min(40.0, 130 / size))
    parts = []
    for row, name in enumerate(cell.classes):
        # Shortened, so that eight classes fit.
        parts.append(text("middle", LEFT + (row + 0.5) * width, 11, _short(name, width / 6)))
        parts.append(text("end", LEFT - 4, TOP + (row + 0.5) * height + 3, _short(name, 11)))
        for column in range(size):
            share = shares[row, column]
            x, y = LEFT + column * width, TOP + row * height
            parts.append(
                f'<rect class="heat {css_class(colour)}" x="{x:.1f}" y="{y:.1f}" '
                f'width="{width - 1:.1f}" height="{height - 1:.1f}" '
                f'fill-opacity="{0.04 + 0.7 * share:.2f}"/>'
            )
            middle, count = x + width / 2, _count(matrix[row, column])
            parts.append(text("middle cell", middle, y + height / 2 - 1, f"{100 * share:.1f}"))
            parts.append(text("middle count", middle, y + height / 2 + 9, count))
    label = f"confusion matrix, {cell.system}, {cell.corpus}, {cell.target}: rows are the truth"
    return Figure("".join(parts), label, TOP + size * height + 2)


def table(cell: Cell) -> pd.DataFrame:
    """Return one row per pair of classes: counts over folds and complete seeds, and shares."""
    matrix = cell.sums(cell.part).sum(axis=(0, 1))
    support = matrix.sum(axis=1)
    rows = [
        (true, predicted, int(matrix[i, j]), matrix[i, j] / max(int(support[i]), 1))
        for i, true in enumerate(cell.classes)
        for j, predicted in enumerate(cell.classes)
    ]
    return pd.DataFrame(rows, columns=["truth", "prediction", "count", "share"])


def _count(number: int) -> str:
    return f"{number:,}" if number < 100_000 else f"{number // 1000:,}k"


def _short(name: str, characters: float) -> str:
    return name if len(name) <= characters else name[: max(2, int(characters) - 1)] + "."
