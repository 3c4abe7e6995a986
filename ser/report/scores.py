"""Cells of the table: what the complete seeds of one system reach on one target of one corpus."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from ser import metrics
from ser.errors import UserError
from ser.report.gather import COLUMNS, Run, Slices, where
from ser.report.statistics import against_guessing
from ser.sweeps.grid import Grid, PlannedRun

PARTS = ("test", "val")
JOINS = ("pooled", "fold_mean")
SCORES = ("ua", "wa", "f1")
ALL_SCORES = (*SCORES, "chance_ua", "majority_wa")


@dataclass(frozen=True)
class Cell:
    """A system on a target of a corpus.

    Attributes:
        system, corpus, target: which one.
        paper: of its experiment; empty: no paper.
        part: whose scores the main table shows: "test" or "val".
        joined: how the main table joins folds: "pooled" or "fold_mean".
        folds: their numbers, F of them: every one that any seed was planned for.
        planned: how many seeds there should be.
        seeds: those that have every fold, S of them; only these count.
        missing: folds that are not finished, by seed.
        runs: those finished, by seed and fold; of seeds that do not count, too.
        classes: C names.
        varied: options that are named beside the system.
        tested_on: the corpus of evaluations of runs, all of which each fold is tested on; None:
            the runs' own.
    """

    system: str
    corpus: str
    target: str
    paper: Mapping[str, Any]
    part: str
    joined: str
    folds: tuple[int, ...]
    planned: int
    seeds: tuple[int, ...]
    missing: Mapping[int, tuple[int, ...]]
    runs: Mapping[tuple[int, int], Run]
    classes: tuple[str, ...]
    varied: Mapping[str, str]
    tested_on: str | None

    @property
    def repeats(self) -> int:
        """How often each utterance is tested with one seed."""
        return 1 if self.tested_on is None else len(self.folds)

    @property
    def column(self) -> tuple[str, str]:
        return self.corpus, self.target

    @property
    def counted(self) -> list[Run]:
        """Runs of complete seeds, by seed and fold."""
        return [self.runs[seed, fold] for seed in self.seeds for fold in self.folds]

    def confusions(self, part: str) -> np.ndarray:
        """(S, F, C, C); zeros where a run has nobody in this part."""
        size = len(self.classes)
        none = np.zeros((size, size), np.int64)
        found = [run.parts[part].confusion if part in run.parts else none for run in self.counted]
        return np.reshape(found, (len(self.seeds), len(self.folds), size, size))

    def reliabilities(self, part: str) -> np.ndarray:
        """(S, F, BINS, 3), see `ser.metrics`; zeros where a run has nobody in this part."""
        none = np.zeros((metrics.BINS, 3))
        found = [run.parts[part].reliability if part in run.parts else none for run in self.counted]
        return np.reshape(found, (len(self.seeds), len(self.folds), *none.shape))

    def slices(self, column: str) -> dict[str, np.ndarray] | None:
        """Confusion matrices (S, C, C) by value of a column of `utterances.csv`, folds pooled.

        None where the runs do not tell the column.
        """
        size = len(self.classes)
        numbers = {seed: number for number, seed in enumerate(self.seeds)}
        found: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(numbers), size, size)))
        for run in self.counted:
            told = self.told(run)
            if told is None or column not in told:
                return None
            for value, matrix in told[column].items():
                found[value][numbers[run.planned.seed]] += matrix
        return {value: found[value] for value in sorted(found)}

    def told(self, run: Run) -> Slices | None:
        return run.parts[self.part].slices if self.part in run.parts else None

    @property
    def speakers(self) -> int:
        """How many are tested; 0: the runs do not tell."""
        return len(self.slices("speaker") or ()) if self.tells_speakers else 0

    @property
    def tells_speakers(self) -> bool:
        return bool(self.seeds) and all("speaker" in (self.told(run) or {}) for run in self.counted)

    @property
    def remarks(self) -> list[str]:
        return sorted({remark for run in self.runs.values() for remark in run.remarks})


@dataclass(frozen=True)
class Summary:
    """Scores of the complete seeds of a cell on one part.

    Attributes:
        seeds: scores by join and name, (S,) each; `ece` is one.
        folds: UA of each fold, mean over seeds, (F,).
        recalls: by join, (S, C); NaN of a class that nobody has.
        support: utterances of each class in one seed, (C,).
    """

    seeds: Mapping[str, Mapping[str, np.ndarray]]
    folds: np.ndarray
    recalls: Mapping[str, np.ndarray]
    support: np.ndarray

    @property
    def utterances(self) -> int:
        return int(self.support.sum())

    @property
    def p_guessing(self) -> float:
        """Of the mean pooled UA against what guessing gets; see `statistics.against_guessing`."""
        shares = self.mean("pooled", "ua"), self.mean("pooled", "chance_ua")
        return against_guessing(*shares, self.utterances)

    def mean(self, joined: str, name: str) -> float:
        return float(np.mean(self.seeds[joined][name]))

    def sd(self, joined: str, name: str) -> float:
        """Sample standard deviation over seeds; NaN of one seed."""
        return sample_sd(self.seeds[joined][name])


def cells(grid: Grid, runs: Sequence[Run]) -> list[Cell]:
    """The cells of a grid, in an order that depends on what they are, not on how they came.

    Systems go as in the paper's table where experiments say their `row`, else by name after the
    baseline; targets as their paper lists them, else by name.

    Raises:
        UserError: the runs of a cell differ in their classes.
    """

    finished: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        finished[where(run.planned)].append(run)
    made = [
        _cell(key, list(planned), finished[key])
        for key, planned in groupby(sorted(grid.runs, key=where), where)
    ]
    targets = _targets(made)

    def place(cell: Cell) -> tuple[Any, ...]:
        row = cell.paper.get("row", np.inf)
        is_other = grid.baseline is None or not is_named(cell.system, grid.baseline)
        paper = (str(cell.paper.get("key", "~")), str(cell.paper.get("table", "~")))
        column = (cell.corpus, targets.index(cell.target))
        return (*paper, row, is_other, *_in_order(cell), *column)

    return sorted(made, key=place)


def number(text: str) -> float | None:
    """What an option's value is as a finite number; None: it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def is_named(system: str, name: str) -> bool:
    """Whether a name, e.g. of an experiment, means this system."""
    return name in (system, system.rpartition("/")[2]) or name.rpartition("/")[2] == system


