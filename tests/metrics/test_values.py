"""Scores of values equal published figures, scipy and torchmetrics."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchmetrics.functional import (
    concordance_corrcoef,
    mean_absolute_error,
    mean_squared_error,
    pearson_corrcoef,
)

from ser import metrics

# Bland and Altman, Lancet 1986, table 1: peak flow by two meters, r = 0.94. Their CCC is 0.943 in
# Steichen and Cox, Stata Journal 2 (2002).
LARGE = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
SMALL = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)


def scores(truth: object, prediction: object) -> dict[str, float]:
    return metrics.value_scores(metrics.moments(np.array(truth), np.array(prediction)))


@pytest.mark.parametrize(
    ("truth", "prediction", "ccc", "pearson", "mae"),
    [
        (LARGE, SMALL, 0.943, 0.943, 28.941),
        ((0, 1, 2), (0, 1, 1), 0.667, 0.866, 0.333),  # the example of audmetric 1.2
        ((1, 2, 3), (3, 2, 1), -1.0, -1.0, 1.333),
        ((1, 2, 3), (11, 12, 13), 0.013, 1.0, 10.0),  # 2 * 2/3 / (4/3 + 100)
    ],
)
def test_scores_equal_published_ones(
    truth: object, prediction: object, ccc: float, pearson: float, mae: float
) -> None:
    actual = scores(truth, prediction)
    assert actual["ccc"] == pytest.approx(ccc, abs=5e-4)
    assert actual["pearson"] == pytest.approx(pearson, abs=5e-4)
    assert actual["mae"] == pytest.approx(mae, abs=5e-4)


@pytest.fixture(params=range(3))
def pairs(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Correlated values far from 0, where sums of squares lose digits."""
    rng = np.random.default_rng(request.param)
    truth = rng.normal(100 * request.param, 1 + request.param, 300)
    return truth, 0.5 * truth + rng.normal(0, 1, 300) + 3


def test_scores_equal_scipy_and_torchmetrics(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    truth, prediction = pairs
    actual = scores(truth, prediction)
    p, t = torch.from_numpy(prediction), torch.from_numpy(truth)
    assert actual["pearson"] == pytest.approx(stats.pearsonr(truth, prediction).statistic)
    assert actual["pearson"] == pytest.approx(float(pearson_corrcoef(p, t)))
    assert actual["mae"] == pytest.approx(float(mean_absolute_error(p, t)))
    assert actual["rmse"] == pytest.approx(float(mean_squared_error(p, t, squared=False)))
    # torchmetrics divides variances by N - 1: equal where the means are, too.
    level = torch.from_numpy(prediction - prediction.mean() + truth.mean())
    assert scores(truth, level)["ccc"] == pytest.approx(float(concordance_corrcoef(level, t)))


def test_ccc_is_precision_times_accuracy(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    """Lin 1989, equation 2.2: CCC = r C_b, with the shifts of scale v and of location u."""
    truth, prediction = pairs
    v = prediction.std() / truth.std()
    u = (prediction.mean() - truth.mean()) / np.sqrt(prediction.std() * truth.std())
    accuracy = 2 / (v + 1 / v + u**2)
    r = np.corrcoef(truth, prediction)[0, 1]
    assert scores(truth, prediction)["ccc"] == pytest.approx(r * accuracy)


def test_moments_add_up(pairs: tuple[np.ndarray, np.ndarray]) -> None:
    truth, prediction = pairs
    parts = [metrics.moments(truth[s], prediction[s]) for s in (slice(90), slice(90, None))]
    whole = metrics.moments(truth, prediction)
    np.testing.assert_allclose(sum(parts), whole)
    assert metrics.value_scores(sum(parts)) == pytest.approx(metrics.value_scores(whole))
    stacked = metrics.ccc(np.stack(parts))
    assert stacked.tolist() == [float(metrics.ccc(part)) for part in parts]


@pytest.mark.parametrize("level", [0.1, 3.0, 1e6])
def test_constant_values_have_defined_scores(level: float) -> None:
    truth, constant = np.array([1.0, 2.0, 4.0] * 33), np.full(99, level)
    of_constant = scores(truth, constant)
    assert of_constant["ccc"] == 0
    assert np.isnan(of_constant["pearson"])
    assert scores(constant, truth)["ccc"] == 0
    assert of_constant["mae"] == pytest.approx(np.abs(truth - level).mean())
    both = scores(constant, constant)
    assert np.isnan([both["ccc"], both["pearson"]]).all()
    assert both["rmse"] == both["mae"] == 0
    assert scores(constant, constant + 1)["ccc"] == 0
    assert np.isnan(list(scores([], []).values())).all()
