"""A finished grid and its report, shared by tests that do not change them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import plan_grid, write
from written import Written, write_report

from ser.report import compute
from ser.report.data import ReportData
from ser.sweeps.grid import Grid


@pytest.fixture(scope="session")
def finished_grid(once: Callable[..., Path]) -> Grid:
    """Two systems, three seeds, six folds, all finished; do not modify."""

    def fill(folder: Path) -> None:
        for run in plan_grid(folder).runs:
            write(run)

    return plan_grid(once("grid", fill))


@pytest.fixture(scope="session")
def data(finished_grid: Grid) -> ReportData:
    return compute(finished_grid)


@pytest.fixture(scope="session")
def shared(finished_grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The report of the finished grid; do not modify."""
    return write_report(finished_grid, tmp_path_factory.mktemp("shared") / "out")
