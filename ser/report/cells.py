"""Cells of the table: the runs of one system on one target of one corpus."""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from ser.errors import UserError
from ser.report.counts import Slices, by_speaker, scoring_of
from ser.report.gather import Run
from ser.report.scoring import Scoring
from ser.report.text import with_ranges
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
        scoring: How predictions are scored.
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
    scoring: Scoring
    varied: Mapping[str, str]
    tested_on: str | None

    @property
    def column(self) -> tuple[str, str]:
        return self.corpus, self.target

    @property
    def classes(self) -> tuple[str, ...]:
        """C names; empty for values."""
        return self.scoring.classes

    @property
    def complete_runs(self) -> list[Run]:
        """Runs of complete seeds, by seed and fold."""
        return [self.runs[place] for place in self.places]

    @property
    def places(self) -> list[tuple[int, int]]:
        """Seed and fold of the runs of complete seeds."""
        return [(seed, fold) for seed in self.seeds for fold in self.folds]

    def sums(self, part: str) -> np.ndarray:
        """Return sums (S, F, ...) that scores are computed from; zeros for an empty split."""
        empty = np.zeros(self.scoring.shape, np.int64)
        sums = [run.parts[part].sums if part in run.parts else empty for run in self.complete_runs]
        return np.reshape(sums, (len(self.seeds), len(self.folds), *empty.shape))

    def details(self, part: str) -> np.ndarray:
        """Return sums (S, F, ...) that figures are drawn from; zeros for an empty split."""
        empty = np.zeros(self.scoring.details)
        counts = [
            run.parts[part].details if part in run.parts else empty for run in self.complete_runs
        ]
        return np.reshape(counts, (len(self.seeds), len(self.folds), *empty.shape))

    def slices(self, column: str) -> dict[Any, np.ndarray] | None:
        """Return sums (S, ...) by value of a column, folds pooled.

        Args:
            column: Column of `utterances.csv`, or `by_speaker` of one.

        Returns:
            None if a run lacks the column.
        """
        shape = (len(self.seeds), *self.scoring.shape)
        numbers = {seed: number for number, seed in enumerate(self.seeds)}
        sums: dict[Any, np.ndarray] = defaultdict(lambda: np.zeros(shape))
        for run in self.complete_runs:
            by_column = self._run_slices(run)
            if by_column is None or column not in by_column:
                return None
            for value, of_value in by_column[column].items():
                sums[value][numbers[run.planned.seed]] += of_value
        return {value: sums[value] for value in sorted(sums)}

    def groups(self, column: str) -> dict[str, dict[str, np.ndarray]]:
        """Return sums (S, ...) by value of a column of `GROUPS` and speaker; empty if unknown."""
        groups: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
        for (speaker, value), sums in (self.slices(by_speaker(column)) or {}).items():
            groups[value][speaker] = sums
        return {value: groups[value] for value in sorted(groups) if value}

    def tested(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct utterances that are tested with one seed.

        Returns:
            (U,) truth of each utterance: number of its class, or value; (U,) how often it is
            tested: more than once if test splits of folds overlap.
        """
        counts = [run.parts[part] for run in self._first_runs if part in run.parts]
        hashes = np.concatenate([each.tested.hashes for each in counts])
        truth = np.concatenate([each.truth for each in counts])
        _, first, times = np.unique(hashes, return_index=True, return_counts=True)
        return truth[first], times

    def utterances_of(self, column: str) -> dict[Hashable, int]:
        """Return the number of distinct utterances by value of a column of `utterances.csv`."""
        hashes: dict[Hashable, list[np.ndarray]] = defaultdict(list)
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
    def ceiling(self) -> float | None:
        """Primary score of one rater against the others; None if it is unknown."""
        known = (run.ceiling for run in self.runs.values())
        return next((ceiling for ceiling in known if ceiling is not None), None)

    @property
    def remarks(self) -> list[str]:
        every = {remark for run in self.runs.values() for remark in run.remarks}
        return with_ranges(sorted(every))

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
    finished: dict[tuple[str, str, str], dict[str | None, list[Run]]]
    finished = defaultdict(lambda: defaultdict(list))
    for run in runs:
        finished[run.planned.cell][run.task].append(run)
    by_cell = attrgetter("cell")
    unordered = [
        _cell(_named(key, task), list(planned), of_task)
        for key, grouped in groupby(sorted(grid.runs, key=by_cell), by_cell)
        for planned in [list(grouped)]
        for task, of_task in (finished.get(key) or {None: []}).items()
    ]
    unordered = _apart(_with_scoring(unordered))
    targets = _targets(unordered)

    def place(cell: Cell) -> tuple[Any, ...]:
        row = cell.paper.get("row")
        row = np.inf if row is None else row
        is_other = grid.baseline is None or not matches(cell.system, grid.baseline)
        paper = (str(cell.paper.get("key", "~")), str(cell.paper.get("table", "~")))
        column = (cell.corpus, targets.index(cell.target))
        return (*paper, row, is_other, *_system_key(cell), *column)

    return sorted(unordered, key=place)


def _named(key: tuple[str, str, str], task: str | None) -> tuple[str, str, str]:
    """Return the cell of a task: that of its target, of a system that was trained on several."""
    system, corpus, target = key
    return key if task is None else (f"{system} target={target}", corpus, task)


def _with_scoring(unordered: Sequence[Cell]) -> list[Cell]:
    """Return the cells, those without a finished run with the scoring of others of their column."""
    of_column: dict[tuple[str, str], Scoring] = {}
    for cell in unordered:
        if cell.runs:
            of_column.setdefault(cell.column, cell.scoring)
    known = list(of_column.values())
    return [
        cell
        if cell.runs or not known
        else replace(cell, scoring=of_column.get(cell.column, known[0]))
        for cell in unordered
    ]


def _apart(unordered: Sequence[Cell]) -> list[Cell]:
    """Return the cells, those of values in a column of their own where others have classes."""
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    for cell in unordered:
        kinds[cell.column].add(cell.scoring.primary.name)
    return [
        replace(cell, target=f"{cell.target} ({cell.scoring.primary.title})")
        if len(kinds[cell.column]) > 1 and not cell.classes
        else cell
        for cell in unordered
    ]


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
        _scoring(key, runs),
        planned[0].varied,
        planned[0].tested_on,
    )


def _part(requested: str, runs: list[Run]) -> str:
    """Return the split that a paper reports, or the other one if that is empty."""
    if not runs or any(requested in run.parts for run in runs):
        return requested
    return PARTS[1 - PARTS.index(requested)]


def _scoring(key: tuple[str, str, str], runs: list[Run]) -> Scoring:
    distinct = {run.scoring for run in runs}
    if len(distinct) > 1:
        classes = sorted(each.classes for each in distinct)
        raise UserError(f"runs of {' '.join(key)} differ in their classes: {classes}")
    return distinct.pop() if distinct else scoring_of(())


def _system_key(cell: Cell) -> tuple[Any, ...]:
    """Sort by system, then by its options, numbers by value: 64 before 128."""
    values = [(number(text), text) for text in cell.varied.values()]
    options = [(math.inf if size is None else size, text) for size, text in values]
    return cell.system.partition(" ")[0], options, cell.system


def _targets(unordered: Sequence[Cell]) -> list[str]:
    papers = sorted((cell.paper for cell in unordered), key=str)
    listed = [target for paper in papers for target in paper.get("published") or {}]
    return list(dict.fromkeys([*listed, *sorted(cell.target for cell in unordered)]))
