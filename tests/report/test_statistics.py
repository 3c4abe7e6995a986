"""Tests of systems against each other: published values, known numbers, and what must hold."""

import doctest

import numpy as np
import pytest
from scipy import stats

from ser import metrics
from ser.report import render, statistics
from ser.report.statistics import (
    holm,
    over_folds,
    over_proportions,
    over_seeds,
    over_speakers,
    resampled_ua,
    speaker_interval,
    weights,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("module", [statistics, render])
def test_examples(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried > 0
    assert failed == 0


def test_proportions_give_what_sahu2017_printed() -> None:
    found = over_proportions(0.5788, 0.5638, (4490, 4490))
    assert found is not None
    assert round(found.p, 3) == 0.151
    assert found.low < 0 < found.high
    back = over_proportions(0.5638, 0.5788, (4490, 4490))
    assert back is not None
    assert (back.p, back.difference) == (pytest.approx(found.p), pytest.approx(-0.015))


def test_seeds_are_compared_as_scipy_does() -> None:
    first, second = np.array([0.62, 0.64, 0.66, 0.63]), np.array([0.61, 0.62, 0.63])
    found = over_seeds(first, second)
    assert found is not None
    both = stats.ttest_ind(first, second, equal_var=False)
    assert found.p == pytest.approx(both.pvalue / 2)
    assert found.effect == pytest.approx(
        (first.mean() - second.mean()) / np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    )
    back = over_seeds(second, first)
    assert back is not None
    assert back.p == pytest.approx(1 - found.p)  # one tail


def test_what_cannot_be_tested_is_not() -> None:
    assert over_seeds(np.array([0.6]), np.array([0.5, 0.6])) is None
    assert over_seeds(np.full(3, 0.6), np.full(3, 0.5)) is None
    assert over_folds(np.array([0.1]), 0.1) is None
    assert over_folds(np.full(5, 0.1), 0.1) is None
    one = np.ones((1, 1, 2, 2), int)
    assert over_speakers(one, one, weights(1, 10)) is None
    assert over_proportions(1.0, 1.0, (10, 10)) is None


def test_folds_without_shared_training_are_a_paired_t_test() -> None:
    first, second = RNG.normal(0.6, 0.05, 8), RNG.normal(0.58, 0.05, 8)
    found = over_folds(first - second, share=0.0)
    known = stats.ttest_rel(first, second)
    assert found is not None
    assert found.p == pytest.approx(known.pvalue)
    interval = known.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_shared_training_makes_folds_say_less() -> None:
    differences = np.array([0.02, 0.01, 0.03, 0.02, 0.01])
    alone, shared = over_folds(differences, 0.0), over_folds(differences, 0.25)
    assert alone is not None
    assert shared is not None
    assert shared.p > alone.p
    # Nadeau and Bengio: the variance of the mean grows by 1 + F * share.
    assert (shared.high - shared.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(2.25))


def test_holm_against_known_values() -> None:
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.001, 0.9]) == pytest.approx([0.08, 0.003, 0.9])
    assert holm([0.7, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def made(right: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Counts (1, K, C, C) of speakers with these shares of hits (K, C)."""
    speakers, classes = right.shape
    hits = RNG.binomial(support, right)
    counts = np.zeros((1, speakers, classes, classes), int)
    for true in range(classes):
        counts[0, :, true, true] = hits[:, true]
        counts[0, :, true, (true + 1) % classes] = (support - hits)[:, true]
    return counts


def test_resampling_scores_as_metrics_do() -> None:
    counts = RNG.integers(0, 20, (2, 4, 3, 3))
    counts[:, :2, 1] = 0  # a class that two speakers never speak
    drawn = np.array([[1, 1, 1, 1], [2, 2, 0, 0], [0, 0, 0, 4]], float)
    expected = [
        np.mean([metrics.unweighted_accuracy(np.tensordot(draw, seed, 1)) for seed in counts])
        for draw in drawn
    ]
    np.testing.assert_allclose(resampled_ua(counts, drawn), expected)


def test_equal_systems_differ_by_nothing() -> None:
    counts = RNG.integers(0, 20, (3, 6, 3, 3))
    found = over_speakers(counts, counts.copy(), weights(6, 500))
    assert found is not None
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    other = over_speakers(counts, counts[:1], weights(6, 500))
    back = over_speakers(counts[:1], counts, weights(6, 500))
    assert other is not None
    assert back is not None
    assert (back.difference, back.p) == pytest.approx((-other.difference, other.p))


def test_draws_are_the_same_each_time() -> None:
    np.testing.assert_array_equal(weights(10, 50), weights(10, 50))
    assert (weights(10, 50).sum(axis=1) == 10).all()


@pytest.mark.parametrize("speakers", [4, 10])
def test_intervals_cover_what_they_should(speakers: int) -> None:
    drawn = weights(speakers, 500)
    covered, rejected, trials = 0, 0, 300
    for _ in range(trials):
        support = RNG.integers(10, 60, (speakers, 3))
        counts = [made(RNG.beta(6, 4, (speakers, 3)), support) for _ in range(2)]
        interval = speaker_interval(counts[0], drawn)
        found = over_speakers(*counts, drawn)
        assert interval is not None
        assert found is not None
        covered += interval[0] <= 0.6 <= interval[1]
        rejected += found.p < 0.05
    # Of 300: 95% +- 4 standard errors.
    assert 0.90 <= covered / trials <= 1.0
    assert rejected / trials <= 0.10


def test_intervals_stay_within_what_ua_can_be() -> None:
    counts = made(np.array([[0.99, 0.9], [0.8, 0.99]]), np.full((2, 2), 30))
    low, high = speaker_interval(counts, weights(2, 500)) or (None, None)
    assert low is not None
    assert high is not None
    assert 0 <= low < high <= 1


def test_a_system_without_randomness_is_compared_without_a_murmur(
    recwarn: pytest.WarningsRecorder,
) -> None:
    found = statistics.over_seeds(np.array([0.62, 0.64, 0.66]), np.full(3, 0.7))
    assert found is not None
    assert found.p > 0.95
    assert not recwarn.list
