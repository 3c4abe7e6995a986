"""Cells of the table: the runs of one system on one target of one corpus."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from ser import metrics
from ser.errors import UserError
from ser.report.counts import Slices
from ser.report.gather import Run
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun

PARTS = ("test", "val")


@dataclass(frozen=True)
class Cell:
    """A system on a target of a corpus.

    Attributes:
        system, corpus, target: Names.
        paper: Paper of the experiment; empty if there is none.
        part: Split whose scores the main table shows: "test" or "val".
        joined: How the main table joins folds: "pooled" or "fold_mean".
        folds: F fold numbers: all that were planned for any seed.
        planned: Number of planned seeds.
        seeds: The S seeds with all folds finished; only these are counted.
        missing: Folds that are not finished, by seed.
        runs: Finished runs by seed and fold, including those of incomplete seeds.
        classes: C names.
        varied: Options that are part of the system's name.
        tested_on: Corpus of the evaluations, all of which each fold is tested on; None if the runs
            are tested on their own corpus.
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
    def column(self) -> tuple[str, str]:
        return self.corpus, self.target

    @property
    def complete_runs(self) -> list[Run]:
        """Runs of complete seeds, by seed and fold."""
        return [self.runs[seed, fold] for seed in self.seeds for fold in self.folds]

    def confusions(self, part: str) -> np.ndarray:
        """Return confusion matrices (S, F, C, C); zeros where the split is empty."""
        size = len(self.classes)
        empty = np.zeros((size, size), np.int64)
        matrices = [
            run.parts[part].confusion if part in run.parts else empty for run in self.complete_runs
        ]
        return np.reshape(matrices, (len(self.seeds), len(self.folds), size, size))

    def reliabilities(self, part: str) -> np.ndarray:
        """Return reliabilities (S, F, BINS, 3), see `ser.metrics`; zeros for an empty split."""
        empty = np.zeros((metrics.BINS, 3))
        counts = [
            run.parts[part].reliability if part in run.parts else empty
            for run in self.complete_runs
        ]
        return np.reshape(counts, (len(self.seeds), len(self.folds), *empty.shape))

    def slices(self, column: str) -> dict[str, np.ndarray] | None:
        """Return confusion matrices (S, C, C) by value of a column, folds pooled.

        Args:
            column: Column of `utterances.csv`.

        Returns:
            None if a run lacks the column.
        """
        size = len(self.classes)
        numbers = {seed: number for number, seed in enumerate(self.seeds)}
        matrices: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(numbers), size, size)))
        for run in self.complete_runs:
            by_column = self._run_slices(run)
            if by_column is None or column not in by_column:
                return None
            for value, matrix in by_column[column].items():
                matrices[value][numbers[run.planned.seed]] += matrix
        return {value: matrices[value] for value in sorted(matrices)}

    def tested(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct utterances that are tested with one seed.

        Returns:
            (C,) number of utterances of each class; (U,) how often each utterance is tested: more
            than once if test splits of folds overlap.
        """
        counts = [run.parts[part] for run in self._first_runs if part in run.parts]
        hashes = np.concatenate([each.tested.hashes for each in counts])
        classes = np.concatenate([each.truth for each in counts])
        _, first, times = np.unique(hashes, return_index=True, return_counts=True)
        return np.bincount(classes[first], minlength=len(self.classes)), times

    def utterances_of(self, column: str) -> dict[str, int]:
        """Return the number of distinct utterances by value of a column of `utterances.csv`."""
        hashes: dict[str, list[np.ndarray]] = defaultdict(list)
        for run in self._first_runs:
            tested = run.parts[self.part].tested if self.part in run.parts else None
            if tested is None or tested.columns is None or column not in tested.columns:
                continue
            codes, values = tested.columns[column]
            for number, value in enumerate(values):
                hashes[value].append(tested.hashes[codes == number])
        return {value: len(np.unique(np.concatenate(each))) for value, each in hashes.items()}

    @property
    def _first_runs(self) -> list[Run]:
        """Runs of the first complete seed; all seeds are tested on the same utterances."""
        return self.complete_runs[: len(self.folds)]

    @property
    def is_speaker_independent(self) -> bool:
        return all(run.speaker_independent for run in self.runs.values())

    @property
    def speakers(self) -> int:
        """Number of tested speakers; 0 if unknown."""
        return len(self.slices("speaker") or ()) if self.knows_speakers else 0

    @property
    def knows_speakers(self) -> bool:
        slices = (self._run_slices(run) or {} for run in self.complete_runs)
        return bool(self.seeds) and all("speaker" in by_column for by_column in slices)

    @property
    def remarks(self) -> list[str]:
        return sorted({remark for run in self.runs.values() for remark in run.remarks})

    def _run_slices(self, run: Run) -> Slices | None:
        return run.parts[self.part].slices if self.part in run.parts else None


def cells(grid: Grid, runs: Sequence[Run]) -> list[Cell]:
    """Return the cells of a grid, in an order that does not depend on the order of runs.

    Systems are ordered by the `row` of their experiment in the paper's table, those that the table
    lacks come last; else the baseline comes first and the others follow by name. Targets are
    ordered as in the paper, else by name.

    Raises:
        UserError: The runs of a cell differ in their classes.
    """
    finished: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        finished[run.planned.cell].append(run)
    by_cell = attrgetter("cell")
    unordered = [
        _cell(key, list(planned), finished[key])
        for key, planned in groupby(sorted(grid.runs, key=by_cell), by_cell)
    ]
    targets = _targets(unordered)

    def place(cell: Cell) -> tuple[Any, ...]:
        row = cell.paper.get("row")
        row = np.inf if row is None else row
        is_other = grid.baseline is None or not matches(cell.system, grid.baseline)
        paper = (str(cell.paper.get("key", "~")), str(cell.paper.get("table", "~")))
        column = (cell.corpus, targets.index(cell.target))
        return (*paper, row, is_other, *_system_key(cell), *column)

    return sorted(unordered, key=place)


def matches(system: str, name: str) -> bool:
    """Return whether a name, e.g. of an experiment, denotes this system."""
    return name in (system, system.rpartition("/")[2]) or name.rpartition("/")[2] == system


def number(text: str) -> float | None:
    """Return the value of an option as a finite number; None if it is not one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _cell(key: tuple[str, str, str], planned: list[PlannedRun], runs: list[Run]) -> Cell:
    requested: dict[int, set[int]] = defaultdict(set)
    for each in planned:
        requested[each.seed].add(each.fold)
    # A seed that was planned for fewer folds than another is not complete either.
    folds = sorted(set().union(*requested.values()))
    finished = {(run.planned.seed, run.planned.fold): run for run in runs}
    finished = {place: finished[place] for place in sorted(finished)}
    missing = {
        seed: tuple(fold for fold in folds if (seed, fold) not in finished)
        for seed in sorted(requested)
    }
    paper = min((each.paper or {} for each in planned), key=str)
    return Cell(
        *key,
        paper,
        _part(paper.get("part", "test"), runs),
        paper.get("joined", "pooled"),
        tuple(folds),
        len(requested),
        tuple(seed for seed, lacking in missing.items() if not lacking),
        {seed: lacking for seed, lacking in missing.items() if lacking},
        finished,
        _classes(key, runs),
        planned[0].varied,
        planned[0].tested_on,
    )


def _part(requested: str, runs: list[Run]) -> str:
    """Return the split that a paper reports, or the other one if that is empty."""
    if not runs or any(requested in run.parts for run in runs):
        return requested
    return PARTS[1 - PARTS.index(requested)]


def _classes(key: tuple[str, str, str], runs: list[Run]) -> tuple[str, ...]:
    distinct = {run.classes for run in runs}
    if len(distinct) > 1:
        raise UserError(f"runs of {' '.join(key)} differ in their classes: {sorted(distinct)}")
    return distinct.pop() if distinct else ()


def _system_key(cell: Cell) -> tuple[Any, ...]:
    """Sort by system, then by its options, numbers by value: 64 before 128."""
    values = [(number(text), text) for text in cell.varied.values()]
    options = [(math.inf if size is None else size, text) for size, text in values]
    return cell.system.partition(" ")[0], options, cell.system


def _targets(unordered: Sequence[Cell]) -> list[str]:
    papers = sorted((cell.paper for cell in unordered), key=str)
    listed = [target for paper in papers for target in paper.get("published") or {}]
    return list(dict.fromkeys([*listed, *sorted(cell.target for cell in unordered)]))
