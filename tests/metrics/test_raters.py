"""Agreement of raters equals published figures, and is defined where ratings are missing."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from ser import metrics
from ser.corpora.emotale import emotale

_ = np.nan
# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), examples A, B and C; D is that of
# Wikipedia, "Krippendorff's alpha".
BINARY = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
NOMINAL = [list("aabbdcccedda"), list("babbbccceddd")]
MISSING = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
THREE = [
    [_, _, _, _, _, 3, 4, 1, 2, 1, 1, 3, 3, _, 3],
    [1, _, 2, 1, 3, 3, 4, 3, _, _, _, _, _, _, _],
    [_, _, 2, 1, 3, 4, 4, _, 2, 1, 1, 3, 3, _, 4],
]


def ratings(table: object) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Utterances, raters and values of a table with a row per rater."""
    values = np.array(table)
    known = values == values
    raters, utterances = np.nonzero(known)
    return utterances, raters, values[known]


@pytest.mark.parametrize(
    ("table", "level", "expected"),
    [
        (BINARY, "nominal", 0.095),
        (NOMINAL, "nominal", 0.692),
        (MISSING, "nominal", 0.743),
        (MISSING, "ordinal", 0.815),
        (MISSING, "interval", 0.849),
        (THREE, "nominal", 0.691),
        (THREE, "interval", 0.811),
    ],
)
def test_alpha_equals_published_values(table: object, level: str, expected: float) -> None:
    utterances, _, values = ratings(table)
    alpha = metrics.krippendorff_alpha(utterances, values, level)  # type: ignore[arg-type]
    assert alpha == pytest.approx(expected, abs=5e-4)
    order = np.random.default_rng(0).permutation(len(values))
    again = metrics.krippendorff_alpha(utterances[order], values[order], level)  # type: ignore[arg-type]
    assert again == pytest.approx(alpha)


def test_ordinal_alpha_depends_on_the_order_alone() -> None:
    utterances, _, values = ratings(MISSING)
    stretched = metrics.krippendorff_alpha(utterances, values**3, "ordinal")
    assert stretched == pytest.approx(metrics.krippendorff_alpha(utterances, values, "ordinal"))


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_alpha_at_the_edges(level: str) -> None:
    def alpha(table: object) -> float:
        utterances, _, values = ratings(table)
        return metrics.krippendorff_alpha(utterances, values, level)  # type: ignore[arg-type]

    assert alpha([[1, 2, 3], [1, 2, 3]]) == 1
    assert alpha([[1, 2], [2, 1]]) < 0
    assert np.isnan(alpha([[1, 2, 3]]))  # one rater only
    assert np.isnan(alpha([[0.1] * 3, [0.1] * 3]))  # all ratings are equal
    assert np.isnan(metrics.krippendorff_alpha(np.array([]), np.array([]), level))  # type: ignore[arg-type]
    missing = [[1.0, 2, 3, _], [1, 2, 2, _], [_, _, _, 5]]  # an utterance with one rating
    assert alpha(missing) == alpha([row[:3] for row in missing[:2]])


def test_one_rater_against_the_mean_of_the_others_is_the_mean_over_a_panel() -> None:
    values = np.random.default_rng(0).normal(3, 1, (3, 40)).round(1)
    utterances, raters, flat = ratings(values)
    assert metrics.is_panel(utterances, raters)
    each = [
        metrics.ccc(metrics.moments(np.delete(values, r, axis=0).mean(axis=0), values[r]))
        for r in range(3)
    ]
    actual = metrics.leave_one_out_ccc(utterances, raters, flat)
    assert actual == pytest.approx(np.mean(each))


def test_ratings_may_be_missing() -> None:
    values = np.random.default_rng(1).normal(3, 1, (3, 40))
    values[0, :10] = np.nan  # there is one other rater
    values[:2, 10:15] = np.nan  # there is no other rater
    utterances, raters, flat = ratings(values)
    each = []
    for rater in range(3):
        rest = np.delete(values, rater, axis=0)
        known = ~np.isnan(values[rater]) & ~np.isnan(rest).all(axis=0)
        rest = np.nanmean(rest[:, known], axis=0)
        each.append(metrics.ccc(metrics.moments(rest, values[rater][known])))
    actual = metrics.leave_one_out_ccc(utterances, raters, flat)
    assert actual == pytest.approx(np.mean(each))


