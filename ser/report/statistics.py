"""Statistical tests of one system against another, as pure functions of arrays.

Each returns the difference first - second, its 95% confidence interval, and p. UA is a share
between 0 and 1, CCC is between -1 and 1. None is returned if there is too little data, or if
nothing varies.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from ser import metrics

LEVEL = 0.95
TINY = 1e-9  # rounding error of sums of the same numbers

# Returns a pooled score (B,) of resampled speakers, mean over seeds, of sums (S, K, ...) by seed
# and speaker, and of how often each speaker is drawn, (B, K).
Resampled = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """Result of a test.

    Attributes:
        difference: first - second.
        low, high: Ends of the 95% confidence interval, two-sided for every test.
        p: p value.
        effect: Standardised effect size (d, d_z), if the test has one.
    """

    difference: float
    low: float
    high: float
    p: float
    effect: float | None = None


def over_seeds(first: np.ndarray, second: np.ndarray) -> Comparison | None:
    """One-tailed Welch's t-test over seeds that the first mean is higher.

    The test of parthasarathy2019, which does not state whether variances were pooled. Effect size:
    Cohen's d, the difference divided by the root mean square of both standard deviations.

    Args:
        first: (S1,) scores by seed.
        second: (S2,) scores by seed.

    Returns:
        None with fewer than two seeds per system, or if no score varies with the seed.

    Examples:
        >>> result = over_seeds(np.array([0.62, 0.64, 0.66]), np.array([0.61, 0.62, 0.63]))
        >>> print(f"{result.difference:.3f} {result.low:.3f} {result.high:.3f} {result.p:.3f}")
        0.020 -0.022 0.062 0.110
    """
    if min(len(first), len(second)) < 2:
        return None
    spread = np.sqrt((np.var(first, ddof=1) + np.var(second, ddof=1)) / 2)
    if spread < TINY:
        return None
    with warnings.catch_warnings():
        # A deterministic system has no variance.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        one_tailed = stats.ttest_ind(first, second, equal_var=False, alternative="greater")
        interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(LEVEL)
    difference = float(np.mean(first) - np.mean(second))
    return Comparison(
        difference,
        float(interval.low),
        float(interval.high),
        float(one_tailed.pvalue),
        float(difference / spread),
    )


def over_proportions(first: float, second: float, counts: tuple[int, int]) -> Comparison | None:
    """Two-sided z-test of two proportions, applied to UA as in sahu2017.

    The confidence interval is Wald's.

    Args:
        first, second: Shares of correct predictions.
        counts: Numbers of utterances of both.

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


def against_chance(share: float, chance: float, count: int) -> float:
    """Return p of a two-sided exact binomial test of a share of correct predictions.

    sahu2017 (section 3.3.3) tests UA in this way, against 1 / classes.

    Args:
        share: Share of correct predictions.
        chance: Share expected by chance.
        count: Number of utterances.

    Examples:
        >>> against_chance(0.3375, 0.25, 4490) < 0.001  # sahu2017, table 2
        True
    """
    return float(stats.binomtest(round(share * count), count, chance).pvalue)


def over_folds(differences: np.ndarray, share: float) -> Comparison | None:
    """Two-sided paired t-test over folds with the correction of Nadeau and Bengio.

    *Inference for the Generalization Error*, Machine Learning 52 (2003): the training splits of
    different folds overlap, so their scores are not independent, and 1 / U in the variance of
    their mean becomes 1 / U + share. Effect size: d_z, the mean difference divided by its standard
    deviation over units.

    Args:
        differences: (U,) differences of paired scores, one for each training split: the mean over
            the seeds, which are tested on the same utterances, and over the folds that share this
            training split. These are not independent pairs.
        share: Number of test utterances divided by training utterances, mean over units.

    Returns:
        None with fewer than two units, or if all have the same difference other than zero.

    Examples:
        >>> result = over_folds(np.array([0.02, 0.01, 0.03, -0.01, 0.02]), share=0.25)
        >>> print(f"{result.difference:.3f} {result.low:.3f} {result.high:.3f} {result.p:.3f}")
        0.014 -0.014 0.042 0.241
    """
    count = len(differences)
    if count < 2:
        return None
    spread = float(np.std(differences, ddof=1))
    mean = float(np.mean(differences))
    error = spread * np.sqrt(1 / count + share)
    return _student(mean, error, count - 1, mean / max(spread, TINY))


# The sizes of two groups, or of all speakers, recur from system to system.
@lru_cache(maxsize=2)
def weights(units: int, draws: int, seed: int = 0) -> np.ndarray:
    """Return how often a bootstrap draws each unit, (draws, units) float64."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=draws).astype(float)
    drawn.flags.writeable = False
    return drawn


def resampled_ua(confusions: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the pooled UA of resampled speakers, mean over seeds.

    A class that is absent from a draw is ignored, as in `ser.metrics`.

    Args:
        confusions: (S, K, C, C) counts by seed and speaker.
        drawn: (B, K) how often each speaker is drawn.

    Returns:
        (B,)
    """
    hits = np.einsum("skcc->skc", confusions).astype(float)
    support = confusions.sum(axis=3).astype(float)
    total = np.zeros(len(drawn))
    for seed in range(len(confusions)):
        weighted = drawn @ support[seed]
        if (weighted > 0).all():
            total += (drawn @ hits[seed] / weighted).mean(axis=1)
            continue
        recalls = np.divide(
            drawn @ hits[seed], weighted, out=np.full_like(weighted, np.nan), where=weighted > 0
        )
        with warnings.catch_warnings():
            # No drawn speaker may belong to a group.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            total += np.nanmean(recalls, axis=1)
    return total / len(confusions)


