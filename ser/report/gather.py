"""The finished runs of a grid, reduced to counts and learning curves."""

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from ser.errors import UserError
from ser.report.counts import Counts, Utterances, read_tasks, scoring_of
from ser.report.provenance import UNKNOWN_FIT, Fit, Software, fits_of
from ser.report.scoring import Scoring
from ser.report.shares import BySpeaker
from ser.report.shares import read as read_shares
from ser.results import (
    CODES,
    FITTED,
    METRICS,
    PREDICTIONS,
    REPRESENTATION,
    RESULT,
    SEGMENT_CODES,
    UTTERANCES,
    EvaluationFolder,
    ResultFolder,
    RunFolder,
)
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun
from ser.sweeps.status import print_left_out

# Files that reports read.
TABLES = (
    *(PREDICTIONS, UTTERANCES, METRICS),
    *(f"{REPRESENTATION}/{name}" for name in (CODES, FITTED, METRICS, SEGMENT_CODES)),
)

# Utterances by corpus, target and fold: all systems and seeds predict the same ones.
SharedUtterances = dict[tuple[str, str, int], Utterances]


@dataclass(frozen=True)
class Run:
    """A finished run, or one task of a run that has several.

    Attributes:
        planned: The run as planned.
        task: Target of the task; None if the run has but one.
        scoring: How its predictions are scored.
        parts: Counts by split, "val" and "test", if the split is not empty.
        fits: What the model was fitted on, by the split that is scored.
        digests: Digest of the utterances of each fit; None if it is unknown.
        fold_count: Number of folds of the partition, in this grid or not.
        speaker_independent: Whether no speaker is in two splits.
        remarks: Warnings that must be shown with the scores.
        cost: Content of `cost.json`.
        software: Code and libraries that made the run.
        curves: Columns of `metrics.csv` by name, one value per epoch; empty if the model is not
            trained by epochs.
        representation: What its representation has learned; empty if it has none, or if it was made
            by an earlier version.
        ceiling: Primary score of one rater against the others, for all utterances of the target;
            None if it is unknown.
        layers: Learned weight, or UA of inner folds, by layer of a pretrained encoder; empty if
            there is neither.
        parameters: Number of parameters of the network; None if it is unknown, or no network.
        shares: Sums against the shares of raters (`ser.report.shares`); empty if the run is not
            scored by them.
    """

    planned: PlannedRun
    task: str | None
    scoring: Scoring
    parts: Mapping[str, Counts]
    fits: Mapping[str, Fit]
    digests: Mapping[str, int | None]
    fold_count: int
    speaker_independent: bool
    remarks: tuple[str, ...]
    cost: Mapping[str, Any]
    software: Software
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)
    representation: Mapping[str, Any] = field(default_factory=dict)
    layers: Mapping[str, float] = field(default_factory=dict)
    ceiling: float | None = None
    parameters: int | None = None
    shares: BySpeaker = field(default_factory=dict)


def finished_runs(grid: Grid, console: Console | None = None) -> list[Run]:
    """Read the finished runs of a grid, in its order.

    Args:
        grid: Planned runs.
        console: Where progress is shown, if it is a terminal.

    Finished runs that are damaged, or whose files contradict each other, are left out and named.

    Raises:
        UserError: Two folders hold the same run, or all finished runs are damaged.
    """
    _require_distinct(grid)
    shared: SharedUtterances = {}
    runs = track(
        grid.runs,
        "reading runs",
        console=console,
        transient=True,
        disable=console is None or not console.is_terminal,
    )
    finished, reasons = [], list(grid.damaged)
    for planned in runs:
        try:
            if (result := result_folder(planned).read_record()) is not None:
                finished += read(planned, result, shared)
        except UserError as error:
            reasons.append(str(error))
    if reasons and not finished:
        raise UserError(reasons[0])
    print_left_out(reasons)
    return finished


def with_evaluations(grid: Grid) -> Grid:
    """Return a grid with the evaluations of its runs on other corpora appended.

    If one run of a corpus and target was evaluated on another corpus, the evaluations of all its
    runs are expected.
    """
    others: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in grid.runs:
        for evaluation in RunFolder(run.folder).evaluations():
            others[run.cell[1:]].add(evaluation.path.name)
    evaluations = [
        # Published scores are those of the paper's own corpus.
        replace(run, folder=RunFolder(run.folder).evaluation(name).path, paper=None, tested_on=name)
        for run in grid.runs
        for name in sorted(others[run.cell[1:]])
    ]
    return replace(grid, runs=(*grid.runs, *evaluations))


