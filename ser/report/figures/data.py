"""The numbers behind each figure, as CSV files beside it."""

from collections.abc import Callable, Iterable

import pandas as pd

from ser.report.cells import Cell
from ser.report.data import ReportData
from ser.report.figures import confusion, density, dots, layers, learning_curves, reliability
from ser.report.figures.representations import MOST, with_losses

KEYS = ["system", "corpus", "target"]


def tables(data: ReportData) -> dict[str, pd.DataFrame]:
    """Return the table of each figure that draws single cells, by the name of its file."""

    def of_kind(figure: str, table: Callable[[Cell], pd.DataFrame]) -> pd.DataFrame:
        drawn = [c for c, _ in data.scored if figure in c.scoring.figures]
        return _joined((c, table(c)) for c in drawn if c.details(c.part).any())

    losses = with_losses(data)[:MOST]
    return {
        "dots": _joined((cell, dots.table(cell, summed)) for cell, summed in data.scored),
        "confusions": of_kind("confusions", confusion.table),
        "reliability": of_kind("reliability", reliability.table),
        "density": of_kind("density", density.table),
        "curves": _joined((cell, learning_curves.table(cell)) for cell, _ in data.scored),
        "layers": _joined((cell, _long(layers.table(cell))) for cell, _ in data.scored),
        "losses": _joined((each.cell, _by_epoch(each.table)) for each in losses),
    }


def _joined(parts: Iterable[tuple[Cell, pd.DataFrame]]) -> pd.DataFrame:
    """Return the tables of cells below each other, with the names of the cells."""
    named = [
        part.assign(system=cell.system, corpus=cell.corpus, target=cell.target)
        for cell, part in parts
        if len(part)
    ]
    if not named:
        return pd.DataFrame(columns=KEYS)
    table = pd.concat(named, ignore_index=True)
    return table[[*KEYS, *(name for name in table if name not in KEYS)]]


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run and layer."""
    if table.empty:
        return table
    return table.reset_index().melt(["seed", "fold"], var_name="layer")


def _by_epoch(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row per loss and epoch; "train/" or "test/" is in the name of the loss."""
    by_epoch = table.rename_axis("epoch").reset_index()
    return by_epoch.melt("epoch", var_name="loss").dropna()
