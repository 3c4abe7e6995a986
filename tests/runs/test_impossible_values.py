"""Predicted values that no rater could give are named, and change nothing."""

import pandas as pd
import pytest

from ser.data.targets import Target
from ser.runs.scoring import predictions_of, warn_of_impossible_values

IDS = pd.Index(["a", "b", "c", "d"])
RATINGS = pd.Series([1.5, 2.0, 3.0, 4.5], IDS)


def table_of(target: Target, values: list[list[float]]) -> pd.DataFrame:
    return predictions_of("test", target, IDS, pd.DataFrame(values).to_numpy())


def test_most_extreme_value_is_named(caplog: pytest.LogCaptureFixture) -> None:
    target = Target("valence", (), RATINGS)
    table = table_of(target, [[-435.7], [2.0], [3.0], [9.0]])
    before = table.copy()
    warn_of_impossible_values(table, target)
    (message,) = caplog.messages
    assert message.startswith(
        "2 of 4 values of valence cannot be: a is predicted as -435.7, ratings are 1.5 to 4.5."
    )
    pd.testing.assert_frame_equal(table, before)


def test_plausible_values_and_classes_are_not(caplog: pytest.LogCaptureFixture) -> None:
    target = Target("valence", (), RATINGS)
    warn_of_impossible_values(table_of(target, [[-1.4], [2.0], [3.0], [7.4]]), target)
    classes = Target("emotion", ("x", "y"), pd.Series(["x", "y", "x", "y"], IDS))
    warn_of_impossible_values(table_of(classes, [[0.5, 0.5]] * 4), classes)
    assert not caplog.messages


def test_values_among_several_tasks(caplog: pytest.LogCaptureFixture) -> None:
    emotion = Target("emotion", ("x", "y"), pd.Series(["x", "y", "x", "y"], IDS))
    tasks = (emotion, Target("valence", (), RATINGS))
    target = Target("attributes", (), RATINGS, tasks=tasks)
    warn_of_impossible_values(table_of(target, [[0.5, 0.5, 2.0]] * 3 + [[0.5, 0.5, 1e9]]), target)
    (message,) = caplog.messages
    assert "1 of 4 values of valence cannot be: d is predicted as 1e+09" in message
