"""Tests of one system against another, as pure functions of arrays.

Each gives the difference first - second, an interval of 95% around it, and p. Scores are shares,
from 0 to 1. None: too little to test, as with one seed, or nothing varies.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
TINY = 1e-9  # what sums of the same numbers may differ by


@dataclass(frozen=True)
class Comparison:
    """What a test found.

    Attributes:
        difference: first - second.
        low, high: of the interval of 95%, two-sided whatever the test.
        p: of the test.
        effect: a standardised one (d, d_z), where the test has one.
    """

    difference: float
    low: float
    high: float
    p: float
    effect: float | None = None


def over_seeds(first: np.ndarray, second: np.ndarray) -> Comparison | None:
    """One-tailed t-test that the first mean is higher; Welch's, so that variances may differ.

    The test of parthasarathy2019 (which does not say whose variance it took). Effect: Cohen's d,
    the difference in units of the root mean square of both standard deviations.

    Args:
        first: (S1,) scores by seed.
        second: (S2,).

    Returns:
        None with fewer than two seeds a side, or where no score varies with the seed.

    Examples:
        >>> found = over_seeds(np.array([0.62, 0.64, 0.66]), np.array([0.61, 0.62, 0.63]))
        >>> print(f"{found.difference:.3f} {found.low:.3f} {found.high:.3f} {found.p:.3f}")
        0.020 -0.022 0.062 0.110
    """
    if min(len(first), len(second)) < 2:
        return None
    spread = np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)
    if spread < TINY:
        return None
    with warnings.catch_warnings():
        # One of both may not vary at all: a system in which nothing is random.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        found = stats.ttest_ind(first, second, equal_var=False, alternative="greater")
        both = stats.ttest_ind(first, second, equal_var=False).confidence_interval(LEVEL)
    difference = float(np.mean(first) - np.mean(second))
    return Comparison(
        difference,
        float(both.low),
        float(both.high),
        float(found.pvalue),
        float(difference / spread),
    )


def over_proportions(first: float, second: float, counts: tuple[int, int]) -> Comparison | None:
    """Two-sided z-test of two proportions, which sahu2017 uses with UA for the proportion.

    The interval is Wald's.

    Args:
        first: share of hits.
        second: share of hits.
        counts: of utterances, of each.

    Examples:
        >>> round(over_proportions(0.5788, 0.5638, (4490, 4490)).p, 3)  # sahu2017, table 1
        0.151
    """
    shares, n = np.array([first, second]), np.array(counts)
    joint = (shares * n).sum() / n.sum()
    error = np.sqrt(joint * (1 - joint) * (1 / n).sum())
    if error == 0:
        return None
    p = 2 * stats.norm.sf(abs(first - second) / error)
    reach = stats.norm.ppf((1 + LEVEL) / 2) * np.sqrt((shares * (1 - shares) / n).sum())
    difference = first - second
    return Comparison(difference, float(difference - reach), float(difference + reach), float(p))


def against_guessing(share: float, guessed: float, count: int) -> float:
    """p of a two-sided exact binomial test of a share of hits against that of guessing.

    sahu2017 (section 3.3.3) tests UA so, against 1 / classes.

    Args:
        share: of hits.
        guessed: what guessing gets.
        count: of utterances.

    Examples:
        >>> against_guessing(0.3375, 0.25, 4490) < 0.001  # sahu2017, table 2
        True
    """
    return float(stats.binomtest(round(share * count), count, guessed).pvalue)


def over_folds(differences: np.ndarray, share: float) -> Comparison | None:
    """Two-sided paired t-test over folds, its variance corrected for shared training parts.

    Nadeau and Bengio, *Inference for the Generalization Error*, Machine Learning 52 (2003): models
    of different folds were trained on much the same utterances, so their scores are not
    independent, and 1 / F in the variance of their mean becomes 1 / F + share. Effect: d_z, the
    mean difference in units of its standard deviation over folds.

    Args:
        differences: (F,) of paired scores, each the mean over the seeds of a fold. Seeds of a fold
            are tested on the same utterances: to count each as a pair of its own would count
            these utterances many times.
        share: utterances tested by utterances trained on, mean over folds.

    Returns:
        None with fewer than two folds, or where every fold has the same difference but zero.

    Examples:
        >>> found = over_folds(np.array([0.02, 0.01, 0.03, -0.01, 0.02]), share=0.25)
        >>> print(f"{found.difference:.3f} {found.low:.3f} {found.high:.3f} {found.p:.3f}")
        0.014 -0.014 0.042 0.241
    """
    count = len(differences)
    if count < 2:
        return None
    spread = float(np.std(differences, ddof=1))
    mean = float(np.mean(differences))
    error = spread * np.sqrt(1 / count + share)
    return _student(mean, error, count - 1, mean / max(spread, TINY))


def weights(units: int, draws: int, seed: int = 0) -> np.ndarray:
    """How often each unit is in each draw of a bootstrap, (draws, units) float64."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(units, np.full(units, 1 / units), size=draws).astype(float)


