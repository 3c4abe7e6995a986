"""Agreement of raters: Krippendorff's alpha, and one rater against the others.

Ratings are in long form, one item per rating: the utterance, the rater, and the value or the votes.
An utterance can have any number of ratings, and a rater need not rate every utterance.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from ser.metrics.values import ccc, moments

Level = Literal["nominal", "ordinal", "interval"]

# Raters are a panel if each has rated at least this share of the utterances, else a crowd.
PANEL = 0.5


def krippendorff_alpha(utterances: np.ndarray, values: np.ndarray, level: Level) -> float:
    """Return Krippendorff's alpha, 1 - observed disagreement / disagreement expected by chance.

    Krippendorff, *Computing Krippendorff's alpha-reliability*, University of Pennsylvania, 2011.
    Utterances with one rating are left out. The difference of two values is squared: for `interval`
    that of the values; for `ordinal` that of their mid-ranks among all ratings; for `nominal` it is
    0 or 1.

    Args:
        utterances: (R,) utterance of each rating.
        values: (R,) numbers, or at the nominal level class names.
        level: Level of measurement.

    Returns:
        1: perfect agreement; 0: agreement by chance; negative: systematic disagreement. NaN if no
        utterance has two ratings, or if all ratings are equal.

    Examples:
        >>> utterances, values = np.array([1, 1, 2, 2, 3, 3]), np.array([1, 1, 2, 3, 3, 3])
        >>> round(krippendorff_alpha(utterances, values, "interval"), 3)
        0.792
    """
    units, counts = _units(utterances)
    pairable = counts[units] > 1
    _, codes = np.unique(np.asarray(values)[pairable], return_inverse=True)
    total = len(codes)
    if total == 0 or codes.max() == 0:
        return float("nan")
    # (R, K) points whose squared distances are the differences, up to one factor.
    if level == "nominal":
        points = np.eye(codes.max() + 1)[codes]
    elif level == "ordinal":
        each = np.bincount(codes)
        points = (np.cumsum(each) - each / 2)[codes][:, None]
    else:
        points = np.asarray(values, np.float64)[pairable][:, None]
    points = points - points.mean(axis=0)
    units, counts = _units(units[pairable])
    # The squared differences of all pairs of m points sum to m Σ|x|² - |Σx|².
    squares = _sums(units, (points**2).sum(axis=1, keepdims=True))[:, 0]
    within = counts * squares - (_sums(units, points) ** 2).sum(axis=1)
    observed = (within / (counts - 1)).sum() / total
    expected = total * squares.sum() / (total * (total - 1))
    return float(1 - observed / expected)


def others(utterances: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Return what the other raters say of the utterance of each rating.

    Args:
        utterances: (R,) utterance of each rating.
        votes: (R, K) of each rating: K = 1 value, or the shares of K classes.

    Returns:
        (R, K) means of the other ratings; NaN where there is none.
    """
    units, counts = _units(utterances)
    rest, count = _sums(units, votes)[units] - votes, counts[units][:, None] - 1
    return np.divide(rest, count, out=np.full(rest.shape, np.nan), where=count > 0)


def leave_one_out_ccc(utterances: np.ndarray, raters: np.ndarray, values: np.ndarray) -> float:
    """Return the CCC of one rater with the mean of the others (see `over_raters`).

    Args:
        utterances: (R,) utterance of each rating.
        raters: (R,) rater of each rating.
        values: (R,) values.

    Returns:
        NaN if no utterance has two ratings.
    """
    own = np.asarray(values, np.float64)
    rest = others(utterances, own[:, None])[:, 0]

    def score(chosen: np.ndarray) -> float:
        return float(ccc(moments(rest[chosen], own[chosen])))

    return over_raters(score, utterances, raters, ~np.isnan(rest))


def leave_one_out_ua(
    utterances: np.ndarray, raters: np.ndarray, votes: np.ndarray, truth: np.ndarray | None = None
) -> float:
    """Return the UA of one rater against the majority of the others (see `over_raters`).

    Args:
        utterances: (R,) utterance of each rating.
        raters: (R,) rater of each rating.
        votes: (R, C) shares of the classes that a rater chose, whose sum is 1.
        truth: (R, C) shares of the classes by the others, NaN where there is no other; None: the
            majority of their votes. After a tie of k classes each counts as 1 / k of an utterance,
            which is the expected value if ties are broken at random.

    Returns:
        The mean recall over the classes that occur in the truth; NaN if no utterance has two
        ratings.
    """
    truth = majority(others(utterances, votes)) if truth is None else truth

    def score(chosen: np.ndarray) -> float:
        support = truth[chosen].sum(axis=0)
        hits = (truth[chosen] * votes[chosen]).sum(axis=0)
        return float((hits[support > 0] / support[support > 0]).mean())

    return over_raters(score, utterances, raters, ~np.isnan(truth).any(axis=1))


def majority(shares: np.ndarray) -> np.ndarray:
    """Return 1 for the largest class of each item, 1 / k for each of k largest ones, else 0.

    Args:
        shares: (R, C); NaN in a whole row stays NaN.

    Examples:
        >>> majority(np.array([[0.2, 0.8, 0.0], [0.5, 0.5, 0.0]]))
        array([[0. , 1. , 0. ],
               [0.5, 0.5, 0. ]])
    """
    # Sums of thirds differ by rounding.
    top = shares >= shares.max(axis=1, keepdims=True) - 1e-9
    return np.where(np.isnan(shares), np.nan, top / np.maximum(top.sum(axis=1, keepdims=True), 1))


def is_panel(utterances: np.ndarray, raters: np.ndarray) -> bool:
    """Whether each rater has rated at least half of the utterances."""
    _, counts = np.unique(raters, return_counts=True)
    return len(counts) > 0 and bool(counts.min() >= PANEL * len(np.unique(utterances)))


def over_raters(
    score: Callable[[np.ndarray], float],
    utterances: np.ndarray,
    raters: np.ndarray,
    compared: np.ndarray,
) -> float:
    """Return the score of one rater against the others.

    Of a panel, where each rater has rated at least half of the utterances, it is the mean over
    raters. In a crowd, different people rate different utterances, and a rater may have a few
    ratings only: there it is one score of all ratings together, each against the others of its
    utterance.

    Args:
        score: Returns the score of some ratings, (R,) bool.
        utterances: (R,) utterance of each rating.
        raters: (R,) rater of each rating.
        compared: (R,) bool, whether there are other ratings of the utterance.
    """
    if not compared.any():
        return float("nan")
    if not is_panel(utterances, raters):
        return score(compared)
    each = [score(compared & (raters == rater)) for rater in np.unique(raters[compared])]
    known = [value for value in each if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _units(utterances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of the utterance of each rating, (R,), and the ratings of each, (U,)."""
    _, numbers, counts = np.unique(utterances, return_inverse=True, return_counts=True)
    return numbers, counts


def _sums(units: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the sum of the points of each utterance, (R, K) -> (U, K)."""
    return np.stack([np.bincount(units, column) for column in points.T], axis=1)
