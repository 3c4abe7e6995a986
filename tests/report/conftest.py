"""A finished grid and its report, shared by tests that do not change them."""

import pytest
from made_runs import write_grid
from written import Written, write_report

from ser.report import compute
from ser.report.data import ReportData
from ser.sweeps.grid import Grid


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """Two systems, three seeds, six folds, all finished; do not modify."""
    return write_grid(tmp_path_factory.mktemp("finished") / "runs")


@pytest.fixture(scope="session")
def data(finished: Grid) -> ReportData:
    return compute(finished)


@pytest.fixture(scope="session")
def shared(finished: Grid, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The report of the finished grid; do not modify."""
    return write_report(finished, tmp_path_factory.mktemp("shared") / "out")