def summary(cell: Cell, part: str) -> Summary | None:
    """Scores of a cell's complete seeds; None where there are none, or nobody is in the part."""
    confusions = cell.confusions(part)
    if not confusions.any():
        return None
    single = _scores(confusions)
    pooled = _scores(confusions.sum(axis=1))
    sure = cell.reliabilities(part)
    single["ece"], pooled["ece"] = _calibration(sure), _calibration(sure.sum(axis=1))
    fold_mean = {name: np.nanmean(values, axis=1) for name, values in single.items()}
    support = confusions[0].sum(axis=(0, 2)) // cell.repeats
    folds = single["ua"]
    # A fold may have nobody in this part.
    known = ~np.isnan(folds).any(axis=0)
    # Nor need every fold have every class.
    recalls = np.ma.masked_invalid(metrics.recalls(confusions)).mean(axis=1).filled(np.nan)
    return Summary(
        {"pooled": pooled, "fold_mean": fold_mean},
        folds[:, known].mean(0),
        {"pooled": metrics.recalls(confusions.sum(axis=1)), "fold_mean": recalls},
        support,
    )


def sample_sd(values: np.ndarray) -> float:
    """With one degree of freedom less than values; NaN of fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


@dataclass(frozen=True)
class Slice:
    """Scores on utterances that have one value of a column, mean over complete seeds.

    Attributes:
        classes: how many of the target's these utterances have: UA is the mean of as many recalls.
    """

    cell: Cell
    column: str
    value: str
    utterances: int
    classes: int
    ua: float
    wa: float


def slices(cell: Cell) -> Iterator[Slice]:
    """Scores by gender, session, ..., as far as the cell's runs tell them."""
    if not cell.seeds:
        return
    for column in COLUMNS:
        for value, matrices in (cell.slices(column) or {}).items():
            support = matrices[0].sum(axis=1)
            found = _scores(matrices)
            ua, wa = (float(found[name].mean()) for name in ("ua", "wa"))
            present = int((support > 0).sum())
            utterances = int(support.sum()) // cell.repeats
            yield Slice(cell, column, value, utterances, present, ua, wa)


