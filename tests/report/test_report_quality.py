"""Reports show what representations have learned beside the untrained network."""

import json
from pathlib import Path

import pytest
from made_runs import write_grid

from ser import results
from ser.report import summarise
from ser.report.contents import Contents
from ser.report.documents import latex, markdown
from ser.report.gather import finished_runs
from ser.report.page import html
from ser.sweeps.grid import Grid


def contents(grid: Grid) -> Contents:
    return Contents(summarise(grid, finished_runs(grid)))


@pytest.mark.parametrize(
    ("probe", "shown"),
    [
        ("probe_ua", ("61.0 ± 0.0", "60.0 ± 0.0")),
        ("probe_ccc", ("-", "-", "0.610 ± 0.000", "0.600 ± 0.000")),
    ],
)
def test_representations_have_a_row_each_and_earlier_runs_none(
    probe: str, shown: tuple[str, ...], tmp_path: Path
) -> None:
    grid = write_grid(tmp_path, seeds=1, folds=2)
    assert contents(grid).quality is None  # as made by an earlier version
    for run in grid.runs:
        if run.system == "aae":
            r2 = {"train": 0.5 + run.fold, "val": -0.25}
            upper = {"r2": r2, probe: {"trained": 0.61, "untrained": 0.6}}
            quality = {"lower": {"explained_variance": 0.75}, "upper": upper}
            file = run.folder / results.RESULT
            file.write_text(json.dumps(json.loads(file.read_text()) | {"representation": quality}))
    made = contents(grid)
    assert made.quality is not None
    assert [row[1:] for row in made.quality.rows] == [
        ("aae", "lower", "-", "-", "75.0 ± 0.0", *["-"] * len(shown)),
        ("aae", "upper", "1.000 ± 0.707", "-0.250 ± 0.000", "-", *shown),
    ]
    assert "R\\textsuperscript{2}" in latex(made)
    for document in (markdown(made), html(made, []), latex(made)):
        assert "What representations have learned" in document
