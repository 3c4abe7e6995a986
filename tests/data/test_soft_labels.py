"""Labels of several raters: by majority, as shares of classes, and weights by agreement."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ser.corpora import Corpus
from ser.data.batches import UNLABELLED
from ser.data.folds import Fold
from ser.data.labels import Labels
from ser.data.targets import Target, attribute, emotion
from ser.errors import UserError

COMMON = {"styles": None, "labelled_fraction": 1.0, "labelled_seed": 0}
VOTES = {
    "u0": ["anger", "anger", "joy"],
    "u1": ["joy", "anger"],  # a tie
    "u2": ["fear", "fear", "joy"],  # most chose none of the classes
    "u3": ["fear", "joy"],  # half did
    "u4": ["joy", "joy", "joy"],
    "u5": ["rage", "anger", "joy"],  # rage is merged into anger
}


@pytest.fixture
def rated() -> Corpus:
    rows = [
        {"utterance": name, "rater": f"r{n}", "emotions": (vote,), "valence": value}
        for name, votes in VOTES.items()
        for n, (vote, value) in enumerate(zip(votes, (1.0, 3.0, 5.0), strict=False))
    ]
    raters = pd.DataFrame(rows)
    means = raters.groupby("utterance")["valence"].mean()
    table = pd.DataFrame({"speaker": "a", "emotion": "anger", "valence": means})
    table.loc["u4", "emotion"] = "joy"
    return Corpus("small", table, raters)


def emotions(corpus: Corpus, **options: Any) -> Target:
    defaults: dict[str, Any] = {"classes": ["anger", "joy"], "merge": {"rage": "anger"}}
    return emotion(corpus, **{**COMMON, "min_agreement": 0, **defaults, **options})


def valence(corpus: Corpus, **options: Any) -> Target:
    return attribute(corpus, **{**COMMON, "name": "valence", "bins": "rounded", **options})


def test_majority_of_emotions_leaves_out_ties_and_other_emotions(rated: Corpus) -> None:
    target = emotions(rated, labels="majority")
    assert target.labels.to_dict() == {"u0": "anger", "u3": "joy", "u4": "joy", "u5": "anger"}
    assert target.shares is None
    assert target.tied.empty
    of_corpus = emotions(rated)
    assert of_corpus.labels["u3"] == "anger"  # what the corpus says
    assert (of_corpus.shares, of_corpus.weights) == (None, None)


def test_distribution_keeps_ties_and_has_the_shares(rated: Corpus) -> None:
    target = emotions(rated, labels="distribution")
    assert target.shares is not None
    assert target.shares["anger"].round(3).to_dict() == {
        "u0": 0.667, "u1": 0.5, "u3": 0.0, "u4": 0.0, "u5": 0.667,
    }  # fmt: skip
    assert target.shares.sum(axis=1).tolist() == pytest.approx([1.0] * 5)
    assert list(target.tied) == ["u1"]
    assert target.truth.isna().to_dict()["u1"]
    assert target.truth["u0"] == "anger"
    assert target.remarks == ("1 utterances without a majority of raters have no part in UA",)
    half = target.only(pd.Index(["u1", "u4"]))
    assert half.shares is not None
    assert list(half.shares.index) == list(half.labels.index) == ["u1", "u4"]
    tested = replace(target, labels=target.labels.loc[["u4", "u0"]]).only(pd.Index(["u4"]))
    assert tested.shares is not None
    assert list(tested.shares.index) == ["u4"]


def test_raters_must_agree_on_the_class_of_most_raters(rated: Corpus) -> None:
    target = emotions(rated, labels="distribution", min_agreement=2)
    assert list(target.labels.index) == ["u0", "u4", "u5"]


def test_majority_of_an_attribute_is_the_rule_of_the_same_name(rated: Corpus) -> None:
    # Most ratings of u0 are low, and their mean is neutral.
    some = rated.raters.assign(valence=[2, 2, 5, 3, 3, 5, 5, 3, 1, 2, 4, 4, 5, 1, 3, 5])  # type: ignore[union-attr]
    means = some.groupby("utterance")["valence"].mean()
    corpus = replace(rated, table=rated.table.assign(valence=means), raters=some)
    old, new = valence(corpus, bins="majority"), valence(corpus, labels="majority")
    pd.testing.assert_series_equal(old.labels, new.labels)
    soft = valence(corpus, labels="distribution")
    pd.testing.assert_series_equal(soft.labels, old.labels)
    assert soft.shares is not None
    counts = some[some["utterance"] == "u0"]["valence"]
    assert soft.shares.loc["u0", "low"] == pytest.approx((counts < 2.5).mean())
    assert soft.tied.empty  # after a tie, the class of the mean
    assert valence(corpus).labels.to_dict() != old.labels.to_dict()


def test_weights_are_the_share_of_raters_who_chose_the_label(rated: Corpus) -> None:
    weights = emotions(rated, weights="agreement").weights
    assert weights is not None
    expected = {"u0": 2 / 3, "u1": 0.5, "u2": 0.0, "u3": 0.0, "u4": 1.0, "u5": 2 / 3}
    assert weights.to_dict() == pytest.approx(expected)


@pytest.mark.parametrize("options", [{"labels": "distribution"}, {"weights": "agreement"}])
def test_corpora_without_raters_are_refused(options: dict, rated: Corpus) -> None:
    table = rated.table.assign(valence=[1.0, 2, 3, 3, 4, 5])
    for make in (emotions, valence):
        with pytest.raises(UserError, match="needs single ratings, and corpus none has none"):
            make(Corpus("none", table), **options)


def fold(copies: pd.Series | None = None) -> Fold:
    train, val, test = (pd.Index(ids) for ids in (["u0", "u3", "u5"], ["u1"], ["u4"]))
    extra = {} if copies is None else {"copies": copies}
    return Fold(0, 1, train, val, test, fit=train, speaker_independent=False, **extra)


def test_batches_have_the_class_and_the_shares(rated: Corpus) -> None:
    target = emotions(rated, labels="distribution")
    labels = Labels.of(target, fold(pd.Series({"u0 copy": "u0"})))
    y = labels.batched(pd.Index(["u0", "u1", "u0 copy"])).numpy()
    third = 1 / 3
    np.testing.assert_allclose(
        y, [[0, 2 * third, third], [np.nan, 0.5, 0.5], [0, 2 * third, third]], rtol=1e-6
    )
    assert labels.classes_of(pd.Index(["u1", "u4"])).tolist() == [UNLABELLED, 1]
    assert [head.columns for head in labels.heads(fold().train, balanced=False)] == [3]


def test_withheld_shares_are_not_used(rated: Corpus) -> None:
    target = replace(emotions(rated, labels="distribution"), labelled_fraction=0.01)
    labels = Labels.of(target, fold())
    withheld = target.withheld(fold().train)
    assert len(withheld) == 1
    assert np.isnan(labels.batched(withheld).numpy()).all()
    assert list(labels.labelled(fold().train)) == list(fold().train.difference(withheld))


def test_weights_have_a_mean_of_one_over_the_training_split(rated: Corpus) -> None:
    train = pd.Index(["u0", "u4", "u5"])
    labels = Labels.of(emotions(rated, weights="agreement"), replace(fold(), train=train))
    shares = labels.batched(train).numpy()[:, 1:]
    # Two, three and two of three raters chose the label.
    np.testing.assert_allclose(shares, [[6 / 7, 0], [0, 9 / 7], [6 / 7, 0]], rtol=1e-6)