def _scores(confusions: np.ndarray) -> dict[str, np.ndarray]:
    """Every score of matrices (..., C, C), as arrays (...); NaN of an empty matrix."""
    leading = confusions.shape[:-2]
    flat = confusions.reshape(-1, *confusions.shape[-2:])
    found = [metrics.scores(each) if each.any() else {} for each in flat]
    return {
        name: np.array([each.get(name, np.nan) for each in found]).reshape(leading)
        for name in ALL_SCORES
    }


def _calibration(reliabilities: np.ndarray) -> np.ndarray:
    """ECE of reliabilities (..., BINS, 3), as an array (...); NaN of an empty one."""
    flat = reliabilities.reshape(-1, *reliabilities.shape[-2:])
    found = [metrics.expected_calibration_error(each) for each in flat]
    return np.reshape(found, reliabilities.shape[:-2])


def _cell(key: tuple[str, str, str], planned: list[PlannedRun], runs: list[Run]) -> Cell:
    asked: dict[int, set[int]] = defaultdict(set)
    for each in planned:
        asked[each.seed].add(each.fold)
    # A seed that was planned for fewer folds than another is no more complete than it.
    folds = sorted(set().union(*asked.values()))
    found = {(run.planned.seed, run.planned.fold): run for run in runs}
    found = {place: found[place] for place in sorted(found)}
    missing = {
        seed: tuple(fold for fold in folds if (seed, fold) not in found) for seed in sorted(asked)
    }
    paper = min((each.paper or {} for each in planned), key=str)
    return Cell(
        *key,
        paper,
        _part(paper.get("part", "test"), runs),
        paper.get("joined", "pooled"),
        tuple(folds),
        len(asked),
        tuple(seed for seed, lacks in missing.items() if not lacks),
        {seed: lacks for seed, lacks in missing.items() if lacks},
        found,
        _classes(key, runs),
        planned[0].varied,
        planned[0].tested_on,
    )


def _part(asked: str, runs: list[Run]) -> str:
    """The part that a paper asks for, or the other where the split has nobody in it."""
    if not runs or any(asked in run.parts for run in runs):
        return asked
    return PARTS[1 - PARTS.index(asked)]


def _classes(key: tuple[str, str, str], runs: list[Run]) -> tuple[str, ...]:
    found = {run.classes for run in runs}
    if len(found) > 1:
        raise UserError(f"runs of {' '.join(key)} differ in their classes: {sorted(found)}")
    return found.pop() if found else ()


def _in_order(cell: Cell) -> tuple[Any, ...]:
    """By what is said beside a system last, numbers by their size: 64 is before 128."""
    values = [(number(text), text) for text in cell.varied.values()]
    options = [(math.inf if size is None else size, text) for size, text in values]
    return cell.system.partition(" ")[0], options, cell.system


def _targets(made: Sequence[Cell]) -> list[str]:
    papers = sorted((cell.paper for cell in made), key=str)
    listed = [target for paper in papers for target in paper.get("published") or {}]
    return list(dict.fromkeys([*listed, *sorted(cell.target for cell in made)]))
