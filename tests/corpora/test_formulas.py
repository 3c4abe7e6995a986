"""Texts that a spreadsheet would run as formulas."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser import results
from ser.results import csv_text, restored

ODD = ('=HYPERLINK("x")', "-neutral", "+1", "@sum", "\tjoy", "\rjoy", "'=1", "''-a", "'tis", "-'")


def read(text: str) -> pd.DataFrame:
    return restored(pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False))


@pytest.mark.parametrize("dtype", ["str", object, "category"])
def test_texts_and_headers_are_restored_and_no_cell_begins_as_a_formula(dtype: str) -> None:
    table = pd.DataFrame([ODD], columns=list(ODD)).T.reset_index(drop=True)
    table = table.set_axis(["=name"], axis=1).astype({"=name": dtype})
    text = csv_text(table)
    again = read(text)
    assert list(again) == ["=name"]
    assert again["=name"].tolist() == list(ODD)
    cells = pd.read_csv(io.StringIO(text), header=None, dtype=str, keep_default_na=False)[0]
    assert not cells.str.startswith(("=", "+", "-", "@", "\t", "\r")).any()
    assert list(table) == ["=name"]
    assert table["=name"].tolist() == list(ODD)  # the table itself is not changed


def test_usual_names_and_numbers_are_written_as_by_pandas() -> None:
    values = np.array([-0.5, 1 / 3, np.nan], np.float32)
    mixed = pd.Series([-1.5, None, "yes"], dtype=object)
    names = ["anger", "it's", "'quoted'"]
    table = pd.DataFrame({"truth": names, "-": values, "count": [-1, 0, 2], "mixed": mixed})
    table = table.rename(columns={"-": "valence"})
    assert csv_text(table, "%.9g") == table.to_csv(index=False, float_format="%.9g")
    assert restored(table) is table


def test_predictions_of_classes_named_as_formulas_are_read_back(tmp_path: Path) -> None:
    classes = ['=HYPERLINK("x")', "-neutral", "'=a", "joy"]
    truth = pd.Series(classes, ["=1", "-2", "'+3", "d"])
    rows = results.predictions("test", truth, np.eye(4, dtype=np.float32), classes)
    folder = results.RunFolder(tmp_path)
    folder.write_predictions(rows)
    pd.testing.assert_frame_equal(folder.read_predictions(), rows, check_dtype=False)
    cells = pd.read_csv(folder.predictions_file, dtype=str)
    assert cells["truth"].tolist() == ['\'=HYPERLINK("x")', "'-neutral", "''=a", "joy"]
    corpus = pd.DataFrame({"speaker": ["@a", "b"], "valence": [-0.5, 1.0]}, index=["=1", "b"])
    folder.write_utterances(results.utterances({"test": corpus.index}, corpus))
    table = folder.read_utterances()
    assert table["utterance"].tolist() == ["=1", "b"]
    assert table["speaker"].tolist() == ["@a", "b"]
    assert table["valence"].tolist() == ["-0.5", "1.0"]
    assert ",-0.5\n" in folder.utterances_file.read_text()


def test_tables_are_written_in_one_place() -> None:
    root = Path(results.__file__).parents[1]
    files = [path.name for path in root.rglob("*.py") if ".to_csv(" in path.read_text()]
    assert files == ["formulas.py"]
