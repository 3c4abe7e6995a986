"""Scores equal independent implementations and their definitions."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score
from sklearn.metrics import confusion_matrix as sklearn_confusion_matrix

from ser import metrics


@pytest.fixture
def random_labels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 4, 200), rng.integers(0, 4, 200)


def test_scores_equal_an_independent_implementation(
    random_labels: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, prediction = random_labels
    matrix = metrics.confusion_matrix(truth, prediction, 4)
    np.testing.assert_array_equal(matrix, sklearn_confusion_matrix(truth, prediction))
    scores = metrics.scores(matrix)
    assert scores["ua"] == pytest.approx(balanced_accuracy_score(truth, prediction))
    assert scores["wa"] == pytest.approx((truth == prediction).mean())
    assert scores["f1"] == pytest.approx(f1_score(truth, prediction, average="macro"))


def test_class_absent_from_the_truth_is_left_out() -> None:
    matrix = metrics.confusion_matrix(np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), 3)
    assert np.isnan(metrics.recalls(matrix)[2])
    scores = metrics.scores(matrix)
    assert scores["ua"] == pytest.approx(0.75)
    assert scores["f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["chance_ua"] == 0.5


def test_chance_levels_are_the_scores_of_a_constant_prediction() -> None:
    truth = np.array([0] * 7 + [1] * 2 + [2])
    always_largest = metrics.scores(metrics.confusion_matrix(truth, np.zeros(10, int), 3))
    assert always_largest["ua"] == pytest.approx(always_largest["chance_ua"])
    assert always_largest["wa"] == pytest.approx(always_largest["majority_wa"])


def ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    return metrics.expected_calibration_error(metrics.reliability(confidence, correct))


def test_ece_of_calibrated_predictions_tends_to_zero() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for count in (100, 10_000, 1_000_000):
        confidence = rng.uniform(0.2, 1.0, count)
        errors.append(ece(confidence, rng.random(count) < confidence))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.002


@pytest.mark.parametrize(("confidence", "share"), [(0.9, 0.6), (0.5, 0.8), (1.0, 0.25)])
def test_ece_of_a_constant_confidence_is_its_distance_to_accuracy(
    confidence: float, share: float
) -> None:
    correct = np.arange(200) < 200 * share
    assert ece(np.full(200, confidence), correct) == pytest.approx(abs(confidence - share))


def test_ece_equals_its_definition_and_reliability_counts_add_up(
    random_labels: tuple[np.ndarray, np.ndarray],
) -> None:
    rng = np.random.default_rng(1)
    confidence, correct = rng.uniform(0.25, 1, 200), random_labels[0] == random_labels[1]
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
