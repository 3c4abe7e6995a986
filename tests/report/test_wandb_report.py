"""The report that Weights & Biases gets, read back from the file that an offline run leaves."""

import json
from html import escape
from pathlib import Path
from typing import Any

import pytest
from made_runs import write_grid
from offline import read
from PIL import Image

from ser.errors import UserError
from ser.report import compute
from ser.report import write as write_report
from ser.report.conclusion import sentences
from ser.runs.logged_report import log_report


def test_a_report_is_one_run_that_is_replaced(tmp_path: Path) -> None:
    grid = write_grid(tmp_path / "runs", seeds=1, folds=2)
    data, out = compute(grid), tmp_path / "out"
    options: dict[str, Any] = {"project": "s", "group": None, "mode": None, "tags": ["x"]}
    with pytest.raises(
        UserError, match="no report; make it with python -m ser report grid=made_up"
    ):
        log_report(data, ["iemocap"], out, **options)
    write_report(data, out)
    Image.new("RGB", (4, 4)).save(out / "confusion.png")
    ids = []
    for _ in range(2):
        log_report(data, ["iemocap"], out, **options)
        found = read(out)
        ids.append(found.about.run_id)
    assert ids[0] == ids[1]
    assert found.about.run_group == "made_up"
    assert found.about.job_type == "report"
    assert list(found.about.tags) == ["iemocap", "x"]
    (row,) = found.rows

    def file(name: str) -> Path:
        return found.files / row[f"{name}/path"]

    table = json.loads(file("tests").read_text())
    assert table["columns"][:3] == ["kind", "main", "system"]
    (main,) = (each for each in table["data"] if each[1] is True)
    assert main[:3] == ["sessions", True, "aae"]
    assert None in main  # two folds of one session: not tested
    assert file("index").read_text() == (out / "index.html").read_text()
    assert file("dots").read_text() == (out / "dots.svg").read_text()
    assert file("confusion.png").read_bytes() == (out / "confusion.png").read_bytes()
    # The first page is that of the report.
    assert found.about.notes == "\n\n".join(sentences(data))
    conclusion = file("first_page/1_conclusion").read_text()
    assert all(escape(each) in conclusion for each in sentences(data))
    assert file("first_page/2_forest_plot").read_text() == (out / "forest.svg").read_text()
    shown = json.loads(file("first_page/3_main_table").read_text())
    assert shown["columns"] == ["system", "activation UA reproduced"]
    assert [each[0] for each in shown["data"]] == ["mlp", "aae", "chance"]
    tests = json.loads(file("first_page/4_main_tests").read_text())
    assert tests["data"][0][-1] == "not tested: needs two sessions"
