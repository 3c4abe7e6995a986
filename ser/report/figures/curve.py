"""Scores over a numeric option that a grid sweeps, a line a system, as in latif2018's figure 2."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

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
)
from ser.report.figures.panels import key, span
from ser.report.findings import Findings
from ser.report.scores import SCORES, Cell, Summary, number, sample_sd
from ser.report.tables import NAMES

GUESSING = {"ua": "chance_ua", "wa": "majority_wa"}
MARGIN = 16  # between the axes' ends and the first and the last value
APART = 4  # systems at one value, so that no bar hides another
ROOM = 24  # that the number of a value takes below a panel


@dataclass(frozen=True)
class Point:
    """What a system reaches at one value of the option.

    Attributes:
        system: its name without the option.
        corpus: of the runs.
        targets: the one, or those whose mean it is.
        value: of the option.
        part, joined: whose scores, and how folds are joined, as in the main table.
        scores: of complete seeds (rows), by name (columns).
        planned: how many seeds there should be.
        guessing: what guessing gets, of scores that have such a thing.
    """

    system: str
    corpus: str
    targets: tuple[str, ...]
    value: float
    part: str
    joined: str
    scores: pd.DataFrame
    planned: int
    guessing: dict[str, float]

    @property
    def place(self) -> tuple[str, str]:
        """Corpus, and target or what is a mean of several."""
        names = ", ".join(self.targets)
        return self.corpus, names if len(self.targets) == 1 else f"mean of {names}"

    def mean(self, score: str) -> float:
        return float(self.scores[score].mean())

    def sd(self, score: str) -> float:
        """Over seeds; NaN of one seed."""
        return sample_sd(self.scores[score].to_numpy())


@dataclass(frozen=True)
class Curve:
    """Scores over an option.

    Attributes:
        option: its name, e.g. "representation.size".
        values: all that were planned, in order.
        systems: the lines, in the order of the table.
        points: target by target, then their mean where there are several.
    """

    option: str
    values: tuple[float, ...]
    systems: tuple[str, ...]
    points: tuple[Point, ...]


def curve(found: Findings) -> Curve | None:
    """Scores over the one numeric option that systems differ in; None: there is not just one."""
    told: dict[str, set[float | None]] = defaultdict(set)
    for cell in found.cells:
        for name, value in cell.varied.items():
            told[name].add(number(value))
    options = [name for name, seen in told.items() if len(seen) > 1 and None not in seen]
    if len(options) != 1:
        return None
    (option,) = options
    swept = [(cell, summed) for cell, summed, _ in found.rows if option in cell.varied]
    made = [_point(cell, summed, option) for cell, summed in swept if summed is not None]
    targets = {
        corpus: tuple(target for other, target in found.columns if other == corpus)
        for corpus, _ in found.columns
    }
    made += [mean for corpus, names in targets.items() for mean in _means(made, corpus, names)]
    systems = dict.fromkeys(_without(cell, option) for cell, _ in swept)
    values = sorted(value for value in told[option] if value is not None)
    return Curve(option, tuple(values), tuple(systems), tuple(made)) if made else None


def table(made: Curve) -> pd.DataFrame:
    """One row a point and score: mean and standard deviation over seeds, in shares."""
    rows = [
        {
            "option": made.option,
            "value": f"{each.value:g}",
            "system": each.system,
            "corpus": each.corpus,
            "target": each.place[1],
            "part": each.part,
            "joined": each.joined,
            "score": score,
            "mean": each.mean(score),
            "sd": each.sd(score),
            "guessing": each.guessing.get(score),
            "seeds": len(each.scores),
            "seeds_planned": each.planned,
        }
        for each in made.points
        for score in SCORES
    ]
    return pd.DataFrame(rows)


def figures(made: Curve) -> list[list[tuple[str, Figure]]]:
    """A row a target, a column a score, each with its title."""
    corpora = {each.corpus for each in made.points}
    rows = []
    for (corpus, target), each in groupby(made.points, lambda point: point.place):
        here = list(each)
        where = ", " if len(here[0].targets) > 1 else " on "
        where += target if len(corpora) == 1 else f"{corpus} {target}"
        rows.append([(f"{NAMES[s]}{where}", _panel(made, here, s)) for s in SCORES])
    return rows


def _without(cell: Cell, option: str) -> str:
    return cell.system.replace(f" {option}={cell.varied[option]}", "")


def _point(cell: Cell, summed: Summary, option: str) -> Point:
    value = number(cell.varied[option])
    assert value is not None
    scores = {name: summed.seeds[cell.joined][name] for name in SCORES}
    guessing = {name: summed.mean("pooled", told) for name, told in GUESSING.items()}
    about = (_without(cell, option), cell.corpus, (cell.target,), value, cell.part, cell.joined)
    return Point(*about, pd.DataFrame(scores, list(cell.seeds)), cell.planned, guessing)


def _means(made: Sequence[Point], corpus: str, targets: tuple[str, ...]) -> Iterator[Point]:
    """Means over the targets of a corpus, where there are several, of seeds that have them all."""
    grouped: dict[tuple[str, float], list[Point]] = defaultdict(list)
    for each in made:
        if each.corpus == corpus:
            grouped[each.system, each.value].append(each)
    for (system, value), there in grouped.items():
        scores = pd.concat([each.scores for each in there], join="inner", keys=range(len(there)))
        by_seed = scores.groupby(level=1)
        means = by_seed.mean()[by_seed.size() == len(targets)]
        if len(targets) > 1 and len(means):
            about = (system, corpus, targets, value, there[0].part, there[0].joined)
            guessing = {n: float(np.mean([each.guessing[n] for each in there])) for n in GUESSING}
            yield Point(*about, means, max(each.planned for each in there), guessing)


def _panel(made: Curve, here: Sequence[Point], score: str) -> Figure:
    """Means over seeds, bars of one standard deviation up and down, and what guessing gets."""
    sds = np.nan_to_num([each.sd(score) for each in here])
    means = np.array([each.mean(score) for each in here])
    limits, _ = span(np.concatenate([means - sds, means + sds]), may_be_log=False)
    y = scale(limits, (HIGH - BOTTOM, TOP))
    x = _across(made.values)
    parts = [*horizontal(limits, y, 100), *_values(made.values, x)]
    chance = y(here[0].guessing.get(score, -np.inf))
    if chance <= HIGH - BOTTOM:
        parts.append(line("chance", LEFT, chance, WIDE - RIGHT, chance))
    for at, system in enumerate(made.systems):
        mine = sorted((each for each in here if each.system == system), key=lambda p: p.value)
        shift = APART * (at - (len(made.systems) - 1) / 2)
        places = [(x(each.value) + shift, y(each.mean(score))) for each in mine]
        parts += _line(mine, places, score, f"c{at % len(PALETTE)}", y)
        parts += key(at, HIGH + 20, system)
    parts.append(text("end", WIDE - RIGHT, HIGH + 7, made.option))
    label = f"{NAMES[score]} in % over {made.option}, {' '.join(here[0].place)}"
    return Figure("".join(parts), label, HIGH + 19 + 13 * ((len(made.systems) + 1) // 2))


def _line(
    mine: Sequence[Point],
    places: Sequence[tuple[float, float]],
    score: str,
    kind: str,
    y: Callable[[float], float],
) -> Iterator[str]:
    """A system's line, with a mark and a bar at each place."""
    yield f'<polyline class="line {kind}" points="{points(places)}"/>'
    for each, (across, down) in zip(mine, places, strict=True):
        mean, sd = each.mean(score), each.sd(score)
        told = f"{each.system}, {each.value:g}: {100 * mean:.1f}"
        if sd == sd:
            told += f" ± {100 * sd:.1f}"
            yield line(f"line {kind}", across, y(mean - sd), across, y(mean + sd))
        told += f", {len(each.scores)} of {each.planned} seeds"
        few = " few" if len(each.scores) < each.planned else ""
        yield (
            f'<circle class="mark {kind}{few}" cx="{across:.1f}" cy="{down:.1f}" r="2.8">'
            f"<title>{escape(told)}</title></circle>"
        )


def _across(values: Sequence[float]) -> Callable[[float], float]:
    """Places of values: by their logarithms, if these are at more even distances."""
    is_log = min(values) > 0 and _unevenness(np.log(values)) < _unevenness(np.array(values))
    return scale((values[0], values[-1]), (LEFT + MARGIN, WIDE - RIGHT - MARGIN), is_log)


def _unevenness(values: Any) -> float:
    steps = np.diff(values)
    return float(steps.std() / steps.mean())


def _values(values: Sequence[float], x: Callable[[float], float]) -> Iterator[str]:
    """Each value below a panel, where there is room for it."""
    last = -np.inf
    for value in values:
        yield line("grid", x(value), HIGH - BOTTOM, x(value), HIGH - BOTTOM + 3)
        if x(value) - last >= ROOM:
            yield text("middle", x(value), HIGH - 5, f"{value:g}")
            last = x(value)