def resampled_ccc(moments: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the pooled CCC of resampled speakers, mean over seeds.

    Args:
        moments: (S, K, 7) by seed and speaker, see `ser.metrics`.
        drawn: (B, K) how often each speaker is drawn.

    Returns:
        (B,); NaN where truth and prediction are one constant.
    """
    return np.mean([metrics.ccc(drawn @ seed) for seed in moments], axis=0)


def over_speakers(
    first: np.ndarray, second: np.ndarray, drawn: np.ndarray, resampled: Resampled = resampled_ua
) -> Comparison | None:
    """Two-sided test of a pooled score by a bootstrap over speakers.

    Speakers, with their utterances of all seeds, are drawn with replacement, the same ones for
    both systems. Confidence interval and p come from Student's t with the standard deviation of
    the draws and K - 1 degrees of freedom: percentile intervals of few speakers are too narrow,
    which the factor sqrt(K / (K - 1)) corrects (Hesterberg, *What Teachers Should Know About the
    Bootstrap*, The American Statistician 69, 2015). Effect size: Cohen's d_z for paired samples
    (Lakens, *Calculating and reporting effect sizes*, Frontiers in Psychology 4, 2013), the
    difference divided by its standard deviation between speakers, which is the standard error
    times sqrt(K). K may be the number of other independent units, too, e.g. of sessions.

    Args:
        first: (S1, K, ...) sums by seed and speaker.
        second: (S2, K, ...) sums by seed and speaker.
        drawn: (B, K), from `weights`.
        resampled: Score of the sums.

    Returns:
        None with fewer than two speakers.
    """
    once = np.ones((1, drawn.shape[1]))
    difference, draws = (resampled(first, each) - resampled(second, each) for each in (once, drawn))
    return _resampled(float(difference[0]), draws, drawn.shape[1])


def between_groups(
    first: np.ndarray, second: np.ndarray, draws: int, resampled: Resampled
) -> Comparison | None:
    """Two-sided test of a pooled score between two groups of different speakers.

    Each group is resampled separately, as in `over_speakers`. Confidence interval and p come from
    Student's t with the degrees of freedom of Welch and Satterthwaite, as in Welch's t-test of two
    means. It assumes that the speakers of each group are an independent sample.

    Args:
        first: (S, K1, ...) sums by seed and speaker.
        second: (S, K2, ...) sums by seed and speaker.
        draws: Number of resamples.
        resampled: Score of the sums.

    Returns:
        None with fewer than two speakers in a group.
    """
    sizes = np.array([first.shape[1], second.shape[1]])
    if sizes.min() < 2:
        return None
    scores, variances = [], []
    for group, size in zip((first, second), sizes, strict=True):
        scores.append(float(resampled(group, np.ones((1, size)))[0]))
        drawn = resampled(group, weights(int(size), draws))
        variances.append(float(np.nanvar(drawn)) * size / (size - 1))
    both = np.array(variances)
    error = float(np.sqrt(both.sum()))
    freedom = both.sum() ** 2 / (both**2 / (sizes - 1)).sum() if error > TINY else 1.0
    return _student(scores[0] - scores[1], error, freedom)


def speaker_interval(
    sums: np.ndarray,
    drawn: np.ndarray,
    resampled: Resampled = resampled_ua,
    limits: tuple[float, float] = (0.0, 1.0),
) -> tuple[float, float] | None:
    """Return the 95% confidence interval of a system's pooled score over speakers.

    See `over_speakers`.

    Args:
        sums: (S, K, ...) by seed and speaker.
        drawn: (B, K), from `weights`.
        resampled: Score of the sums.
        limits: Lowest and highest possible score; the interval ends there.

    Returns:
        None with fewer than two speakers.
    """
    speakers = drawn.shape[1]
    score = float(resampled(sums, np.ones((1, speakers)))[0])
    result = _resampled(score, resampled(sums, drawn), speakers)
    return None if result is None else (max(result.low, limits[0]), min(result.high, limits[1]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values with Holm's correction for multiple tests (Holm 1979).

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


def _resampled(difference: float, draws: np.ndarray, units: int) -> Comparison | None:
    if units < 2:
        return None
    # Values of all drawn speakers may be one constant.
    error = float(np.std(draws[~np.isnan(draws)])) * np.sqrt(units / (units - 1))
    effect = difference / max(error * np.sqrt(units), TINY)
    return _student(difference, error, units - 1, float(effect))


def _student(
    difference: float, error: float, freedom: float, effect: float | None = None
) -> Comparison | None:
    """Apply Student's t; a difference that is always zero has p = 1."""
    if error < TINY:
        return None if abs(difference) > TINY else Comparison(0.0, 0.0, 0.0, 1.0)
    reach = stats.t.ppf((1 + LEVEL) / 2, freedom) * error
    p = 2 * stats.t.sf(abs(difference) / error, freedom)
    return Comparison(
        difference, float(difference - reach), float(difference + reach), float(p), effect
    )
