"""Finished runs, read back and reduced to counts: all that a report needs of them.

Every number of a report is a function of confusion matrices and reliabilities, which add up over
folds, speakers and seeds. So a run's predictions are counted as they are read, and 1,500 runs take
little memory.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from rich.console import Console
from rich.progress import track

from ser import metrics, results
from ser.errors import UserError
from ser.sweeps.grid import Grid, PlannedRun

# What scores are broken down by, as far as `utterances.csv` tells it.
COLUMNS = ("gender", "session", "speaker", "style", "text")
# What curves are drawn of, beside `train/*_loss`.
VALIDATION = "val/ua"
PREDICTED = ("utterance", "part", "truth", "prediction")

# Confusion matrix (C, C) by value of a column of `utterances.csv`, by column.
Slices = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Counts:
    """The predictions of one part of one run.

    Attributes:
        confusion: (C, C), rows are the truth.
        reliability: (BINS, 3), see `ser.metrics`.
        slices: the same by speaker, gender, ...; None: the run left no `utterances.csv`.
        digest: equal where the same utterances have the same truths.
    """

    confusion: np.ndarray
    reliability: np.ndarray
    slices: Slices | None
    digest: int


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        planned: what was asked for.
        classes: C names, in the target's order.
        parts: "val" and "test", as far as somebody is in them.
        trained_on: how many labelled utterances.
        fold_count: how many folds its split has, in this grid or not.
        remarks: that must stand beside its scores.
        curves: columns of `metrics.csv` by name, a value an epoch; empty: not trained by epochs.
    """

    planned: PlannedRun
    classes: tuple[str, ...]
    parts: Mapping[str, Counts]
    trained_on: int
    fold_count: int
    remarks: tuple[str, ...]
    curves: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Asked:
    """What runs of one fold have in common: who was tested, and what is known of them.

    Attributes:
        utterance, part: columns of `predictions.csv`.
        source: of `utterances.csv`, all of it; None: there is none.
        rows: numbers of the rows of each part.
        hashes: of the utterances, (N,) uint64.
        columns: by part and column, which value each row of the part has, and the values.
    """

    utterance: pa.ChunkedArray
    part: pa.ChunkedArray
    source: bytes | None
    rows: Mapping[str, np.ndarray]
    hashes: np.ndarray
    columns: Mapping[str, Mapping[str, tuple[np.ndarray, list[str]]]] | None

    def fits(self, table: pa.Table, source: bytes | None) -> bool:
        return (
            self.source == source
            and self.utterance.equals(table["utterance"])
            and self.part.equals(table["part"])
        )


# By corpus, target and fold: whatever was trained on it, the same utterances are tested.
_Known = dict[tuple[str, str, int], _Asked]


def finished_runs(grid: Grid, console: Console | None = None) -> list[Run]:
    """The finished runs of a grid, in its order.

    Args:
        grid: which runs there should be.
        console: where progress is shown, if it is a terminal.

    Raises:
        UserError: two folders hold the same run, or a finished one is damaged.
    """
    _require_distinct(grid)
    known: _Known = {}
    planned = track(
        grid.runs,
        "reading runs",
        console=console,
        transient=True,
        disable=console is None or not console.is_terminal,
    )
    found = ((each, _result(each)) for each in planned)
    return [read(each, result, known) for each, result in found if result is not None]


def with_evaluations(grid: Grid) -> Grid:
    """A grid and, after its runs, what there is to be of their tests on other corpora.

    Where one run of a corpus and target was tested on another corpus, all are taken to be meant.
    """
    others: dict[tuple[str, str], set[str]] = defaultdict(set)
    for run in grid.runs:
        for file in (run.folder / results.EVALUATED).glob(f"*/{results.EVALUATION}"):
            others[where(run)[1:]].add(file.parent.name)
    made = [
        # What its paper published is of its own corpus.
        replace(run, folder=run.folder / results.EVALUATED / name, paper=None, tested_on=name)
        for run in grid.runs
        for name in sorted(others[where(run)[1:]])
    ]
    return replace(grid, runs=(*grid.runs, *made))


def _result(planned: PlannedRun) -> dict[str, Any] | None:
    name = results.RESULT if planned.tested_on is None else results.EVALUATION
    return results.read_json(planned.folder / name)


def costs(runs: list[Run]) -> pd.DataFrame:
    """What each run took, one row a run: `seconds, date, threads, commit`, as far as known."""
    names = ("seconds", "date", "threads", "commit")
    told = [results.read_json(run.planned.folder / results.COST) or {} for run in runs]
    return pd.DataFrame([[each.get(name) for name in names] for each in told], columns=list(names))


def identity(planned: PlannedRun) -> tuple[str, str, str, int, int]:
    """What tells a run from every other: system, corpus, target, seed, fold."""
    return (*where(planned), planned.seed, planned.fold)


def where(planned: PlannedRun) -> tuple[str, str, str]:
    """Of which cell a run is: system, corpus, target."""
    return planned.system, planned.corpus, planned.choices["target"]


