"""Scores of distributions equal scipy's, and have defined values at the edges."""

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from ser import metrics
from ser.metrics import distributions

JS = 0.1498661417  # by scipy


@pytest.fixture
def random() -> tuple[np.ndarray, np.ndarray]:
    """Shares of five raters, many of which are 0, and probabilities."""
    rng = np.random.default_rng(0)
    return rng.multinomial(5, [0.5, 0.3, 0.1, 0.1], 50) / 5, rng.dirichlet(np.ones(4), 50)


def test_divergences_equal_scipy(random: tuple[np.ndarray, np.ndarray]) -> None:
    truth, prediction = random
    assert (truth == 0).any()
    np.testing.assert_allclose(
        metrics.kl_divergence(truth, prediction), entropy(truth, prediction, axis=1)
    )
    np.testing.assert_allclose(
        metrics.jensen_shannon_distance(truth, prediction),
        jensenshannon(truth, prediction, axis=1),
    )


@pytest.mark.parametrize(
    ("truth", "prediction", "kl", "js"),
    [
        # Wikipedia, "Kullback-Leibler divergence": 0.0852996 and 0.097455 nats.
        ((9 / 25, 12 / 25, 4 / 25), (1 / 3, 1 / 3, 1 / 3), 0.0852996, JS),
        ((1 / 3, 1 / 3, 1 / 3), (9 / 25, 12 / 25, 4 / 25), 0.097455, JS),
        # The examples of scipy.spatial.distance.jensenshannon: 1 in base 2, and 0.4645014.
        ((1, 0, 0), (0, 1, 0), np.inf, np.sqrt(np.log(2))),
        ((1, 0), (0.5, 0.5), np.log(2), 0.46450140402245893),
        ((0.25, 0.75), (0.25, 0.75), 0, 0),
    ],
)
def test_divergences_equal_published_ones(
    truth: object, prediction: object, kl: float, js: float
) -> None:
    t, p = np.array(truth, float), np.array(prediction, float)
    assert float(metrics.kl_divergence(t, p)) == pytest.approx(kl, abs=1e-6)
    assert float(metrics.jensen_shannon_distance(t, p)) == pytest.approx(js, abs=1e-6)
    assert float(metrics.jensen_shannon_distance(p, t)) == pytest.approx(js, abs=1e-6)


def test_scores_are_means_and_finite_where_a_probability_is_rounded_to_zero(
    random: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, prediction = random
    scores = metrics.distribution_scores(truth, prediction)
    assert scores["kl"] == pytest.approx(entropy(truth, prediction, axis=1).mean())
    assert scores["js"] == pytest.approx(jensenshannon(truth, prediction, axis=1).mean())
    wrong = metrics.distribution_scores(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]))
    assert wrong["kl"] == pytest.approx(-np.log(distributions.SMALLEST))
    assert wrong["ece_distribution"] == 1
    right = metrics.distribution_scores(truth, truth)
    assert right == pytest.approx(dict.fromkeys(right, 0.0), abs=1e-12)
    assert np.isnan(list(metrics.distribution_scores(truth[:0], truth[:0]).values())).all()


def test_calibration_is_the_usual_one_where_all_raters_agree() -> None:
    rng = np.random.default_rng(1)
    prediction, chosen = rng.dirichlet(np.ones(3), 200), rng.integers(0, 3, 200)
    correct = prediction.argmax(axis=1) == chosen
    np.testing.assert_array_equal(
        metrics.distribution_reliability(np.eye(3)[chosen], prediction),
        metrics.reliability(prediction.max(axis=1), correct),
    )


def test_calibration_is_against_a_rater_drawn_at_random() -> None:
    """Predicting the shares is calibrated, and predicting their largest class is overconfident."""
    rng = np.random.default_rng(2)
    truth = rng.multinomial(3, [0.6, 0.4], 3000) / 3
    certain = np.eye(2)[truth.argmax(axis=1)]
    error = metrics.distribution_scores(truth, certain)["ece_distribution"]
    assert error == pytest.approx(1 - truth.max(axis=1).mean())
