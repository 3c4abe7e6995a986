from itertools import pairwise

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


def ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    return metrics.expected_calibration_error(metrics.reliability(confidence, correct))


def test_ece_of_calibrated_draws_tends_to_0_with_their_number() -> None:
    rng = np.random.default_rng(0)
    found = []
    for count in (100, 10_000, 1_000_000):
        confidence = rng.uniform(0.2, 1.0, count)
        found.append(ece(confidence, rng.random(count) < confidence))
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.002


@pytest.mark.parametrize(("confidence", "share"), [(0.9, 0.6), (0.5, 0.8), (1.0, 0.25)])
def test_ece_of_one_confidence_is_its_gap(confidence: float, share: float) -> None:
    correct = np.arange(200) < 200 * share
    assert ece(np.full(200, confidence), correct) == pytest.approx(abs(confidence - share))


def test_ece_is_that_of_its_definition_and_adds_up(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.uniform(0.25, 1, 200), drawn[0] == drawn[1]
    edges = np.linspace(0, 1, metrics.BINS + 1)
    expected = 0.0
    for low, high in pairwise(edges):
        within = (confidence > low) & (confidence <= high)
        if within.any():
            gap = abs(correct[within].mean() - confidence[within].mean())
            expected += within.mean() * gap
    whole = metrics.reliability(confidence, correct)
    assert metrics.expected_calibration_error(whole) == pytest.approx(expected)
    halves = [metrics.reliability(confidence[s], correct[s]) for s in (slice(90), slice(90, None))]
    np.testing.assert_allclose(sum(halves), whole)
    order = rng.permutation(200)
    assert (metrics.reliability(confidence[order], correct[order]) == whole).all()
    assert np.isnan(metrics.expected_calibration_error(np.zeros((metrics.BINS, 3))))
