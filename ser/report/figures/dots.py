"""The primary score by fold and seed of a cell."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ser.plots.axes import Scale, scale, y_axis
from ser.plots.colours import css_class
from ser.plots.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Figure, line, text
from ser.report.cells import Cell
from ser.report.scores import Summary
from ser.report.scoring import Score

LABELS = 12  # folds with a label, at most


def bounds(scored: Sequence[tuple[Cell, Summary]]) -> tuple[float, float]:
    """Return limits of the score that cells of a target share, so that figures can be compared."""
    values = [
        each
        for cell, summed in scored
        for each in (_single(cell).ravel(), summed.seeds["pooled"][cell.scoring.primary.name])
    ]
    values += [np.array([cell.ceiling]) for cell, _ in scored if cell.ceiling is not None]
    low, high = np.nanmin(np.concatenate(values)), np.nanmax(np.concatenate(values))
    lowest, highest = scored[0][0].scoring.limits
    return max(float(low) - 0.02, lowest), min(float(high) + 0.02, highest)


def dots(cell: Cell, summed: Summary, limits: tuple[float, float], colour: int) -> Figure:
    """Draw the score of each seed (a dot) by fold, means as lines; on the right, folds pooled.

    Args:
        cell: The system, corpus and target.
        summed: Its scores.
        limits: Ends of the axis, see `bounds`.
        colour: Number of the colour of the system.
    """
    single, score = _single(cell), cell.scoring.primary
    slots = len(cell.folds) + 1.5
    step = (WIDTH - LEFT - RIGHT) / slots
    y = scale(limits, (HEIGHT - BOTTOM, TOP))
    parts = [*y_axis(limits, y, score.factor)]
    chance = y(summed.chance[str(score.chance)])
    if chance <= HEIGHT - BOTTOM:
        parts.append(line("chance", LEFT, chance, WIDTH - RIGHT, chance))
    if cell.ceiling is not None:
        height = y(cell.ceiling)
        title = f"<title>one rater against the others: {score.text(cell.ceiling)}</title>"
        parts.append(f"<g>{line('ceiling', LEFT, height, WIDTH - RIGHT, height)}{title}</g>")
    every = int(np.ceil(len(cell.folds) / LABELS))
    for number, fold in enumerate(cell.folds):
        middle = LEFT + (number + 0.5) * step
        names = [f"seed {seed}, fold {fold}" for seed in cell.seeds]
        parts += _column(
            f"dots {css_class(colour)}", middle, step, single[:, number], names, y, score
        )
        if number % every == 0:
            parts.append(text("middle", middle, HEIGHT - 5, str(fold)))
    middle = WIDTH - RIGHT - step / 2
    names = [f"seed {seed}, folds pooled" for seed in cell.seeds]
    pooled, css = summed.seeds["pooled"][score.name], f"pooled {css_class(colour)}"
    parts += _column(css, middle, step, pooled, names, y, score)
    parts.append(text("end", WIDTH - RIGHT, HEIGHT - 5, "pooled"))
    label = f"{score.axis} by fold and seed, {cell.system}, {cell.corpus}, {cell.target}"
    return Figure("".join(parts), label)


def table(cell: Cell, summed: Summary) -> pd.DataFrame:
    """Return one row per seed and fold, and per seed with folds pooled: the primary score."""
    name = cell.scoring.primary.name
    rows = [
        (name, seed, str(fold), value)
        for seed, values in zip(cell.seeds, _single(cell), strict=True)
        for fold, value in zip(cell.folds, values, strict=True)
    ]
    pooled = zip(cell.seeds, summed.seeds["pooled"][name], strict=True)
    rows += [(name, seed, "pooled", value) for seed, value in pooled]
    return pd.DataFrame(rows, columns=["score", "seed", "fold", "value"])


def _column(
    css: str,
    middle: float,
    step: float,
    values: np.ndarray,
    names: Sequence[str],
    y: Scale,
    score: Score,
) -> Iterator[str]:
    """Draw dots side by side in the order of seeds, and their mean."""
    known = [(name, value) for name, value in zip(names, values, strict=True) if value == value]
    if not known:
        return
    radius = min(2.5, max(1.2, step / (1.5 * len(known))))
    offsets = (np.arange(len(known)) - (len(known) - 1) / 2) * 0.7 * step / len(known)
    circles = (
        f'<circle cx="{middle + offset:.1f}" cy="{y(value):.1f}" r="{radius:.1f}">'
        f"<title>{name}: {score.text(value)}</title></circle>"
        for (name, value), offset in zip(known, offsets, strict=True)
    )
    yield f'<g class="{css}">{"".join(circles)}</g>'
    mean = y(float(np.mean([value for _, value in known])))
    yield line("mean", middle - 0.42 * step, mean, middle + 0.42 * step, mean)


def _single(cell: Cell) -> np.ndarray:
    """Return the score by seed and fold, (S, F); NaN where the split is empty."""
    return cell.scoring.of(cell.sums(cell.part))[cell.scoring.primary.name]
