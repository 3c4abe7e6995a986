"""How many speakers a test needs to show a difference: power by simulation, for planning.

The number is of a further experiment, if the difference between the systems is as large as it was
observed and varies as much between speakers. It says nothing about the experiment itself beyond its
p value (Hoenig and Heisey, *The Abuse of Power*, The American Statistician 55, 2001).
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ser.report.statistics import TINY, Comparison, Resampled, resampled_ua

POWER = 0.8
TRIALS = 2000
MOST = 10_000  # units
VALUES = 100  # distinct differences that are resampled, at most


def unit_differences(
    first: np.ndarray, second: np.ndarray, result: Comparison, resampled: Resampled = resampled_ua
) -> np.ndarray:
    """Return what each speaker contributes to the difference of a pooled score, (K,).

    These are the pseudo-values of the jackknife (Efron and Tibshirani, *An Introduction to the
    Bootstrap*, 1993, chapter 11): defined also for speakers who lack a class, and for scores such
    as CCC that are no means over speakers. They are scaled to the mean and standard deviation of
    `over_speakers`, so that a t-test of them is that test.

    Args:
        first, second: As for `over_speakers`.
        result: Result of `over_speakers`.
        resampled: Score of the sums.

    Returns:
        Empty if nothing varies, or if the score of the others is not always defined.
    """
    count = first.shape[1]
    without = np.ones((count, count)) - np.eye(count)
    others = resampled(first, without) - resampled(second, without)
    spread = float(np.std(others, ddof=1))
    if not result.effect or not spread > TINY:
        return np.empty(0)
    # A speaker without whom the difference is lower has contributed a higher one.
    sd = abs(result.difference / result.effect)
    return result.difference - (others - others.mean()) / spread * sd


def power(differences: np.ndarray, count: int, level: float, trials: int = TRIALS) -> float:
    """Return the share of samples of `count` units whose mean difference is significant.

    Units are drawn with replacement and tested by a two-sided t-test, which `over_speakers` is for
    means over speakers. Samples without any variance count as not significant.

    Args:
        differences: (K,) differences of observed units.
        count: Number of units of a sample, at least 2.
        level: Level of the test.
        trials: Number of samples.
    """
    rng = np.random.default_rng(0)
    size = len(differences)
    # How often each unit is drawn suffices, so that the time does not depend on `count`.
    drawn = rng.multinomial(count, np.full(size, 1 / size), size=trials)
    mean = drawn @ differences / count
    variance = (drawn @ differences**2 / count - mean**2) * count / (count - 1)
    limit = stats.t.ppf(1 - level / 2, count - 1)
    is_varied = variance > 1e-12 * np.var(differences)
    return float(np.mean(is_varied & (mean**2 * count > limit**2 * variance)))


def needed(differences: Sequence[float] | np.ndarray, level: float) -> int | None:
    """Return the smallest number of units with a power of 80%; `MOST` + 1 stands for any larger.

    Args:
        differences: (K,) differences of observed units.
        level: Level of the test.

    Returns:
        None with fewer than two units, or if they do not differ.

    Examples:
        >>> needed([0.08, 0.02, 0.05, 0.06, 0.01, 0.04], level=0.05)
        5
        >>> needed([0.08, -0.02, 0.05, -0.06, 0.03, 0.01], level=0.05)
        91
    """
    values = np.asarray(differences, float)
    if len(values) < 2 or not np.std(values) > 1e-9 * abs(values.mean()):
        return None
    mean, sd = values.mean(), values.std(ddof=1)
    if len(values) > VALUES:
        values = np.quantile(values, (np.arange(VALUES) + 0.5) / VALUES)
    # A resample has the standard deviation of the population that the units were drawn from.
    values = mean + (values - values.mean()) * sd / values.std()
    low, high = 1, MOST + 1
    # Near the number for a normal distribution, which saves most of the search by halves.
    shares = stats.norm.ppf(1 - level / 2) + stats.norm.ppf(POWER)
    normal = (shares * sd / abs(mean)) ** 2 if mean else np.inf
    guesses = [int(factor * min(normal, MOST)) for factor in (1.3, 0.9)]
    while high - low > 1:
        middle = guesses.pop(0) if guesses else (low + high) // 2
        if not low < middle < high:
            continue
        low, high = (low, middle) if power(values, middle, level) >= POWER else (middle, high)
    return high
