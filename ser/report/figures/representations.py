"""Losses and codes of representations, and the run of each system that shows them.

As in sahu2017 (figures 2 and 3) one run is shown, because codes of several runs have no mean.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ser.report.cells import Cell
from ser.report.data import ReportData
from ser.report.gather import Run, damaged
from ser.results import METRICS, RunFolder, restored

MOST = 12  # cells that are drawn, at most
SIDES = ("train", "test")  # splits whose losses are drawn
CODES = ("code_0", "code_1")
NAMES = ("utterance", "part", "truth")

# Reads what is shown of the representation of a run; None if it has no such thing.
Reader = Callable[[RunFolder], pd.DataFrame | None]


@dataclass(frozen=True)
class Example:
    """The run that shows the representation of a cell.

    Attributes:
        cell: Cell of the run.
        run: First run of the complete seeds, by seed and fold, that has such a table.
        table: Losses or codes.
    """

    cell: Cell
    run: Run
    table: pd.DataFrame


def with_losses(data: ReportData) -> list[Example]:
    """Return cells whose representation was trained by epochs, with losses."""
    return _examples(data, read_losses)


def with_planes(data: ReportData) -> list[Example]:
    """Return cells whose codes have two values, with codes."""
    return _examples(data, read_plane, are_coloured)


def with_codes(data: ReportData) -> list[Example]:
    """Return cells whose codes have more than two values, with codes."""
    return _examples(data, read_codes, are_coloured)


def are_coloured(cell: Cell) -> bool:
    """Return whether codes have a class or value each, which colours them: not of tasks."""
    return "codes" in cell.scoring.figures and all(run.task is None for run in cell.runs.values())


def _examples(
    data: ReportData, reader: Reader, are_drawn: Callable[[Cell], bool] = lambda _: True
) -> list[Example]:
    firsts = (next(_readable(cell, reader), None) for cell in data.cells if are_drawn(cell))
    return [each for each in firsts if each is not None]


def _readable(cell: Cell, reader: Reader) -> Iterator[Example]:
    for run in cell.complete_runs:
        try:
            table = reader(RunFolder(run.planned.folder))
        except (OSError, ValueError, KeyError) as error:
            raise damaged(run.planned.folder, error) from error
        if table is not None:
            yield Example(cell, run, table)


def about_runs(data: ReportData, examples: Sequence[Example]) -> str:
    """Return which runs are drawn, in at most two sentences."""
    cells_of: dict[str, list[Cell]] = {}
    for each in examples[:MOST]:
        planned = each.run.planned
        cells_of.setdefault(f"fold {planned.fold}, seed {planned.seed}", []).append(each.cell)
    runs = [
        run if len(cells_of) == 1 else f"{run} ({data.cell_names(cells)})"
        for run, cells in cells_of.items()
    ]
    total = len(examples)
    more = f" The first {MOST} of {total} systems are drawn." if total > MOST else ""
    return f"{'; '.join(runs)}.{more}"


# ---- files of a representation


def read_losses(run: RunFolder) -> pd.DataFrame | None:
    """Read columns `train/..._loss` and `test/..._loss`, one row per epoch.

    Args:
        run: Run with the representation.

    Returns:
        None if it was not trained by epochs.
    """
    file = run.representation / METRICS
    if not file.exists():
        return None
    table = pd.read_csv(file)
    columns = map(str, table)
    names = [name for name in columns if name.partition("/")[0] in SIDES and name.endswith("loss")]
    losses = table[names].astype(float)
    losses = losses.where(np.isfinite(losses)).dropna(axis=1, how="all")
    return None if losses.empty else losses


def read_plane(run: RunFolder) -> pd.DataFrame | None:
    """Read columns `utterance, part, truth, code_0, code_1`.

    Args:
        run: Run with the representation.

    Returns:
        None without codes, or if codes do not have two values.
    """
    file = run.codes_file
    if not file.exists():
        return None
    with file.open(newline="") as lines:
        header = next(csv.reader(lines), [])
    if tuple(name for name in header if name.startswith("code_")) != CODES:
        return None
    types = {"utterance": str, "part": str, "truth": str} | dict.fromkeys(CODES, float)
    na_values: dict[str, list[str]] = {name: [] for name in NAMES}
    table = restored(pd.read_csv(file, dtype=types, na_values=na_values, keep_default_na=False))
    if not np.isfinite(table[list(CODES)].to_numpy()).all():
        raise ValueError(f"{file.name} has values that are not finite")
    return table


def read_codes(run: RunFolder) -> pd.DataFrame | None:
    """Read columns `utterance, part, truth, code_0, code_1, ...` of utterances or segments.

    Args:
        run: Run with the representation.

    Returns:
        None without codes, if codes have one or two values, or, for runs of an earlier version,
        if the speakers of the training split are unknown.
    """
    of_segments, of_utterances = run.segment_codes_file, run.codes_file
    if of_segments.exists():
        with np.load(of_segments, allow_pickle=False) as arrays:
            codes, columns = arrays["codes"], {name: arrays[name] for name in NAMES}
        names = [f"code_{number}" for number in range(codes.shape[1])]
        table = pd.DataFrame(columns).join(pd.DataFrame(codes, columns=names))
    elif of_utterances.exists():
        types: dict[str, type] = {name: str for name in NAMES}
        table = restored(pd.read_csv(of_utterances, dtype=types, keep_default_na=False))
    else:
        return None
    codes = table.filter(like="code_")
    if codes.shape[1] <= len(CODES) or not _knows_speakers(run, table):
        return None
    if not np.isfinite(codes.to_numpy(float)).all():
        raise ValueError("codes have values that are not finite")
    return table


def _knows_speakers(run: RunFolder, table: pd.DataFrame) -> bool:
    """Return whether a run's `utterances.csv` has the speaker of each utterance of a table."""
    if not run.utterances_file.exists():
        return False
    known = run.read_utterances()
    return "speaker" in known and bool(table["utterance"].isin(known["utterance"]).all())
