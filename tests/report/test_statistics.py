"""Statistical tests against published values, other implementations and known properties."""

import doctest

import numpy as np
import pytest
from scipy import stats

from ser import metrics
from ser.report import latex, power, render, statistics
from ser.report.figures import learning_curves, neighbours
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


@pytest.mark.parametrize("module", [statistics, power, latex, render, learning_curves, neighbours])
def test_examples(module: object) -> None:
    failed, attempted = doctest.testmod(module)  # type: ignore[arg-type]
    assert attempted > 0
    assert failed == 0


def test_proportions_reproduce_p_of_sahu2017() -> None:
    result = over_proportions(0.5788, 0.5638, (4490, 4490))
    assert result is not None
    assert round(result.p, 3) == 0.151
    assert result.low < 0 < result.high
    reverse = over_proportions(0.5638, 0.5788, (4490, 4490))
    assert reverse is not None
    assert (reverse.p, reverse.difference) == (pytest.approx(result.p), pytest.approx(-0.015))


def test_over_seeds_equals_scipy() -> None:
    first, second = np.array([0.62, 0.64, 0.66, 0.63]), np.array([0.61, 0.62, 0.63])
    result = over_seeds(first, second)
    assert result is not None
    both = stats.ttest_ind(first, second, equal_var=False)
    assert result.p == pytest.approx(both.pvalue / 2)
    assert result.effect == pytest.approx(
        (first.mean() - second.mean()) / np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    )
    reverse = over_seeds(second, first)
    assert reverse is not None
    assert reverse.p == pytest.approx(1 - result.p)  # one tail


def test_too_little_data_returns_none() -> None:
    assert over_seeds(np.array([0.6]), np.array([0.5, 0.6])) is None
    assert over_seeds(np.full(3, 0.6), np.full(3, 0.5)) is None
    assert over_folds(np.array([0.1]), 0.1) is None
    assert over_folds(np.full(5, 0.1), 0.1) is None
    one = np.ones((1, 1, 2, 2), int)
    assert over_speakers(one, one, weights(1, 10)) is None
    assert over_proportions(1.0, 1.0, (10, 10)) is None


def test_over_folds_without_overlap_equals_paired_t_test() -> None:
    first, second = RNG.normal(0.6, 0.05, 8), RNG.normal(0.58, 0.05, 8)
    result = over_folds(first - second, share=0.0)
    known = stats.ttest_rel(first, second)
    assert result is not None
    assert result.p == pytest.approx(known.pvalue)
    interval = known.confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))


def test_overlapping_training_splits_increase_p() -> None:
    differences = np.array([0.02, 0.01, 0.03, 0.02, 0.01])
    alone, shared = over_folds(differences, 0.0), over_folds(differences, 0.25)
    assert alone is not None
    assert shared is not None
    assert shared.p > alone.p
    # Nadeau and Bengio: the variance of the mean grows by 1 + F * share.
    assert (shared.high - shared.low) / (alone.high - alone.low) == pytest.approx(np.sqrt(2.25))


def test_folds_that_share_a_training_are_one_unit() -> None:
    """Two equal systems on five sessions, each tested by two folds of one training.

    The difference of a run is that of its training, which both folds of a session share and whose
    variance correlates with other sessions as Nadeau and Bengio assume (n_test / (n_test + n_train)
    = 2 / 10 speakers), and that of its test speaker.
    """
    rng, trials, sessions = np.random.default_rng(1), 2000, 5
    rho = 2 / 10
    common, own = rng.normal(size=(trials, 1)), rng.normal(size=(trials, sessions))
    of_session = np.sqrt(rho) * common + np.sqrt(1 - rho) * own
    differences = of_session[:, :, None] + 0.5 * rng.normal(size=(trials, sessions, 2))

    def rejected(means: np.ndarray, share: float) -> float:
        results = [over_folds(each, share) for each in means]
        return float(np.mean([result is not None and result.p < 0.05 for result in results]))

    by_fold = rejected(differences.reshape(trials, -1), share=1 / 8)  # one speaker tests
    by_session = rejected(differences.mean(axis=2), share=2 / 8)  # two speakers test
    assert by_fold > 0.09
    assert by_session == pytest.approx(0.05, abs=0.015)


