import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from ser import metrics


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 4, 200), rng.integers(0, 4, 200)


def test_scores_equal_an_independent_implementation(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    truth, prediction = drawn
    matrix = metrics.confusion_matrix(truth, prediction, 4)
    np.testing.assert_array_equal(matrix, sklearn_confusion_matrix(truth, prediction))
    found = metrics.scores(matrix)
    assert found["ua"] == pytest.approx(balanced_accuracy_score(truth, prediction))
    assert found["wa"] == pytest.approx((truth == prediction).mean())
    assert found["f1"] == pytest.approx(f1_score(truth, prediction, average="macro"))


def test_a_class_absent_from_the_truth_is_left_out() -> None:
    matrix = metrics.confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 3)
    assert np.isnan(metrics.recalls(matrix)[2])
    found = metrics.scores(matrix)
    assert found["ua"] == pytest.approx(0.75)
    assert found["f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["chance_ua"] == 0.5


def test_guessing_gets_what_the_scores_say_it_gets() -> None:
    truth = np.array([0] * 7 + [1] * 2 + [2])
    always_largest = metrics.scores(metrics.confusion_matrix(truth, np.zeros(10, int), 3))
    assert always_largest["ua"] == pytest.approx(always_largest["chance_ua"])
    assert always_largest["wa"] == pytest.approx(always_largest["majority_wa"])
