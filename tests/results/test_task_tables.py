"""Predictions of several tasks in long form: written, read back, scored and verified."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ser import metrics, results
from ser.results.verify import inconsistencies
from ser.runs.logged import confusions, flat_scores

TASKS = {"activation": [], "emotion": ["angry", "sad"], "valence": []}
IDS = pd.Index(["a", "b", "c", "d"])
TRUTH = {
    "activation": pd.Series([1.0, -4.5, 10 / 3], ["a", "b", "d"]),
    "emotion": pd.Series(["sad", "angry", "sad"], ["a", "c", "d"]),
    "valence": pd.Series([2.0], ["z"]),  # of nobody in the split
}


def made() -> pd.DataFrame:
    predicted = np.array(
        [
            [1.5, 0.3, 0.7, 3.0], [-4.0, 0.9, 0.1, 3.0], [2.0, 0.6, 0.4, 3.0],
            [3.0, 0.8, 0.2, 3.0],
        ],
        np.float32,
    )  # fmt: skip
    return results.task_predictions("test", IDS, TRUTH, predicted, TASKS)


def test_each_task_has_rows_of_the_utterances_that_have_its_label(tmp_path: Path) -> None:
    folder = results.RunFolder(tmp_path)
    folder.write_predictions(made())
    table = folder.read_predictions()
    columns = ["utterance", "part", "task", "truth", "prediction", "p_angry", "p_sad"]
    assert list(table) == columns
    assert list(zip(table["task"], table["utterance"], strict=True)) == [
        ("activation", "a"), ("activation", "b"), ("activation", "d"),
        ("emotion", "a"), ("emotion", "c"), ("emotion", "d"),
    ]  # fmt: skip
    assert table["truth"].tolist() == [1.0, -4.5, 3.33333333, "sad", "angry", "sad"]
    assert table["prediction"].tolist() == [1.5, -4.0, 3.0, "sad", "angry", "angry"]
    assert table["p_sad"].isna().tolist() == [True] * 3 + [False] * 3
    again = results.RunFolder(tmp_path / "again")
    again.path.mkdir()
    again.write_predictions(table)
    assert again.predictions_file.read_bytes() == folder.predictions_file.read_bytes()


def test_tasks_of_one_kind_have_columns_of_one_type(tmp_path: Path) -> None:
    folder = results.RunFolder(tmp_path)
    for task, kind in (("activation", float), ("emotion", str)):
        folder.write_predictions(made()[made()["task"] == task].dropna(axis=1))
        assert {type(each) for each in folder.read_predictions()["truth"]} == {kind}


def test_scores_are_by_task_and_their_mean_comes_first() -> None:
    scores = results.task_scores(made(), "test", TASKS)
    assert scores is not None
    assert list(scores["tasks"]) == ["activation", "emotion"]
    moments = metrics.moments(np.array([1.0, -4.5, 10 / 3]), np.array([1.5, -4.0, 3.0]))
    ccc = float(metrics.ccc(moments))
    assert scores["tasks"]["activation"]["ccc"] == pytest.approx(ccc)
    assert scores["tasks"]["emotion"]["ua"] == 0.75
    assert results.first_score(scores) == pytest.approx((ccc + 0.75) / 2)
    assert results.task_scores(made(), "val", TASKS) is None
    flat = flat_scores({"test": scores, "val": None})
    assert flat["test/activation/ccc"] == pytest.approx(ccc)
    assert flat["test/emotion/recall/sad"] == 0.5
    assert list(confusions({"test": scores})) == ["test/emotion/confusion_counts"]


def finished(folder: results.RunFolder, table: pd.DataFrame, **changes: Any) -> list[str]:
    """Return what is inconsistent in a run with recorded scores of `made()`, and a table."""
    folder.write_predictions(table)
    folder.write_utterances(pd.DataFrame({"utterance": IDS, "part": "test"}))
    record = {
        "classes": [],
        "tasks": TASKS,
        "class_counts": {},
        "val": None,
        "test": results.task_scores(made(), "test", TASKS),
        **changes,
    }
    results.write_json(folder.record_file, record)
    return list(inconsistencies(folder))


def test_scores_are_verified_by_task(tmp_path: Path) -> None:
    folder = results.RunFolder(tmp_path)
    assert finished(folder, made()) == []
    wrong = made()
    wrong.loc[1, "prediction"] = -3.0
    assert any("task activation: test CCC is" in each for each in finished(folder, wrong))
    wrong = made()
    wrong.loc[3, ["prediction", "p_angry", "p_sad"]] = ["angry", 0.7, 0.3]
    problems = finished(folder, wrong)
    assert problems
    assert all(each.startswith("task emotion: test") for each in problems)
    assert any("twice" in each for each in finished(folder, pd.concat([made(), made()])))
    infinite = made()
    infinite.loc[0, "prediction"] = np.inf
    assert any("not finite" in each for each in finished(folder, infinite))
    unknown = made().replace({"task": {"emotion": "mood"}})
    assert any("has a task that result.json lacks: mood" in e for e in finished(folder, unknown))


def test_scores_of_a_single_value_are_verified(tmp_path: Path) -> None:
    values = results.predictions("test", TRUTH["activation"], np.array([[1.5], [-4], [3]]), [])
    scores = results.split_scores(values, "test", [])
    assert scores is not None
    folder, ids = results.RunFolder(tmp_path), TRUTH["activation"].index

    def problems(**recorded: float) -> list[str]:
        folder.write_predictions(values)
        folder.write_utterances(pd.DataFrame({"utterance": ids, "part": "test"}))
        record = {"classes": [], "class_counts": {}, "val": None, "test": {**scores, **recorded}}
        results.write_json(folder.record_file, record)
        return list(inconsistencies(folder))

    assert problems() == []
    (problem,) = problems(rmse=0.1)
    assert problem.startswith("test RMSE is")
