"""Scores on corrupted audio, as `python -m ser evaluate RUN --corrupt ...` has measured them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser.report import shares
from ser.report.cells import Cell
from ser.report.counts import read_tasks
from ser.report.data import ReportData
from ser.report.gather import damaged, scorings_of
from ser.report.scores import sample_sd
from ser.report.tables import Table
from ser.report.text import NONE
from ser.results import EvaluationFolder, RunFolder

CLEAN = "clean"
NOTES = (
    "Means and standard deviations over seeds, folds pooled, of the seeds of which every fold has "
    "been tested under a condition. The models are the same: training has not seen these "
    "recordings, corrupted or not. `clean` is the audio as it is, of all seeds of the table.",
)
# Sums, see `Scoring`, by name of the condition.
Sums = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Robustness:
    """Scores of one cell.

    Attributes:
        cell: The system, corpus and target.
        first, second: Primary score, and that beside it, of the counted seeds by name of the
            condition, (S,); the first is "clean".
        shares: Sums against the shares of raters (`ser.report.shares`) of these seeds, (S, SUMS),
            by name of the condition; empty if the runs are not scored by them.
    """

    cell: Cell
    first: Mapping[str, np.ndarray]
    second: Mapping[str, np.ndarray]
    shares: Mapping[str, np.ndarray]


def robustness(data: ReportData) -> list[Robustness]:
    """Return the scores of each cell that has been tested on corrupted audio.

    Raises:
        UserError: A file of an evaluation is damaged.
    """
    measured = (_measured(cell) for cell in data.cells)
    return [each for each in measured if each is not None]


def table(data: ReportData, measured: list[Robustness]) -> Table | None:
    """Return a row per cell and a column per condition; None if nothing was measured."""
    if not measured:
        return None
    names = list(dict.fromkeys(name for each in measured for name in each.first))
    scores = {each.cell.scoring.primary.axis: None for each in measured}
    rows = [
        (
            data.column_name(each.cell.column),
            each.cell.system,
            *(_shown(each, name) for name in names),
        )
        for each in measured
    ]
    title = f"{' or '.join(scores)} on corrupted audio"
    return Table(title, ("corpus and target", "system", *names), tuple(rows), 2, notes=NOTES)


def frame(measured: list[Robustness]) -> pd.DataFrame:
    """Return one row per cell and condition; `change` of the first score is against clean."""
    rows = [
        {
            "system": each.cell.system,
            "corpus": each.cell.corpus,
            "target": each.cell.target,
            "condition": name,
            "seeds": len(first),
            each.cell.scoring.primary.name: first.mean(),
            f"{each.cell.scoring.primary.name}_sd": sample_sd(first),
            "change": first.mean() - each.first[CLEAN].mean(),
            each.cell.scoring.beside: each.second[name].mean(),
            f"{each.cell.scoring.beside}_sd": sample_sd(each.second[name]),
            **{key: values.mean() for key, values in _against_shares(each, name).items()},
        }
        for each in measured
        for name, first in each.first.items()
    ]
    return pd.DataFrame(rows)


def _against_shares(measured: Robustness, name: str) -> dict[str, np.ndarray]:
    """Return the scores of each seed against the shares of raters, (S,); empty without any."""
    return shares.scores(measured.shares[name]) if name in measured.shares else {}


def _measured(cell: Cell) -> Robustness | None:
    """Return the scores of a cell; None without any seed of which all folds were tested."""
    sums: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    soft: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for key, run in cell.runs.items():
        tests = list(_tests(cell, key))
        sums[key] = {name: of_test for name, of_test, _ in tests}
        soft[key] = {name: of_test for name, _, of_test in tests if of_test is not None}
        if by_speaker := run.shares.get(cell.part):
            soft[key][CLEAN] = sum(by_speaker.values(), np.zeros(shares.SUMS))
    names = list(dict.fromkeys(name for each in sums.values() for name in each))
    first: dict[str, np.ndarray] = {}
    second: dict[str, np.ndarray] = {}
    if not names or not cell.seeds or cell.part != "test":
        return None
    for name, pooled in (
        (CLEAN, cell.sums(cell.part).sum(axis=1)),
        *((name, _pooled(cell, sums, name)) for name in names),
    ):
        if len(pooled):
            scores = cell.scoring.of(np.asarray(pooled))
            first[name] = scores[cell.scoring.primary.name]
            second[name] = scores[cell.scoring.beside]
    of_shares = ((name, _pooled(cell, soft, name)) for name in first)
    against_shares = {name: np.asarray(pooled) for name, pooled in of_shares if pooled}
    return Robustness(cell, first, second, against_shares) if len(first) > 1 else None


def _pooled(cell: Cell, sums: Mapping[tuple[int, int], Sums], name: str) -> list[np.ndarray]:
    """Return the sums of each seed of which all folds were tested under a condition."""
    by_seed = [[sums[seed, fold].get(name) for fold in cell.folds] for seed in cell.seeds]
    complete = [[each for each in folds if each is not None] for folds in by_seed]
    return [np.sum(folds, axis=0) for folds in complete if len(folds) == len(cell.folds)]


def _tests(cell: Cell, key: tuple[int, int]) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Yield the conditions that a run was tested under, with the sums of its predictions.

    The last ones are against the shares of raters; None if it is not scored by them.
    """
    run = cell.runs[key]
    folder = run.planned.folder
    is_own = cell.tested_on is None
    if is_own:
        tested = RunFolder(folder).all_corrupted()
    else:
        files = sorted(folder.glob(f"*/{EvaluationFolder.RECORD}"))
        tested = [EvaluationFolder(file.parent) for file in files]
    for each in tested:
        record = each.read_record() or {}
        if record.get("own_test", False) != is_own:
            continue
        each.require_intact(record)
        try:
            scores = shares.recorded_scores(record, "test", run.task)
            if run.task is not None and not scores:  # another corpus, which lacks the task
                continue
            sums = cell.scoring.recorded(scores)
            if sums is None:
                counts, _ = read_tasks(each, scorings_of(record), None)
                sums = counts[run.task]["test"].sums
            is_soft = "kl" in scores
            soft = shares.sums(shares.rows_of(each, run.task), cell.classes) if is_soft else None
            yield record["corruption"], sums, soft
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(each.path, error) from error


def _shown(measured: Robustness, name: str) -> str:
    values = measured.first.get(name)
    if values is None:
        return NONE
    return measured.cell.scoring.primary.spread(values.mean(), sample_sd(values))