def test_ratings_of_a_crowd_are_compared_together() -> None:
    """Two of six raters rate each utterance: the score does not depend on who they are."""
    rng = np.random.default_rng(2)
    utterances = np.repeat(np.arange(60), 2)
    raters = np.concatenate([rng.choice(6, 2, replace=False) for _ in range(60)])
    values = rng.normal(3, 1, 120)
    assert not metrics.is_panel(utterances, raters)
    pairs = values.reshape(60, 2)
    swapped = metrics.moments(pairs[:, ::-1].ravel(), pairs.ravel())
    actual = metrics.leave_one_out_ccc(utterances, raters, values)
    assert actual == pytest.approx(float(metrics.ccc(swapped)))
    # Each against the other is the intraclass correlation by Fisher's formula.
    deviations = pairs - pairs.mean()
    assert actual == pytest.approx(deviations.prod(axis=1).mean() / pairs.var())


def test_ua_of_one_rater_against_the_majority_of_the_others() -> None:
    classes = np.random.default_rng(3).integers(0, 3, (4, 200))
    utterances, raters, flat = ratings(classes)
    each = []
    for rater in range(4):
        rest = np.delete(classes, rater, axis=0)
        # After a tie, each of the classes stands for a part of the utterance.
        truth, own, weights = [], [], []
        for votes, chosen in zip(rest.T, classes[rater], strict=True):
            counts = np.bincount(votes, minlength=3)
            for top in np.flatnonzero(counts == counts.max()):
                truth.append(top)
                own.append(chosen)
                weights.append(1 / (counts == counts.max()).sum())
        each.append(balanced_accuracy_score(truth, own, sample_weight=weights))
    actual = metrics.leave_one_out_ua(utterances, raters, np.eye(3)[flat])
    assert actual == pytest.approx(np.mean(each))


def test_ua_is_one_if_raters_agree_and_undefined_with_one_rater() -> None:
    utterances, raters, flat = ratings([[0, 1, 2, 1]] * 3)
    votes = np.eye(4)[flat]  # class 3 has no utterance, and is left out
    assert metrics.leave_one_out_ua(utterances, raters, votes) == 1
    first = raters == 0
    alone = utterances[first], raters[first]
    assert np.isnan(metrics.leave_one_out_ua(*alone, votes[first]))
    assert np.isnan(metrics.leave_one_out_ccc(*alone, flat[first]))


def test_constant_rater_has_a_score() -> None:
    utterances, raters, flat = ratings([[1, 2, 3, 4], [3, 3, 3, 3]])
    assert metrics.leave_one_out_ccc(utterances, raters, flat) == 0


def test_others_are_the_mean_without_the_rating_itself() -> None:
    utterances, votes = np.array([7, 7, 7, 9]), np.array([[1.0], [2.0], [6.0], [5.0]])
    np.testing.assert_allclose(metrics.others(utterances, votes)[:, 0], [4, 3.5, 1.5, np.nan])


def test_two_raters_have_the_same_ccc_each_way() -> None:
    values = np.random.default_rng(4).normal(0, 1, (2, 50))
    utterances, raters, flat = ratings(values)
    actual = metrics.leave_one_out_ccc(utterances, raters, flat)
    assert actual == pytest.approx(float(metrics.ccc(metrics.moments(*values))))
    assert actual <= stats.pearsonr(*values).statistic


def test_ceiling_of_emotale(emotale_root: Path) -> None:
    """One rater with the mean of the other two: 0.766, 0.775, 0.656 by another implementation."""
    raters = emotale(emotale_root).raters
    assert raters is not None
    for name, expected in (("activation", 0.766), ("valence", 0.775), ("dominance", 0.656)):
        actual = metrics.leave_one_out_ccc(
            raters["utterance"].to_numpy(), raters["rater"].to_numpy(), raters[name].to_numpy(float)
        )
        assert actual == pytest.approx(expected, abs=0.005)
