"""The confusion matrix of a cell."""

import numpy as np

from ser.plots.svg import RIGHT, WIDTH, Figure, text
from ser.report.cells import Cell

LEFT, TOP = 62, 16  # margins, with room for class names


def confusion(cell: Cell) -> Figure:
    """Draw the share of each row in %, and counts summed over folds and complete seeds."""
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
                f'<rect class="heat" x="{x:.1f}" y="{y:.1f}" width="{width - 1:.1f}" '
                f'height="{height - 1:.1f}" fill-opacity="{0.04 + 0.7 * share:.2f}"/>'
            )
            middle, count = x + width / 2, _count(matrix[row, column])
            parts.append(text("middle cell", middle, y + height / 2 - 1, f"{100 * share:.1f}"))
            parts.append(text("middle count", middle, y + height / 2 + 9, count))
    label = f"confusion matrix, {cell.system}, {cell.corpus}, {cell.target}: rows are the truth"
    return Figure("".join(parts), label, TOP + size * height + 2)


def _count(number: int) -> str:
    return f"{number:,}" if number < 100_000 else f"{number // 1000:,}k"


def _short(name: str, characters: float) -> str:
    return name if len(name) <= characters else name[: max(2, int(characters) - 1)] + "."
