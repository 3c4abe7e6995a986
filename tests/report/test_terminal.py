"""What a report prints: the conclusion, tables, and what explains them."""

import re
from pathlib import Path

import pytest
from made_runs import planned, write, write_grid, write_values
from written import Written, write_report

from ser.report import compute
from ser.report.conclusion import sentences
from ser.report.terminal import EXPLAINED
from ser.sweeps.grid import Grid

# Names of scores, and marks, that are explained if they are shown.
SCORES = ("UA", "WA", "F1", "CCC", "Pearson", "RMSE", "MAE")


def shown_and_explained(printed: str) -> tuple[set[str], set[str]]:
    """Return the names in the headers of tables, and those that are explained."""
    lines = printed.splitlines()
    headers = "  ".join(line for line in lines if re.match(r" system  ", line))
    words = {name for name in SCORES if re.search(rf"\b{name}\b", headers)}
    words |= {
        name for name in EXPLAINED if re.search(rf"\s{re.escape(name)}(?=\s\s|\s?$)", headers)
    }
    tables = "\n".join(line for line in lines if line.startswith(" "))
    words |= {"±"} if "±" in tables else set()
    names = (*SCORES, *EXPLAINED)
    return words, {name for name in names if any(line.startswith(f"{name}: ") for line in lines)}


def published(root: Path) -> Grid:
    paper = {"key": "p", "published": {"activation": {"ua": 77.74}}}
    return write_grid(root, seeds=1, folds=2, paper=paper, baseline=None)


def values(root: Path) -> Grid:
    runs = [
        write_values(planned(root, system, seed, fold))
        for system in ("mlp", "aae")
        for seed in range(2)
        for fold in range(3)
    ]
    return Grid("values", tuple(runs), "mlp")


@pytest.mark.parametrize("make", [write_grid, published, values])
def test_columns_are_explained_and_nothing_else(make: object, tmp_path: Path) -> None:
    assert callable(make)
    written = write_report(make(tmp_path / "runs"), tmp_path / "out")
    shown, explained = shown_and_explained(written.printed)
    assert shown == explained
    assert ("d_z" in shown) == (make is not published)
    assert ("published" in shown) == (make is published)
    assert ("±" in shown) == (make is not published)
    assert "ECE" not in written.printed


def test_conclusion_comes_first(shared: Written) -> None:
    lines = shared.printed.splitlines()
    expected = sentences(compute(shared.grid))
    assert lines[1 : 1 + len(expected)] == expected
    assert "main test over sessions" in shared.printed
    assert "because folds share trainings" in shared.printed


def test_tables_fit_eighty_columns(shared: Written, tmp_path: Path) -> None:
    printed = write_report(shared.grid, tmp_path / "out", width=80).printed
    assert max(map(len, printed.splitlines())) <= 80
    (row,) = re.findall(r"^ aae .*to.*\*.*$", printed, re.M)
    assert row.startswith(" aae     +") or row.startswith(" aae          +")


def test_untested_system_says_why(tmp_path: Path) -> None:
    runs = [write(planned(tmp_path, system)) for system in ("mlp", "aae")]
    printed = write_report(Grid("one", tuple(runs), "mlp"), tmp_path / "out").printed
    assert re.search(r"^ aae +- +- +- +untested +- *$", printed, re.M)
    assert "aae: not tested: needs two speakers." in printed
