"""What representations have learned: means over runs of what each run has measured."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ser.report.cells import Cell
from ser.report.data import ReportData
from ser.report.tables import Table
from ser.report.text import NONE, percent, spread

TITLE = "What representations have learned"
COLUMNS = ("corpus and target", "system", "part", "R² train", "R² val", "explained variance %")
UA_PROBES = ("probe UA %", "untrained: probe UA %")
CCC_PROBES = ("probe CCC", "untrained: probe CCC")  # of values
NOTES = (
    "Means and standard deviations over runs. R² is that of the reconstruction; the mean has 0. "
    "The probe is a linear classifier of the training codes, ridge regression for values, scored "
    "on validation, with the codes of the trained and of the untrained network.",
    "Where R² is not above 0, or the probe of the trained network is not above that of the "
    "untrained one, scores on these codes are no evidence that training helped.",
)
# Path of each number in `representation` of `result.json`.
NUMBERS = (
    ("r2", "train"),
    ("r2", "val"),
    ("explained_variance",),
    *(("probe_ua", "trained"), ("probe_ua", "untrained")),
    *(("probe_ccc", "trained"), ("probe_ccc", "untrained")),
)


def quality(data: ReportData) -> Table | None:
    """Return a row per representation, two of a stack; None if no run has measured one."""
    rows = [row for cell in data.cells if cell.tested_on is None for row in _rows(data, cell)]
    if not rows:
        return None
    columns = (*COLUMNS, *UA_PROBES, *CCC_PROBES)
    of_values = any(row[columns.index(CCC_PROBES[0])] != NONE for row in rows)
    shown = len(columns) if of_values else len(columns) - len(CCC_PROBES)
    return Table(TITLE, columns[:shown], tuple(r[:shown] for r in rows), left=3, notes=NOTES)


def _rows(data: ReportData, cell: Cell) -> Iterator[tuple[str, ...]]:
    measured = [run.representation for run in cell.runs.values() if run.representation]
    parts = [part for part in ("lower", "upper") if any(part in each for each in measured)]
    for part in parts or ([""] if measured else []):
        facts = [each.get(part, {}) if part else each for each in measured]
        means = [_mean(facts, path) for path in NUMBERS]
        yield data.column_name(cell.column), cell.system, part or NONE, *means


def _mean(facts: list[Mapping[str, Any]], path: tuple[str, ...]) -> str:
    """Return mean and standard deviation of a number over runs; shares in percent."""
    values = np.array([v for v in (_at(each, path) for each in facts) if v is not None], float)
    if not len(values):
        return NONE
    if path[0] in ("r2", "probe_ccc"):
        deviation = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
        return f"{values.mean():.3f}{deviation}"
    if len(values) == 1:
        return percent(values[0])
    return spread(values.mean(), values.std(ddof=1))


def _at(facts: Mapping[str, Any], path: tuple[str, ...]) -> float | None:
    value: Any = facts
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
