"""Gaps between groups of speakers: whether a system recognises some worse than others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from ser.report import statistics
from ser.report.cells import Cell
from ser.report.contrasts import DRAWS, LEVEL, stacked
from ser.report.counts import GROUPS
from ser.report.statistics import Comparison

FEWEST = 3  # speakers of a group that is tested
OTHERS = "all others"
# Sums (S, ...) by speaker.
BySpeaker = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Gap:
    """The difference of the primary score between two groups of speakers.

    Attributes:
        cell: The system, corpus and target.
        by: Column of `utterances.csv` that groups speakers.
        groups: Names of the group and of the one that it is compared with.
        speakers: Numbers of their speakers.
        scores: Their scores, folds pooled, mean over seeds.
        result: Result of the test; None if it was not possible.
        reason: Why the test was not possible; else empty.
        p_holm: p with Holm's correction over all gaps of the report.
    """

    cell: Cell
    by: str
    groups: tuple[str, str]
    speakers: tuple[int, int]
    scores: tuple[float, float]
    result: Comparison | None
    reason: str
    p_holm: float = float("nan")

    @property
    def is_significant(self) -> bool:
        return self.p_holm < LEVEL

    @property
    def verdict(self) -> str:
        if self.result is None:
            return f"not tested: {self.reason}"
        if not self.is_significant:
            return "no gap shown"
        return "higher" if self.result.difference > 0 else "lower"


def gaps(cells: Sequence[Cell]) -> list[Gap]:
    """Return the gaps of all cells whose runs know groups, p corrected for their number."""
    known = list(chain.from_iterable(map(_of_cell, cells)))
    adjusted = iter(statistics.holm([gap.result.p for gap in known if gap.result]))
    return [replace(gap, p_holm=next(adjusted)) if gap.result else gap for gap in known]


def _of_cell(cell: Cell) -> Iterator[Gap]:
    """Yield one gap of two groups; of more groups each against all others together."""
    for column in GROUPS if cell.seeds else ():
        groups = cell.groups(column)
        if len(groups) == 2:
            yield _gap(cell, column, *groups.items())
        elif len(groups) > 2:
            for name, group in groups.items():
                others = _together([of for other, of in groups.items() if other != name])
                yield _gap(cell, column, (name, group), (OTHERS, others))


def _together(groups: Sequence[BySpeaker]) -> BySpeaker:
    """Return the sums of the speakers of several groups; a speaker may be in several of them."""
    sums: dict[str, np.ndarray] = {}
    for group in groups:
        for speaker, of_speaker in group.items():
            sums[speaker] = sums.get(speaker, 0) + of_speaker
    return sums


def _gap(cell: Cell, by: str, first: tuple[str, BySpeaker], second: tuple[str, BySpeaker]) -> Gap:
    scoring = cell.scoring
    groups = (first[1], second[1])
    pooled = [np.sum(list(group.values()), axis=0) for group in groups]
    scores = [float(scoring.of(sums)[scoring.primary.name].mean()) for sums in pooled]
    speakers = len(groups[0]), len(groups[1])
    missing = [np.isnan(scoring.by_class(sums[0])) for sums in pooled]
    result, reason = None, ""
    if min(speakers) < FEWEST:
        reason = f"fewer than {FEWEST} speakers"
    elif not np.array_equal(*missing):
        reason = "the groups differ in their classes"
    else:
        result = _test(cell, *groups)
        reason = "" if result else "the gap is equal in all resamples"
    names = (first[0], second[0])
    return Gap(cell, by, names, speakers, (scores[0], scores[1]), result, reason)


def _test(cell: Cell, first: BySpeaker, second: BySpeaker) -> Comparison | None:
    shared = first.keys() & second.keys()
    if not shared:
        groups = stacked(first), stacked(second)
        return statistics.between_groups(*groups, DRAWS, cell.scoring.resampled)
    # A speaker of both groups is drawn for both.
    absent = np.zeros_like(next(iter(first.values())))
    speakers = sorted(first.keys() | second.keys())
    padded = [stacked({name: of.get(name, absent) for name in speakers}) for of in (first, second)]
    drawn = statistics.weights(len(speakers), DRAWS)
    return statistics.over_speakers(padded[0], padded[1], drawn, cell.scoring.resampled)
