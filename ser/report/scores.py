"""Scores of a cell: over complete seeds, by class, and by gender, session, speaker, ..."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ser import metrics
from ser.report.cells import Cell
from ser.report.counts import COLUMNS, SEVERAL
from ser.report.statistics import against_chance

JOINS = ("pooled", "fold_mean")
SCORES = ("ua", "wa", "f1")
ALL_SCORES = (*SCORES, "chance_ua", "majority_wa")


@dataclass(frozen=True)
class Summary:
    """Scores of the S complete seeds of a cell on one split.

    Attributes:
        seeds: Scores (S,) by join and name, including `ece`.
        folds: UA of each fold, mean over seeds, (F,).
        recalls: (S, C) by join; NaN for a class without utterances.
        support: Distinct utterances of each class, (C,).
        times: How often each utterance is tested per seed, (U,).
    """

    seeds: Mapping[str, Mapping[str, np.ndarray]]
    folds: np.ndarray
    recalls: Mapping[str, np.ndarray]
    support: np.ndarray
    times: np.ndarray

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

        NaN if some utterances are tested more often than others: these are no sample.
        """
        if self.overlap:
            return float("nan")
        shares = self.mean("pooled", "ua"), self.mean("pooled", "chance_ua")
        return against_chance(*shares, self.utterances)

    def mean(self, joined: str, name: str) -> float:
        return float(np.mean(self.seeds[joined][name]))

    def sd(self, joined: str, name: str) -> float:
        """Return the sample standard deviation over seeds; NaN for a single seed."""
        return sample_sd(self.seeds[joined][name])


@dataclass(frozen=True)
class Slice:
    """Scores on utterances with one value of a column, mean over complete seeds.

    Attributes:
        cell: The system, corpus and target.
        column, value: Column of `utterances.csv` and its value.
        utterances: Number of distinct utterances.
        classes: Number of classes that occur; UA is the mean of their recalls.
        ua, wa: Scores.
    """

    cell: Cell
    column: str
    value: str
    utterances: int
    classes: int
    ua: float
    wa: float


def summary(cell: Cell, part: str) -> Summary | None:
    """Return the scores of a cell on a split; None without complete seeds or utterances."""
    confusions = cell.confusions(part)
    if not confusions.any():
        return None
    single = _scores(confusions)
    pooled = _scores(confusions.sum(axis=1))
    reliabilities = cell.reliabilities(part)
    single["ece"] = _calibration(reliabilities)
    pooled["ece"] = _calibration(reliabilities.sum(axis=1))
    fold_mean = {name: np.nanmean(values, axis=1) for name, values in single.items()}
    support, times = cell.tested(part)
    folds = single["ua"]
    # The split may be empty in some folds.
    known = ~np.isnan(folds).any(axis=0)
    # Some folds may lack a class.
    recalls = np.ma.masked_invalid(metrics.recalls(confusions)).mean(axis=1).filled(np.nan)
    return Summary(
        {"pooled": pooled, "fold_mean": fold_mean},
        folds[:, known].mean(0),
        {"pooled": metrics.recalls(confusions.sum(axis=1)), "fold_mean": recalls},
        support,
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
        for value, matrices in by_value.items():
            support = matrices[0].sum(axis=1)
            scores = _scores(matrices)
            ua, wa = (float(scores[name].mean()) for name in ("ua", "wa"))
            present = int((support > 0).sum())
            yield Slice(cell, column, value, utterances[value], present, ua, wa)


def sample_sd(values: np.ndarray) -> float:
    """Return the standard deviation with n - 1 degrees of freedom; NaN for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def _scores(confusions: np.ndarray) -> dict[str, np.ndarray]:
    """Return all scores of matrices (..., C, C), as arrays (...); NaN for an empty matrix."""
    leading = confusions.shape[:-2]
    flat = confusions.reshape(-1, *confusions.shape[-2:])
    scores = [metrics.scores(each) if each.any() else {} for each in flat]
    return {
        name: np.array([each.get(name, np.nan) for each in scores]).reshape(leading)
        for name in ALL_SCORES
    }


def _calibration(reliabilities: np.ndarray) -> np.ndarray:
    """Return the ECE of reliabilities (..., BINS, 3), as an array (...); NaN if empty."""
    flat = reliabilities.reshape(-1, *reliabilities.shape[-2:])
    errors = [metrics.expected_calibration_error(each) for each in flat]
    return np.reshape(errors, reliabilities.shape[:-2])