def read(planned: PlannedRun, result: Mapping[str, Any], shared: SharedUtterances) -> list[Run]:
    """Read one finished run.

    Args:
        planned: The run as planned.
        result: Content of its `result.json`.
        shared: Utterances of folds that were read before; extended by those of this run.

    Returns:
        The run; once for each task if it has several.

    Raises:
        UserError: Its files are missing, damaged or contradict each other.
    """
    folder = result_folder(planned)
    # Not what prediction alone needs: reading the weights of 1,500 runs would take minutes.
    folder.require_intact(result, *TABLES)
    if isinstance(folder, RunFolder):
        folder.require_description()
    try:
        scorings = scorings_of(result)
        place = (*planned.cell[1:], planned.fold)
        counts, shared[place] = read_tasks(folder, scorings, shared.get(place))
        for task in scorings:
            _require_recorded_scores(result, task, scorings[task], counts[task])
        return [
            _run(planned, result, task, scorings[task], counts[task], shared[place])
            for task in scorings
        ]
    except KeyError as error:
        raise damaged(planned.folder, KeyError(f"{folder.RECORD} has no {error}")) from error
    except (AttributeError, OSError, ValueError, IndexError, TypeError) as error:
        raise damaged(planned.folder, error) from error


def scorings_of(result: Mapping[str, Any]) -> dict[str | None, Scoring]:
    """Return the scoring of each task of a run; of the name None if it has but one."""
    if tasks := result.get("tasks"):
        return {str(name): scoring_of(classes) for name, classes in tasks.items()}
    return {None: scoring_of(result["classes"])}


def _run(
    planned: PlannedRun,
    result: Mapping[str, Any],
    task: str | None,
    scoring: Scoring,
    counts: Mapping[str, Counts],
    utterances: Utterances,
) -> Run:
    tested = {part: int(scoring.count(of_part.sums)) for part, of_part in counts.items()}
    (fits, is_known), run_folder = fits_of(result, tested), RunFolder(planned.folder)
    remarks = [] if is_known or planned.tested_on else [UNKNOWN_FIT]
    cost, primary = run_folder.read_cost(), scoring.primary.name
    validation = f"val/{primary}" if task is None else f"val/{task}/{primary}"
    return Run(
        planned,
        task,
        scoring,
        counts,
        fits,
        {part: utterances.digest(fit.splits) for part, fit in fits.items()},
        result["fold_count"],
        result.get("speaker_independent", True),
        (*result["remarks"], *remarks),
        cost,
        Software.of(result, cost),
        _read_curves(run_folder.metrics_file, validation),
        result.get("representation") or {},
        result.get("layer_weights") or result.get(f"inner_{primary}_by_layer") or {},
        _ceiling(result, task, primary),
        result.get("parameters"),
        read_shares(result_folder(planned), result, task, scoring.classes),
    )


def _ceiling(result: Mapping[str, Any], task: str | None, primary: str) -> float | None:
    """Return the score of one rater against the others, as far as it was recorded."""
    raters = result.get("raters") or {}
    of_task = raters if task is None else (raters.get("tasks") or {}).get(task) or {}
    return (of_task.get("ceiling") or {}).get(primary)


def _require_recorded_scores(
    result: Mapping[str, Any], task: str | None, scoring: Scoring, counts: Mapping[str, Counts]
) -> None:
    """Raise a ValueError unless the predictions give the scores that the run has recorded."""
    for part in ("val", "test"):
        if not result.get(part):
            continue
        if part not in counts:
            raise ValueError(f"{PREDICTIONS} does not give the {part} scores of {RESULT}")
        recorded = result[part] if task is None else result[part]["tasks"][task]
        try:
            scoring.require_recorded(recorded, counts[part].sums)
        except ValueError as error:
            raise ValueError(f"{RESULT} has {error} of {part} than {PREDICTIONS}") from error


def result_folder(planned: PlannedRun) -> ResultFolder:
    kind = RunFolder if planned.tested_on is None else EvaluationFolder
    return kind(planned.folder)


def damaged(folder: Path, error: Exception) -> UserError:
    """Return the error for a finished run that cannot be read."""
    return UserError(
        f"{folder} is marked as finished, but cannot be read ({error}): "
        "train it again with force=true"
    )


def costs(runs: Sequence[Run]) -> pd.DataFrame:
    """Return `seconds, date, threads, commit` of each run, as far as known."""
    names = ("seconds", "date", "threads", "commit")
    rows = [[run.cost.get(name) for name in names] for run in runs]
    return pd.DataFrame(rows, columns=list(names))


def _require_distinct(grid: Grid) -> None:
    folders: dict[tuple[str, str, str, int, int], Path] = {}
    for planned in grid.runs:
        key = (*planned.cell, planned.seed, planned.fold)
        other = folders.setdefault(key, planned.folder)
        if other != planned.folder:
            raise UserError(
                f"{other} and {planned.folder} are the same run (system, corpus, target, seed and "
                "fold): report on a folder that has only one of them"
            )


def _read_curves(path: Path, validation: str) -> dict[str, np.ndarray]:
    """Read training losses and the validation score, one value per epoch."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    return {
        name: np.array([float(row[number] or "nan") for row in rows])
        for number, name in enumerate(names)
        if name == validation or (name.startswith("train/") and name.endswith("loss"))
    }
