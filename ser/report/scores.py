"""Scores of a cell: over complete seeds, by class, and by gender, session, speaker, ..."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ser.report.cells import Cell
from ser.report.counts import COLUMNS, SEVERAL
from ser.report.scoring import Scoring
from ser.report.statistics import against_chance

JOINS = ("pooled", "fold_mean")


@dataclass(frozen=True)
class Summary:
    """Scores of the S complete seeds of a cell on one split.

    Attributes:
        scoring: How predictions are scored.
        seeds: Scores (S,) by join and name, including chance levels.
        folds: Primary score of each fold, mean over seeds, (F,).
        recalls: (S, C) by join; NaN for a class without utterances.
        truth: Classes or values of the distinct utterances, (U,).
        times: How often each utterance is tested per seed, (U,).
    """

    scoring: Scoring
    seeds: Mapping[str, Mapping[str, np.ndarray]]
    folds: np.ndarray
    recalls: Mapping[str, np.ndarray]
    truth: np.ndarray
    times: np.ndarray

    @property
    def support(self) -> np.ndarray:
        """Distinct utterances of each class, (C,)."""
        return self.scoring.support(self.truth)

    @property
    def chance(self) -> dict[str, float]:
        """Chance levels by name, folds pooled."""
        names = [each.chance for each in self.scoring.scores if each.chance]
        return {name: self.mean("pooled", name) for name in names}

    @property
    def utterances(self) -> int:
        return len(self.times)

    @property
    def predictions(self) -> int:
        """Number of test predictions per seed."""
        return int(self.times.sum())

    @property
    def overlap(self) -> str:
        """Why utterances cannot be counted as a sample; empty if all are tested equally often."""
        if len(np.unique(self.times)) == 1:
            return ""
        return (
            f"splits of folds overlap: {self.predictions:,} predictions of "
            f"{self.utterances:,} utterances"
        )

    @property
    def p_chance(self) -> float:
        """p of the mean pooled UA against chance level, see `statistics.against_chance`.

        NaN if some utterances are tested more often than others: these are no sample; and for
        scores that are no shares.
        """
        if self.overlap or not self.scoring.has_proportions:
            return float("nan")
        shares = self.mean("pooled", "ua"), self.mean("pooled", "chance_ua")
        return against_chance(*shares, self.utterances)

    def mean(self, joined: str, name: str) -> float:
        return float(np.mean(self.seeds[joined][name]))

    def sd(self, joined: str, name: str) -> float:
        """Return the sample standard deviation over seeds; NaN for a single seed."""
        return sample_sd(self.seeds[joined][name])

    def text(self, joined: str, name: str, digits: int = 1) -> str:
        """Return mean and standard deviation over seeds as text."""
        score = self.scoring.score(name)
        return score.spread(self.mean(joined, name), self.sd(joined, name), digits)


@dataclass(frozen=True)
class Slice:
    """Scores on utterances with one value of a column, mean over complete seeds.

    Attributes:
        cell: The system, corpus and target.
        column, value: Column of `utterances.csv` and its value.
        utterances: Number of distinct utterances.
        classes: Number of classes that occur; UA is the mean of their recalls. 0 for values.
        scores: Scores by name.
    """

    cell: Cell
    column: str
    value: str
    utterances: int
    classes: int
    scores: Mapping[str, float]

    @property
    def text(self) -> str:
        """The primary score and the one beside it."""
        shown = (self.cell.scoring.primary, self.cell.scoring.second)
        return " / ".join(each.text(self.scores[each.name]) for each in shown)


def summary(cell: Cell, part: str) -> Summary | None:
    """Return the scores of a cell on a split; None without complete seeds or utterances."""
    scoring, sums = cell.scoring, cell.sums(part)
    if not sums.any():
        return None
    details = cell.details(part)
    single = scoring.of(sums, details)
    pooled = scoring.of(sums.sum(axis=1), details.sum(axis=1))
    fold_mean = {name: np.nanmean(values, axis=1) for name, values in single.items()}
    truth, times = cell.tested(part)
    folds = single[scoring.primary.name]
    # The split may be empty in some folds.
    known = ~np.isnan(folds).any(axis=0)
    # Some folds may lack a class.
    recalls = np.ma.masked_invalid(scoring.by_class(sums)).mean(axis=1).filled(np.nan)
    return Summary(
        scoring,
        {"pooled": pooled, "fold_mean": fold_mean},
        folds[:, known].mean(0),
        {"pooled": scoring.by_class(sums.sum(axis=1)), "fold_mean": recalls},
        truth,
        times,
    )


def slices(cell: Cell) -> Iterator[Slice]:
    """Yield scores by gender, session, ..., as far as the runs of a cell know them."""
    if not cell.seeds:
        return
    for column in COLUMNS:
        by_value = cell.slices(column) or {}
        if column in SEVERAL and len(by_value) < 2:
            continue
        utterances = cell.utterances_of(column)
        for value, sums in by_value.items():
            scores = {name: float(values.mean()) for name, values in cell.scoring.of(sums).items()}
            recalls = cell.scoring.by_class(sums[0])
            present = int((~np.isnan(recalls)).sum())
            yield Slice(cell, column, value, utterances[value], present, scores)


def sample_sd(values: np.ndarray) -> float:
    """Return the standard deviation with n - 1 degrees of freedom; NaN for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
