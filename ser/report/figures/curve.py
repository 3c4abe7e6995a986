"""Scores over a numeric option that a grid varies, one line per system (latif2018, figure 2).

Values of the option that are no numbers (`features.layer=all`) are horizontal lines.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from ser.plots.axes import Scale, axis_limits, legend_entry, scale, y_axis
from ser.plots.colours import css_class
from ser.plots.svg import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Figure,
    line,
    points,
    text,
)
from ser.report.cells import Cell, number
from ser.report.data import ReportData
from ser.report.scores import Summary, sample_sd
from ser.report.scoring import Score, Scoring

MARGIN = 16  # between the ends of the axis and the first and last value
OFFSET = 4  # between systems at one value, so that error bars do not overlap
LABEL_WIDTH = 24


@dataclass(frozen=True)
class Point:
    """Scores of a system at one value of the option.

    Attributes:
        system: Name of the system without the option.
        corpus: Corpus of the runs.
        targets: One target, or several whose mean is taken.
        value: Value of the option; a word if it is no number, e.g. "all".
        part, joined: Split and joining of folds, as in the main table.
        scores: Scores by seed (rows) and name (columns), of complete seeds.
        planned: Number of planned seeds.
        chance: Chance level of the scores that have one.
        scoring: How predictions are scored.
        interval: Confidence interval of the primary score over speakers, if a single seed is
            planned.
    """

    system: str
    corpus: str
    targets: tuple[str, ...]
    value: float | str
    part: str
    joined: str
    scores: pd.DataFrame
    planned: int
    chance: dict[str, float]
    scoring: Scoring
    interval: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """The value as text."""
        return self.value if isinstance(self.value, str) else f"{self.value:g}"

    @property
    def place(self) -> tuple[str, str]:
        """Corpus, and target or "mean of" several."""
        names = ", ".join(self.targets)
        return self.corpus, names if len(self.targets) == 1 else f"mean of {names}"

    def mean(self, score: str) -> float:
        return float(self.scores[score].mean())

    def sd(self, score: str) -> float:
        """Return the standard deviation over seeds; NaN for one seed."""
        return sample_sd(self.scores[score].to_numpy())

    def bar(self, score: str) -> tuple[float, float] | None:
        """Return the ends of the error bar; None: there is none."""
        mean, sd = self.mean(score), self.sd(score)
        if sd == sd:
            return mean - sd, mean + sd
        return self.interval if score == self.scoring.primary.name else None


@dataclass(frozen=True)
class Curve:
    """Scores over an option.

    Attributes:
        option: Name of the option, e.g. "representation.size".
        values: All planned values that are numbers, in order.
        systems: Systems in the order of the table, one line each.
        points: Points target by target, then their mean if there are several targets.
    """

    option: str
    values: tuple[float, ...]
    systems: tuple[str, ...]
    points: tuple[Point, ...]


def curve(data: ReportData) -> Curve | None:
    """Return scores over the only option with several numbers; None if there is not exactly one."""
    values_of: dict[str, set[float]] = defaultdict(set)
    for cell in data.cells:
        for name, value in cell.varied.items():
            if (known := number(value)) is not None:
                values_of[name].add(known)
    options = [name for name, seen in values_of.items() if len(seen) > 1]
    if len(options) != 1:
        return None
    (option,) = options
    varied = [row for row in data.rows if option in row[0].varied]
    single = [_point(cell, summed, interval, option) for cell, summed, interval in varied if summed]
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for corpus, target in data.columns:
        groups[corpus, data.scoring((corpus, target)).primary.name].append(target)
    means = [
        mean for (corpus, _), names in groups.items() for mean in _means(single, corpus, names)
    ]
    systems = dict.fromkeys(_without(cell, option) for cell, *_ in varied)
    return (
        Curve(option, tuple(sorted(values_of[option])), tuple(systems), (*single, *means))
        if single
        else None
    )


def table(curve: Curve) -> pd.DataFrame:
    """Return one row per point and score: mean and standard deviation over seeds, in shares."""
    rows = [
        {
            "option": curve.option,
            "value": each.label,
            "system": each.system,
            "corpus": each.corpus,
            "target": each.place[1],
            "part": each.part,
            "joined": each.joined,
            "score": score,
            "mean": each.mean(score),
            "sd": each.sd(score),
            "chance": each.chance.get(score),
            "seeds": len(each.scores),
            "seeds_planned": each.planned,
        }
        for each in curve.points
        for score in map(str, each.scores)
    ]
    return pd.DataFrame(rows)


def figures(curve: Curve) -> list[list[tuple[str, Figure]]]:
    """Draw a row per target and a column per score, each with its title."""
    corpora = {each.corpus for each in curve.points}
    rows = []
    for (corpus, target), group in groupby(curve.points, lambda point: point.place):
        of_target = list(group)
        where = ", " if len(of_target[0].targets) > 1 else " on "
        where += target if len(corpora) == 1 else f"{corpus} {target}"
        shown = of_target[0].scoring.scores
        rows.append([(f"{s.title}{where}", _panel(curve, of_target, s)) for s in shown])
    return rows


def _without(cell: Cell, option: str) -> str:
    return cell.system.replace(f" {option}={cell.varied[option]}", "")


def _point(cell: Cell, summed: Summary, interval: tuple[float, float] | None, option: str) -> Point:
    known = number(cell.varied[option])
    value = cell.varied[option] if known is None else known
    of_seeds, scored = summed.seeds[cell.joined], cell.scoring.scores
    scores = {score.name: of_seeds[score.name] for score in scored}
    chance = {score.name: summed.chance[score.chance] for score in scored if score.chance}
    names = (_without(cell, option), cell.corpus, (cell.target,), value, cell.part, cell.joined)
    shown = interval if cell.planned == 1 and cell.joined == "pooled" else None
    by_seed = pd.DataFrame(scores, list(cell.seeds))
    return Point(*names, by_seed, cell.planned, chance, cell.scoring, shown)


def _means(single: Sequence[Point], corpus: str, targets: Sequence[str]) -> Iterator[Point]:
    """Yield means over the targets of a corpus, of seeds that are complete for all of them."""
    grouped: dict[tuple[str, float | str], list[Point]] = defaultdict(list)
    for each in single:
        if each.corpus == corpus and each.targets[0] in targets:
            grouped[each.system, each.value].append(each)
    for (system, value), group in grouped.items():
        scores = pd.concat([each.scores for each in group], join="inner", keys=range(len(group)))
        by_seed = scores.groupby(level=1)
        means = by_seed.mean()[by_seed.size() == len(targets)]
        if len(targets) > 1 and len(means):
            first = group[0]
            names = (system, corpus, tuple(targets), value, first.part, first.joined)
            known = first.chance
            chance = {n: float(np.mean([each.chance[n] for each in group])) for n in known}
            planned = max(each.planned for each in group)
            yield Point(*names, means, planned, chance, first.scoring)


# ---- drawing


def _panel(curve: Curve, of_target: Sequence[Point], score: Score) -> Figure:
    """Draw means over seeds, error bars, and chance level; values that are no numbers as lines."""
    ends = [each.bar(score.name) or (each.mean(score.name),) for each in of_target]
    limits, _ = axis_limits(np.concatenate(ends), may_be_log=False)
    y = scale(limits, (HEIGHT - BOTTOM, TOP))
    x = _x_scale(curve.values)
    parts = [*y_axis(limits, y, score.factor), *_x_axis(curve.values, x)]
    chance = y(of_target[0].chance.get(score.name, -np.inf))
    if chance <= HEIGHT - BOTTOM:
        parts.append(line("chance", LEFT, chance, WIDTH - RIGHT, chance))
    for index, system in enumerate(curve.systems):
        colour = css_class(index)
        of_system = [each for each in of_target if each.system == system]
        shift = OFFSET * (index - (len(curve.systems) - 1) / 2)
        drawn = sorted(
            ((e.value, e) for e in of_system if not isinstance(e.value, str)), key=lambda e: e[0]
        )
        places = [(x(value) + shift, y(each.mean(score.name))) for value, each in drawn]
        parts += _line([each for _, each in drawn], places, score, colour, y)
        for each in of_system:
            if isinstance(each.value, str):
                parts += _level(each, score, colour, y)
        parts += legend_entry(index, HEIGHT + 20, system)
    parts.append(text("end", WIDTH - RIGHT, HEIGHT + 7, curve.option))
    label = f"{score.axis} over {curve.option}, {' '.join(of_target[0].place)}"
    return Figure("".join(parts), label, HEIGHT + 19 + 13 * ((len(curve.systems) + 1) // 2))


def _line(
    of_system: Sequence[Point],
    places: Sequence[tuple[float, float]],
    score: Score,
    colour: str,
    y: Scale,
) -> Iterator[str]:
    """Draw the line of a system, with a mark and an error bar at each place."""
    yield f'<polyline class="line {colour}" points="{points(places)}"/>'
    for each, (x, middle) in zip(of_system, places, strict=True):
        if bar := each.bar(score.name):
            yield line(f"line {colour}", x, y(bar[0]), x, y(bar[1]))
        few = " few" if len(each.scores) < each.planned else ""
        yield (
            f'<circle class="mark {colour}{few}" cx="{x:.1f}" cy="{middle:.1f}" r="2.8">'
            f"<title>{escape(_title(each, score))}</title></circle>"
        )


def _level(each: Point, score: Score, colour: str, y: Scale) -> Iterator[str]:
    """Draw a value that is no number: a horizontal line with its name."""
    height = y(each.mean(score.name))
    drawn = line(f"line level {colour}", LEFT, height, WIDTH - RIGHT, height)
    yield f"<g>{drawn}<title>{escape(_title(each, score))}</title></g>"
    yield text("end", WIDTH - RIGHT, height - 3, each.label)


def _title(each: Point, score: Score) -> str:
    """Describe a point in the words of a tooltip."""
    sd, bar = each.sd(score.name), each.bar(score.name)
    label = f"{each.system}, {each.label}: {score.spread(each.mean(score.name), sd)}"
    if sd != sd and bar:
        label += f" ({score.interval(bar)})"
    return f"{label}, {len(each.scores)} of {each.planned} seeds"


def _x_scale(values: Sequence[float]) -> Scale:
    """Return a linear or logarithmic scale, whichever spaces the values more evenly."""
    is_log = min(values) > 0 and _unevenness(np.log(values)) < _unevenness(np.array(values))
    return scale((values[0], values[-1]), (LEFT + MARGIN, WIDTH - RIGHT - MARGIN), is_log)


def _unevenness(values: Any) -> float:
    steps = np.diff(values)
    return float(steps.std() / steps.mean())


def _x_axis(values: Sequence[float], x: Scale) -> Iterator[str]:
    """Draw a tick at each value, with a label where it fits."""
    last = -np.inf
    for value in values:
        yield line("grid", x(value), HEIGHT - BOTTOM, x(value), HEIGHT - BOTTOM + 3)
        if x(value) - last >= LABEL_WIDTH:
            yield text("middle", x(value), HEIGHT - 5, f"{value:g}")
            last = x(value)
