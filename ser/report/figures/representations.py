"""Representations: which run of a system shows its own, and the losses that trained it, by epoch.

As in sahu2017 (figures 2 and 3) it is one run: a mean over runs has no codes to look at.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ser import results
from ser.plots.svg import (
    BOTTOM,
    HIGH,
    LEFT,
    PALETTE,
    RIGHT,
    TOP,
    WIDE,
    Figure,
    horizontal,
    points,
    scale,
    text,
)
from ser.report.figures.panels import by_epoch, called, key, span
from ser.report.findings import Findings
from ser.report.gather import Run, damaged
from ser.report.scores import Cell

MOST = 12  # cells that are drawn
SIDES = {"train": "training part", "test": "test part"}
CODES = ("code_0", "code_1")
DRAWN = ("train", "val")  # whose codes of many values are drawn: the test part decides nothing
TOLD = ("utterance", "part", "truth")
HEAD = 14  # above a panel

# From the folder of a representation, what is shown of it; None: it has none.
Reader = Callable[[Path], pd.DataFrame | None]


@dataclass(frozen=True)
class Shown:
    """What is shown of a cell's representation.

    Attributes:
        cell: whose.
        run: the first of its complete seeds, by seed and fold, that has it.
        table: of losses or codes.
    """

    cell: Cell
    run: Run
    table: pd.DataFrame


def with_losses(found: Findings) -> list[Shown]:
    """Cells with a representation that was trained by epochs, each with its losses."""
    return _shown(found, read_losses)


def with_planes(found: Findings) -> list[Shown]:
    """Cells with codes of two values, each with its codes."""
    return _shown(found, read_codes)


def with_many(found: Findings) -> list[Shown]:
    """Cells with codes of more than two values, each with its codes."""
    return _shown(found, read_many)


def _shown(found: Findings, reader: Callable[[Path], pd.DataFrame | None]) -> list[Shown]:
    firsts = (next(_having(cell, reader), None) for cell in found.cells)
    return [each for each in firsts if each is not None]


def _having(cell: Cell, reader: Reader) -> Iterator[Shown]:
    for run in cell.counted:
        try:
            table = reader(run.planned.folder / results.REPRESENTATION)
        except (OSError, ValueError, KeyError) as error:
            raise damaged(run.planned.folder, error) from error
        if table is not None:
            yield Shown(cell, run, table)


def which(found: Findings, shown: Sequence[Shown]) -> str:
    """Which runs are drawn, in two sentences at most."""
    places: dict[str, list[Cell]] = {}
    for each in shown[:MOST]:
        planned = each.run.planned
        places.setdefault(f"fold {planned.fold}, seed {planned.seed}", []).append(each.cell)
    told = [
        place if len(places) == 1 else f"{place} ({found.named(cells)})"
        for place, cells in places.items()
    ]
    more = f" The first {MOST} of {len(shown)} are drawn." if len(shown) > MOST else ""
    return f"{'; '.join(told)}.{more}"


# ---- what runs left


def read_losses(folder: Path) -> pd.DataFrame | None:
    """Columns `train/..._loss` and `test/..._loss`, a row an epoch; None: not trained by epochs.

    Args:
        folder: of a representation.
    """
    if not (folder / results.METRICS).exists():
        return None
    table = pd.read_csv(folder / results.METRICS)
    named = map(str, table)
    names = [name for name in named if name.partition("/")[0] in SIDES and name.endswith("loss")]
    losses = table[names].astype(float)
    losses = losses.where(np.isfinite(losses)).dropna(axis=1, how="all")
    return None if losses.empty else losses


def read_codes(folder: Path) -> pd.DataFrame | None:
    """Columns `utterance, part, truth, code_0, code_1`; None: no codes, or not of two values.

    Args:
        folder: of a representation.
    """
    path = folder / results.CODES
    if not path.exists():
        return None
    with path.open(newline="") as file:
        header = next(csv.reader(file), [])
    if tuple(name for name in header if name.startswith("code_")) != CODES:
        return None
    kinds = {"utterance": str, "part": str, "truth": str} | dict.fromkeys(CODES, float)
    na_values: dict[str, list[str]] = {name: [] for name in ("utterance", "part", "truth")}
    table = pd.read_csv(path, dtype=kinds, na_values=na_values, keep_default_na=False)
    if not np.isfinite(table[list(CODES)].to_numpy()).all():
        raise ValueError(f"{results.CODES} holds what is no number")
    return table


def read_many(folder: Path) -> pd.DataFrame | None:
    """Columns `utterance, part, truth, code_0, code_1, ...`, a row an utterance or a segment.

    Args:
        folder: of a representation.

    Returns:
        None where there are no codes, codes of one or two values, or, of an earlier version, no
        speakers of the training part.
    """
    held, listed = folder / results.SEGMENT_CODES, folder / results.CODES
    if held.exists():
        with np.load(held, allow_pickle=False) as found:
            codes, told = found["codes"], {name: found[name] for name in TOLD}
        names = [f"code_{number}" for number in range(codes.shape[1])]
        table = pd.DataFrame(told).join(pd.DataFrame(codes, columns=names))
    elif listed.exists():
        kinds: dict[str, type] = {name: str for name in TOLD}
        table = pd.read_csv(listed, dtype=kinds, keep_default_na=False)
    else:
        return None
    codes = table.filter(like="code_")
    if codes.shape[1] <= len(CODES) or not _tells_speakers(folder.parent, table):
        return None
    if not np.isfinite(codes.to_numpy(float)).all():
        raise ValueError("codes hold what is no number")
    return table


def _tells_speakers(run: Path, table: pd.DataFrame) -> bool:
    """Whether a run's `utterances.csv` knows the speaker of each utterance of a table."""
    if not (run / results.UTTERANCES).exists():
        return False
    spoken = results.RunFolder(run).read_utterances()
    return "speaker" in spoken and bool(table["utterance"].isin(spoken["utterance"]).all())


