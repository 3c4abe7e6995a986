import pandas as pd
import pytest

from ser.corpora import Corpus
from ser.data.targets import attribute, emotion
from ser.errors import UserError


def corpus(**columns: list) -> Corpus:
    size = len(next(iter(columns.values())))
    index = pd.Index([f"u{i}" for i in range(size)], name="utterance")
    table = pd.DataFrame({"speaker": ["a"] * size, **columns}, index=index)
    return Corpus("small", table)


ALL = {"labelled_fraction": 1.0, "labelled_seed": 0}
EMOTIONS = ["anger", "happiness", "excitement", "neutral", None, "anger"]


def pick(corpus: Corpus, **options: object):
    defaults = {"classes": None, "merge": None, "styles": None, "min_agreement": 0}
    defaults |= ALL
    return emotion(corpus, **{**defaults, **options})  # type: ignore[arg-type]


def test_classes_select_utterances_and_define_the_order() -> None:
    target = pick(corpus(emotion=EMOTIONS), classes=["neutral", "anger"])
    assert target.classes == ("neutral", "anger")
    assert target.codes.to_dict() == {"u0": 1, "u3": 0, "u5": 1}


def test_merged_emotions_are_one_class() -> None:
    target = pick(
        corpus(emotion=EMOTIONS), classes=["anger", "happiness"], merge={"excitement": "happiness"}
    )
    assert target.labels["u2"] == "happiness"
    assert "excitement" not in pick(corpus(emotion=EMOTIONS), merge={"excitement": "joy"}).classes


def test_styles_select_utterances() -> None:
    labelled = corpus(emotion=["anger", "fear", "anger", "fear"], style=["a", "a", "b", "b"])
    assert list(pick(labelled, styles=["b"]).labels.index) == ["u2", "u3"]
    with pytest.raises(UserError, match=r"no style \['c'\], only \['a', 'b'\]"):
        pick(labelled, styles=["c"])


def test_raters_must_agree_on_the_merged_label() -> None:
    labelled = corpus(emotion=["happiness", "anger"])
    raters = pd.DataFrame(
        {
            "utterance": ["u0", "u0", "u0", "u1", "u1", "u1"],
            "rater": [1, 2, 3, 1, 2, 3],
            # The first rater chose both merged emotions, and counts once.
            "emotions": [
                ("happiness", "excitement"), ("neutral",), ("excitement",),
                ("anger",), ("neutral",), ("fear",),
            ],
        }
    )  # fmt: skip
    labelled = Corpus("small", labelled.table, raters)
    options = {"classes": ["anger", "happiness"], "merge": {"excitement": "happiness"}}
    assert list(pick(labelled, **options, min_agreement=1).labels.index) == ["u0", "u1"]
    with pytest.raises(UserError, match="no utterance .* anger"):
        pick(labelled, **options, min_agreement=2)


def test_the_error_for_an_empty_class_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match="hapiness .did you mean happiness"):
        pick(corpus(emotion=EMOTIONS), classes=["anger", "hapiness"])


def test_the_error_for_a_missing_target_lists_the_targets_of_the_corpus() -> None:
    with pytest.raises(
        UserError, match="no valence; its targets are emotion: choose target=emotion"
    ):
        attribute(corpus(emotion=EMOTIONS), name="valence", bins="rounded", styles=None, **ALL)


@pytest.mark.parametrize(
    ("bins", "expected"),
    [
        ("extremes", "llnnnnnhh"),
        ("rounded", "lllnnnhhh"),
        ("strict", "llllnhhhh"),
    ],
)
def test_bins_have_the_documented_edges(bins: str, expected: str) -> None:
    # 1, 2, just below 2.5, 2.5, 3, just below 3.5, 3.5, 4, 5
    values = [1.0, 2.0, 2.4999, 2.5, 3.0, 3.4999, 3.5, 4.0, 5.0]
    target = attribute(corpus(valence=values), name="valence", bins=bins, styles=None, **ALL)
    assert "".join(label[0] for label in target.labels) == expected


def test_majority_of_raters_with_ties_decided_by_the_mean() -> None:
    labelled = corpus(valence=[2.67, 2.5, 4.5])
    raters = pd.DataFrame(
        {
            "utterance": ["u0"] * 3 + ["u1"] * 2 + ["u2"] * 2,
            "rater": [1, 2, 3, 1, 2, 1, 2],
            "valence": [2, 1, 5, 1, 4, 4, 5],
        }
    )
    target = attribute(
        Corpus("small", labelled.table, raters), name="valence", bins="majority", styles=None, **ALL
    )
    # u0: two of three ratings are low, although the mean is neutral; u1: a tie with a neutral mean.
    assert target.labels.tolist() == ["low", "neutral", "high"]


def test_withheld_labels_are_drawn_per_class_from_the_training_split_only() -> None:
    labelled = corpus(emotion=["anger"] * 20 + ["fear"] * 40 + ["joy"])
    target = pick(labelled, labelled_fraction=0.1)
    train = target.labels.index[:15].append(target.labels.index[20:])
    withheld = target.withheld(train)
    usable = target.labels.loc[train.difference(withheld)]
    assert set(withheld) < set(train)
    assert usable.value_counts().to_dict() == {"anger": 2, "fear": 4, "joy": 1}
    assert withheld.equals(target.withheld(train))
    assert not withheld.equals(
        pick(labelled, labelled_fraction=0.1, labelled_seed=1).withheld(train)
    )
    with pytest.raises(UserError, match="labelled_fraction=0"):
        pick(labelled, labelled_fraction=0)


def test_rules_that_need_single_ratings_are_skipped_with_a_remark() -> None:
    target = pick(corpus(emotion=["anger", "fear"]), min_agreement=2)
    assert list(target.labels) == ["anger", "fear"]
    assert target.remarks == (
        "target.min_agreement=2 is ignored: corpus small has no single ratings",
    )
    assert pick(corpus(emotion=["anger", "fear"])).remarks == ()
    labelled = corpus(valence=[1.0, 3.0, 5.0])
    majority, rounded = (
        attribute(labelled, name="valence", bins=bins, styles=None, **ALL)
        for bins in ("majority", "rounded")
    )
    assert majority.labels.equals(rounded.labels)
    assert majority.remarks == (
        "target.bins=majority is replaced by rounded: corpus small has no single ratings",
    )
    assert rounded.remarks == ()
    assert majority.only(labelled.table.index[:1]).remarks == majority.remarks


def test_thresholds_divide_any_scale() -> None:
    values = corpus(valence=[-1.0, -0.5, -0.2, 0.0, 0.4, 1.0])
    target = attribute(values, name="valence", bins=[-0.2, 0.4], styles=None, **ALL)
    assert list(target.labels) == ["low", "low", "neutral", "neutral", "high", "high"]


@pytest.mark.parametrize(
    ("values", "bins", "message"),
    [
        ([-1.0, 0.0, 0.5], "rounded", r"from -1 to 0.5, .* from 1 to 5: .*bins=\[-0.5,0\]"),
        ([0.6, 0.8, 1.0], "strict", "is for a scale from 1 to 5"),
        ([1.0, 4.0, 9.0], "extremes", "is for a scale from 1 to 5"),
        ([1.0, 3.0, 5.0], [3.5, 2.5], "two increasing thresholds"),
        ([1.0, 3.0, 5.0], [3], "two increasing thresholds"),
    ],
)
def test_another_scale_is_named(values: list[float], bins: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        attribute(corpus(valence=values), name="valence", bins=bins, styles=None, **ALL)  # type: ignore[arg-type]
