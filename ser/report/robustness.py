"""Scores on corrupted audio, as `python -m ser evaluate RUN --corrupt ...` has measured them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser import metrics
from ser.report.cells import Cell
from ser.report.data import ReportData
from ser.report.gather import damaged
from ser.report.scores import sample_sd
from ser.report.tables import NONE, Table, spread
from ser.results import EvaluationFolder, RunFolder

TITLE = "UA in % on corrupted audio"
CLEAN = "clean"
NOTES = (
    "Means and standard deviations over seeds, folds pooled, of the seeds of which every fold has "
    "been tested under a condition. The models are the same: training has not seen these "
    "recordings, corrupted or not. `clean` is the audio as it is, of all seeds of the table.",
)
# Confusion matrices, (C, C), by name of the condition.
Matrices = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Robustness:
    """Scores of one cell.

    Attributes:
        cell: The system, corpus and target.
        ua, wa: Scores of the counted seeds by name of the condition, (S,); the first is "clean".
    """

    cell: Cell
    ua: Mapping[str, np.ndarray]
    wa: Mapping[str, np.ndarray]


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
    names = list(dict.fromkeys(name for each in measured for name in each.ua))
    rows = [
        (
            data.column_name(each.cell.column),
            each.cell.system,
            *(_shown(each.ua.get(name)) for name in names),
        )
        for each in measured
    ]
    return Table(TITLE, ("corpus and target", "system", *names), tuple(rows), 2, notes=NOTES)


def frame(measured: list[Robustness]) -> pd.DataFrame:
    """Return one row per cell and condition; scores are shares, and `change` is against clean."""
    rows = [
        {
            "system": each.cell.system,
            "corpus": each.cell.corpus,
            "target": each.cell.target,
            "condition": name,
            "seeds": len(ua),
            "ua": ua.mean(),
            "ua_sd": sample_sd(ua),
            "change": ua.mean() - each.ua[CLEAN].mean(),
            "wa": each.wa[name].mean(),
            "wa_sd": sample_sd(each.wa[name]),
        }
        for each in measured
        for name, ua in each.ua.items()
    ]
    return pd.DataFrame(rows)


def _measured(cell: Cell) -> Robustness | None:
    """Return the scores of a cell; None without any seed of which all folds were tested."""
    matrices = {key: dict(_matrices(cell, key)) for key in cell.runs}
    names = list(dict.fromkeys(name for each in matrices.values() for name in each))
    ua: dict[str, np.ndarray] = {}
    wa: dict[str, np.ndarray] = {}
    if not names or not cell.seeds or cell.part != "test":
        return None
    for name, pooled in (
        (CLEAN, cell.confusions(cell.part).sum(axis=1)),
        *((name, _pooled(cell, matrices, name)) for name in names),
    ):
        if len(pooled):
            ua[name] = np.array([metrics.unweighted_accuracy(each) for each in pooled])
            wa[name] = np.array([metrics.scores(each)["wa"] for each in pooled])
    return Robustness(cell, ua, wa) if len(ua) > 1 else None


def _pooled(
    cell: Cell, matrices: Mapping[tuple[int, int], Matrices], name: str
) -> list[np.ndarray]:
    """Return the matrix of each seed of which all folds were tested under a condition."""
    by_seed = [[matrices[seed, fold].get(name) for fold in cell.folds] for seed in cell.seeds]
    complete = [[each for each in folds if each is not None] for folds in by_seed]
    return [np.sum(folds, axis=0) for folds in complete if len(folds) == len(cell.folds)]


def _matrices(cell: Cell, key: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the conditions that a run was tested under, with its confusion matrices."""
    folder = cell.runs[key].planned.folder
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
            yield record["corruption"], np.array(record["test"]["confusion"])
        except (KeyError, TypeError) as error:
            raise damaged(each.path, error) from error


def _shown(ua: np.ndarray | None) -> str:
    return NONE if ua is None else spread(ua.mean(), sample_sd(ua))
