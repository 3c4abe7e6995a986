"""Ratings of a corpus: votes of classes, the ceiling of a target, shares of raters."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from ser.corpora import Corpus
from ser.corpora.emotale import emotale
from ser.data.check import check
from ser.data.raters import agreement, attribute_ratings, emotion_ratings, shares

CLASSES = ("anger", "joy")


def corpus(*ratings: tuple[str, str, tuple[str, ...], float]) -> Corpus:
    """A corpus with these ratings: utterance, rater, emotions, valence."""
    columns = ["utterance", "rater", "emotions", "valence"]
    raters = pd.DataFrame(ratings, columns=columns)
    index = pd.Index(sorted(raters["utterance"].unique()), name="utterance")
    table = pd.DataFrame({"speaker": "a", "emotion": "joy"}, index=index)
    return Corpus("small", table, raters)


@pytest.fixture
def rated() -> Corpus:
    return corpus(
        ("u0", "a", ("anger",), 1.0),
        ("u0", "b", ("anger", "rage"), 2.0),  # rage is merged into anger: one vote
        ("u0", "c", ("fear",), 3.0),  # none of the classes
        ("u1", "a", ("joy", "anger"), 4.0),  # a vote for each
        ("u1", "b", ("joy",), np.nan),
        ("u1", "c", ("joy",), 5.0),
        ("u2", "a", (), 2.0),
    )


def test_votes_are_shares_of_the_classes_after_merging(rated: Corpus) -> None:
    ratings = emotion_ratings(rated, rated.table.index, CLASSES, {"rage": "anger"})
    assert ratings is not None
    assert ratings.utterances.tolist() == ["u0", "u0", "u1", "u1", "u1"]
    assert ratings.raters.tolist() == ["a", "b", "a", "b", "c"]
    assert ratings.votes.tolist() == [[1, 0], [1, 0], [0.5, 0.5], [0, 1], [0, 1]]
    table = shares(ratings, CLASSES)
    assert (list(table.index), list(table)) == (["u0", "u1"], ["anger", "joy"])
    np.testing.assert_allclose(table, [[1, 0], [1 / 6, 5 / 6]])
    assert emotion_ratings(rated, rated.table.index, ("boredom",), {}) is None


def test_ceiling_of_classes_is_of_the_selected_utterances_and_classes(rated: Corpus) -> None:
    found = emotion_ratings(rated, rated.table.index, CLASSES, {"rage": "anger"})
    assert found is not None
    # u0: both agree. u1: for a the others say joy, who is half right; for b and c they say joy.
    # Rater a: anger 1 / 1, joy 0.5 / 1; b: 1, 1; c: joy 1.
    assert agreement(found)["ceiling"] == {"ua": pytest.approx((0.75 + 1 + 1) / 3)}
    alone = found.of(pd.Index(["u0"]))
    assert agreement(alone) == {
        "ceiling": {"ua": 1.0},
        "alpha": None,  # all ratings are equal
        "level": "nominal",
        "raters": 2,
        "ratings": 2,
        "utterances": 1,
        "panel": True,
    }


def levels(values: np.ndarray) -> np.ndarray:
    """One-hot classes below and from 3."""
    return np.stack([values < 3, values >= 3], axis=1).astype(float)


def test_class_by_the_other_raters_follows_the_rule_of_the_target() -> None:
    labelled = corpus(
        *(("u0", rater, (), value) for rater, value in zip("abc", (1.0, 2.0, 5.0), strict=True)),
        *(("u1", rater, (), value) for rater, value in zip("abc", (4.0, 4.0, 4.0), strict=True)),
    )
    options = {"single": levels, "name": "valence", "utterances": labelled.table.index}
    by_mean = attribute_ratings(labelled, of_mean=levels, **options)  # type: ignore[arg-type]
    by_majority = attribute_ratings(labelled, of_tie=levels, **options)  # type: ignore[arg-type]
    assert by_mean is not None
    assert by_majority is not None
    # By the mean of the others u0 is high (3.5), high (3), low (1.5): all raters differ from it.
    assert agreement(by_mean)["ceiling"] == {"ua": pytest.approx((0.5 + 0.5 + 0.5) / 3)}
    # By the majority it is a tie for a and b, whose mean is high, and low for c.
    assert agreement(by_majority)["ceiling"] == {"ua": pytest.approx(0.5)}
    assert agreement(by_mean)["level"] == "ordinal"


def test_ratings_that_are_missing_are_no_ratings(rated: Corpus) -> None:
    found = attribute_ratings(rated, rated.table.index, "valence")
    assert found is not None
    assert len(found.utterances) == 6
    assert attribute_ratings(rated, rated.table.index, "dominance") is None
    assert attribute_ratings(Corpus("none", rated.table), rated.table.index, "valence") is None
    one = agreement(found.of(pd.Index(["u2"])))
    assert (one["ceiling"], one["alpha"], one["raters"]) == ({"ccc": None}, None, 1)


def test_check_prints_how_well_raters_agree(emotale_root: Path) -> None:
    whole = emotale(emotale_root)
    few = whole.table.index[:3]  # the agreement does not depend on audio
    corpus = Corpus("few", whole.table.loc[few], whole.raters[whole.raters["utterance"].isin(few)])
    stream = io.StringIO()
    check(corpus, console=Console(file=stream, width=120))
    printed = stream.getvalue()
    assert "agreement of raters" in printed
    valence = attribute_ratings(corpus, few, "valence")
    assert valence is not None
    (row,) = (line for line in printed.splitlines() if "valence" in line and "CCC" in line)
    assert f"CCC {agreement(valence)['ceiling']['ccc']:.3f}" in row
    assert f"{agreement(valence)['alpha']:.3f} (interval)" in row