def read(planned: PlannedRun, result: Mapping[str, Any], known: _Known) -> Run:
    """One finished run.

    Args:
        planned: what was asked for.
        result: content of its `result.json`.
        known: what is known of folds met before; added to.

    Raises:
        UserError: its files are missing, damaged or contradict each other.
    """
    folder = planned.folder
    try:
        classes = tuple(result["classes"])
        # A quarter of the time that pandas takes, which counts for 1,500 runs.
        table = _predictions(folder / results.PREDICTIONS, classes)
        path = folder / results.UTTERANCES
        source = path.read_bytes() if path.exists() else None
        place = (*where(planned)[1:], planned.fold)
        asked = known.get(place)
        if asked is None or not asked.fits(table, source):
            asked = known[place] = _asked(folder, table, source)
        return Run(
            planned,
            classes,
            dict(_counts(table, classes, asked)),
            sum(result["class_counts"]["train"].values()),
            result["fold_count"],
            tuple(result["remarks"]),
            _curves(folder / results.METRICS),
        )
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise damaged(folder, error) from error


def damaged(folder: Path, error: Exception) -> UserError:
    """What to say of a finished run that cannot be read."""
    return UserError(
        f"{folder} is marked as finished, but cannot be read ({error}): "
        "train it again with force=true"
    )


def _require_distinct(grid: Grid) -> None:
    places: dict[tuple[str, str, str, int, int], Path] = {}
    for planned in grid.runs:
        other = places.setdefault(identity(planned), planned.folder)
        if other != planned.folder:
            raise UserError(
                f"{other} and {planned.folder} are the same run (system, corpus, target, seed and "
                "fold): report on a folder that holds one of them"
            )


def _predictions(path: Path, classes: Sequence[str]) -> pa.Table:
    kinds = dict.fromkeys(PREDICTED, pa.string())
    kinds |= dict.fromkeys((f"p_{name}" for name in classes), pa.float64())
    return pyarrow.csv.read_csv(
        path,
        pyarrow.csv.ReadOptions(use_threads=False),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(include_columns=list(kinds), column_types=kinds),
    )


def _counts(
    table: pa.Table, classes: tuple[str, ...], asked: _Asked
) -> Iterator[tuple[str, Counts]]:
    """The parts of a run by name."""
    size, names = len(classes), pa.array(classes, pa.string())
    truth, told = (
        pyarrow.compute.fill_null(pyarrow.compute.index_in(table[column], names), -1).to_numpy()
        for column in ("truth", "prediction")
    )
    if min(truth.min(initial=0), told.min(initial=0)) < 0:
        raise ValueError(f"{results.PREDICTIONS} names a class that {results.RESULT} does not")
    sure = np.max([table[f"p_{name}"].to_numpy() for name in classes], axis=0)
    for part, rows in asked.rows.items():
        flat = truth[rows] * size + told[rows]
        slices = None
        if asked.columns is not None:
            slices = {
                column: _by_value(codes, values, flat, size)
                for column, (codes, values) in asked.columns[part].items()
            }
        matrix = np.bincount(flat, minlength=size**2).reshape(size, size)
        # Added up, so that the order of utterances and how folds part them are no matter.
        digest = (asked.hashes[rows] * (2 * truth[rows] + 1).astype(np.uint64)).sum()
        found = metrics.reliability(sure[rows], truth[rows] == told[rows])
        yield part, Counts(matrix, found, slices, int(digest))


def _by_value(
    codes: np.ndarray, values: list[str], flat: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """A confusion matrix for each value."""
    counts = np.bincount(codes * size**2 + flat, minlength=len(values) * size**2)
    return dict(zip(values, counts.reshape(len(values), size, size), strict=True))


def _asked(folder: Path, table: pa.Table, source: bytes | None) -> _Asked:
    utterance, part = table["utterance"], table["part"]
    parts = part.to_pandas()
    ids = utterance.to_pandas()
    rows = {str(name): np.flatnonzero(parts == name) for name in parts.unique()}
    hashes = pd.util.hash_array(ids.to_numpy(object))
    columns = None
    if source is not None:
        known = results.RunFolder(folder).read_utterances()
        columns = {
            name: _factorised(known[known["part"] == name], ids.iloc[rows[name]]) for name in rows
        }
    return _Asked(utterance, part, source, rows, hashes, columns)


def _factorised(known: pd.DataFrame, ids: pd.Series) -> dict[str, tuple[np.ndarray, list[str]]]:
    places = pd.Index(known["utterance"]).get_indexer(pd.Index(ids))
    if (places < 0).any():
        raise ValueError(f"{results.UTTERANCES} lacks utterances of {results.PREDICTIONS}")
    found = {}
    for column in COLUMNS:
        if column in known:
            codes, values = pd.factorize(known[column].iloc[places])
            found[column] = (codes, [str(value) for value in values])
    return found


def _curves(path: Path) -> dict[str, np.ndarray]:
    """Losses of training, and UA of validation, a row an epoch."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    return {
        name: np.array([float(row[number] or "nan") for row in rows])
        for number, name in enumerate(names)
        if name == VALIDATION or (name.startswith("train/") and name.endswith("loss"))
    }