def test_sessions_are_the_units_where_both_speakers_share_a_training() -> None:
    """Two equal systems on ten sessions of two speakers, whose differences share their training.

    As in `test_folds_that_share_a_training_are_one_unit`, without the correlation of trainings,
    which neither test corrects: both are for the models as trained.
    """
    rng, trials, sessions = np.random.default_rng(2), 600, 10
    of_session = rng.normal(size=(trials, sessions, 1))
    differences = of_session + 0.5 * rng.normal(size=(trials, sessions, 2))

    def mean(sums: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return drawn @ sums[0] / drawn.sum(axis=1)

    def rejected(by_unit: np.ndarray) -> float:
        drawn = weights(by_unit.shape[1], 500)
        zero = np.zeros((1, by_unit.shape[1]))
        results = [over_speakers(each[None], zero, drawn, mean) for each in by_unit]
        return float(np.mean([result is not None and result.p < 0.05 for result in results]))

    assert rejected(differences.reshape(trials, -1)) > 0.1
    assert rejected(differences.mean(axis=2)) == pytest.approx(0.05, abs=0.025)


def test_contributions_of_speakers_are_their_differences_for_a_mean() -> None:
    """With equal class counts of every speaker, pooled UA is a mean over speakers."""
    support = np.full((8, 3), 40)
    counts = [simulate(RNG.uniform(0.3, 0.9, (8, 3)), support) for _ in range(2)]
    result = over_speakers(*counts, weights(8, 20_000))
    assert result is not None
    own = [np.array([metrics.unweighted_accuracy(each) for each in of[0]]) for of in counts]
    units = power.unit_differences(*counts, result)
    np.testing.assert_allclose(units, own[0] - own[1], atol=0.005)  # of the bootstrap
    known = stats.ttest_rel(*own)
    assert result.p == pytest.approx(known.pvalue, rel=0.05)
    assert result.effect == pytest.approx(known.statistic / np.sqrt(8), rel=0.02)


@pytest.mark.parametrize("d_z", [0.3, 0.8])
@pytest.mark.parametrize("level", [0.05, 0.05 / 12])
def test_power_equals_that_of_the_paired_t_test(d_z: float, level: float) -> None:
    # Normally distributed differences of many speakers, with exactly this effect.
    scores = stats.norm.ppf((np.arange(60) + 0.5) / 60)
    differences = (scores / scores.std(ddof=1) + d_z) * 0.05

    def analytic(count: int) -> float:
        limit, shift = stats.t.ppf(1 - level / 2, count - 1), d_z * np.sqrt(count)
        return float(
            stats.nct.sf(limit, count - 1, shift) + stats.nct.cdf(-limit, count - 1, shift)
        )

    expected = next(count for count in range(2, 1000) if analytic(count) >= power.POWER)
    assert power.needed(differences, level) == pytest.approx(expected, rel=0.05, abs=1)
    assert power.power(differences, expected, level) == pytest.approx(analytic(expected), abs=0.03)


def test_power_of_known_cases() -> None:
    varied = np.array([-1.0, 0.5, 1.0, -0.5, 0.2, -0.2])
    large, none = power.needed(varied + 5, 0.05), power.needed(varied - varied.mean(), 0.05)
    assert large is not None
    assert large <= 4
    assert none == power.MOST + 1  # never
    assert power.needed(varied + 0.001, 0.05) == power.MOST + 1
    assert power.needed(np.full(6, 0.1), 0.05) is None  # nothing varies
    assert power.needed([0.1], 0.05) is None
    assert power.needed(varied + 5, 0.05) == large  # the same draws each time
    assert power.needed(np.repeat(varied + 1, 100), 0.05) == pytest.approx(
        power.needed(varied + 1, 0.05) or 0, abs=3
    )  # the number of observed speakers changes little but the estimate of the variance


def test_holm_equals_r() -> None:
    # R: p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.04, 0.001, 0.9]) == pytest.approx([0.08, 0.003, 0.9])
    assert holm([0.7, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def simulate(recalls: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Simulate counts (1, K, C, C) of speakers with given expected recalls (K, C)."""
    speakers, classes = recalls.shape
    hits = RNG.binomial(support, recalls)
    counts = np.zeros((1, speakers, classes, classes), int)
    for true in range(classes):
        counts[0, :, true, true] = hits[:, true]
        counts[0, :, true, (true + 1) % classes] = (support - hits)[:, true]
    return counts


def test_resampled_ua_equals_metrics() -> None:
    counts = RNG.integers(0, 20, (2, 4, 3, 3))
    counts[:, :2, 1] = 0  # a class that two speakers lack
    drawn = np.array([[1, 1, 1, 1], [2, 2, 0, 0], [0, 0, 0, 4]], float)
    expected = [
        np.mean([metrics.unweighted_accuracy(np.tensordot(draw, seed, 1)) for seed in counts])
        for draw in drawn
    ]
    np.testing.assert_allclose(resampled_ua(counts, drawn), expected)


def test_equal_systems_have_no_difference() -> None:
    counts = RNG.integers(0, 20, (3, 6, 3, 3))
    result = over_speakers(counts, counts.copy(), weights(6, 500))
    assert result is not None
    assert (result.difference, result.low, result.high, result.p) == (0, 0, 0, 1)
    other = over_speakers(counts, counts[:1], weights(6, 500))
    reverse = over_speakers(counts[:1], counts, weights(6, 500))
    assert other is not None
    assert reverse is not None
    assert (reverse.difference, reverse.p) == pytest.approx((-other.difference, other.p))


def test_draws_are_deterministic() -> None:
    np.testing.assert_array_equal(weights(10, 50), weights(10, 50))
    assert (weights(10, 50).sum(axis=1) == 10).all()


@pytest.mark.parametrize("speakers", [4, 10])
def test_intervals_have_nominal_coverage(speakers: int) -> None:
    drawn = weights(speakers, 500)
    covered, rejected, trials = 0, 0, 300
    for _ in range(trials):
        support = RNG.integers(10, 60, (speakers, 3))
        counts = [simulate(RNG.beta(6, 4, (speakers, 3)), support) for _ in range(2)]
        interval = speaker_interval(counts[0], drawn)
        result = over_speakers(*counts, drawn)
        assert interval is not None
        assert result is not None
        covered += interval[0] <= 0.6 <= interval[1]
        rejected += result.p < 0.05
    # Of 300: 95% +- 4 standard errors.
    assert 0.90 <= covered / trials <= 1.0
    assert rejected / trials <= 0.10


def test_intervals_are_within_zero_and_one() -> None:
    counts = simulate(np.array([[0.99, 0.9], [0.8, 0.99]]), np.full((2, 2), 30))
    low, high = speaker_interval(counts, weights(2, 500)) or (None, None)
    assert low is not None
    assert high is not None
    assert 0 <= low < high <= 1


def test_deterministic_system_raises_no_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    result = statistics.over_seeds(np.array([0.62, 0.64, 0.66]), np.full(3, 0.7))
    assert result is not None
    assert result.p > 0.95
    assert not recwarn.list