def resampled_ua(confusions: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Pooled UA of resampled speakers, mean over seeds.

    A class that is absent from a draw is left out of it, as in `ser.metrics`.

    Args:
        confusions: (S, K, C, C) counts by seed and speaker.
        drawn: (B, K) how often each speaker is in each draw.

    Returns:
        (B,)
    """
    hits = np.einsum("skcc->skc", confusions).astype(float)
    support = confusions.sum(axis=3).astype(float)
    total = np.zeros(len(drawn))
    for seed in range(len(confusions)):
        there = drawn @ support[seed]
        recalls = np.divide(
            drawn @ hits[seed], there, out=np.full_like(there, np.nan), where=there > 0
        )
        total += np.nanmean(recalls, axis=1)
    return total / len(confusions)


def over_speakers(first: np.ndarray, second: np.ndarray, drawn: np.ndarray) -> Comparison | None:
    """Two-sided test of pooled UA by a bootstrap over speakers.

    Speakers, with all that they say in every seed, are drawn with replacement, the same for both
    systems. Interval and p are Student's with the standard deviation of the draws and K - 1
    degrees of freedom: percentiles of so few speakers lie too close together, which
    sqrt(K / (K - 1)) puts right (Hesterberg, *What Teachers Should Know About the Bootstrap*, The
    American Statistician 69, 2015).

    Args:
        first: (S1, K, C, C) counts by seed and speaker.
        second: (S2, K, C, C).
        drawn: (B, K), from `weights`.

    Returns:
        None with fewer than two speakers.
    """
    once = np.ones((1, drawn.shape[1]))
    found, draws = (
        resampled_ua(first, each) - resampled_ua(second, each) for each in (once, drawn)
    )
    return _resampled(float(found[0]), draws, drawn.shape[1])


def speaker_interval(confusions: np.ndarray, drawn: np.ndarray) -> tuple[float, float] | None:
    """Interval of 95% of a system's own pooled UA, as in `over_speakers`, within 0 and 1.

    Args:
        confusions: (S, K, C, C) counts by seed and speaker.
        drawn: (B, K), from `weights`.

    Returns:
        None with fewer than two speakers.
    """
    speakers = drawn.shape[1]
    ua = float(resampled_ua(confusions, np.ones((1, speakers)))[0])
    found = _resampled(ua, resampled_ua(confusions, drawn), speakers)
    return None if found is None else (max(found.low, 0.0), min(found.high, 1.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """p adjusted for as many tests, so that all claims hold together (Holm 1979).

    Examples:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
        [0.03, 0.06, 0.06, 0.02]
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted.tolist()


def _resampled(found: float, draws: np.ndarray, units: int) -> Comparison | None:
    if units < 2:
        return None
    error = float(np.std(draws)) * np.sqrt(units / (units - 1))
    return _student(found, error, units - 1)


def _student(
    difference: float, error: float, freedom: int, effect: float | None = None
) -> Comparison | None:
    """By Student's t; what never differs has p = 1."""
    if error < TINY:
        return None if abs(difference) > TINY else Comparison(0.0, 0.0, 0.0, 1.0)
    reach = stats.t.ppf((1 + LEVEL) / 2, freedom) * error
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    return Comparison(
        difference, float(difference - reach), float(difference + reach), float(p), effect
    )