# ---- losses


def losses(shown: Shown) -> Figure:
    """Losses by epoch, of the training part above and of the test part below, to one scale."""
    table, cell = shown.table, shown.cell
    names = list(map(str, table))
    phases = list(dict.fromkeys(map(called, names)))
    limits, is_log = span(table.to_numpy(), may_be_log=True)
    epochs = len(table) - 1
    x = scale((0, max(epochs, 1)), (LEFT, WIDE - RIGHT))
    y = scale(limits, (HIGH - BOTTOM, TOP), is_log)
    axes = "".join([*horizontal(limits, y, 1, is_log), *by_epoch(x, epochs)])
    panels, down = [], 0.0
    for side, told in SIDES.items():
        of_side = [name for name in names if name.startswith(f"{side}/")]
        lines = "".join(_line(phases.index(called(n)), table[n], x, y) for n in of_side)
        told += "" if of_side else ": no losses were recorded"
        head = text("cell", 0, 10, told)
        body = f'<g transform="translate(0 {HEAD})">{axes}{lines}</g>' if of_side else ""
        panels.append(f'<g transform="translate(0 {down:g})">{head}{body}</g>')
        down += HEAD + (HIGH if of_side else 4)
    keys = [each for n, phase in enumerate(phases) for each in key(n, down + 8, phase)]
    label = f"losses by epoch, {cell.system}, {cell.corpus}, {cell.target}"
    height = down + 7 + 13 * ((len(phases) + 1) // 2)
    return Figure("".join([*panels, *keys]), label, height)


def _line(
    number: int, losses: pd.Series, x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    known = losses.reset_index(drop=True).dropna()
    known = known.iloc[:: int(np.ceil(len(known) / WIDE))]
    places = points(
        (x(float(epoch)), y(loss)) for epoch, loss in zip(known.index, known, strict=True)
    )
    return f'<polyline class="line c{number % len(PALETTE)}" points="{places}"/>'
