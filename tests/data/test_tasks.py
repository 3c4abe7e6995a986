"""Targets of several tasks, their labels in a fold, and what identifies them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ser.corpora import Corpus
from ser.data.fingerprint import fingerprint
from ser.data.folds import Fold
from ser.data.targets import Target, attribute, attributes, emotion
from ser.data.task_labels import TaskLabels, labels_of
from ser.errors import UserError

NAN = float("nan")
ALL = {"labelled_fraction": 1.0, "labelled_seed": 0}
WEIGHTS = {"activation": 1.0, "valence": 2.0, "dominance": 1.0, "emotion": 1.0}
TABLE = pd.DataFrame(
    {
        "speaker": list("aabbccdd"),
        "activation": [1.0, 4.5, NAN, 3.0, 2.0, 4.0, 1.5, NAN],
        "valence": [2.0, NAN, 3.0, 4.0, 1.0, 3.5, 4.0, NAN],
        "emotion": ["sad", "angry", "angry", None, "sad", "angry", "sad", "sad"],
    },
    index=pd.Index([f"u{n}" for n in range(8)], name="utterance"),
)
CORPUS = Corpus("small", TABLE)
FOLD = Fold(
    0, 1, TABLE.index[:5], TABLE.index[5:6], TABLE.index[6:], TABLE.index[:5], False
)  # fmt: skip


def pick(*names: str, **options: Any) -> Target:
    defaults = {"bins": None, "classes": None, "merge": None, "styles": None, **ALL}
    defaults |= {"loss_weights": WEIGHTS}
    return attributes(CORPUS, names=names, **{**defaults, **options})  # type: ignore[arg-type]


def test_utterances_of_any_task_are_selected_in_the_order_of_the_corpus() -> None:
    target = pick("activation", "valence")
    assert list(target.labels.index) == ["u0", "u1", "u2", "u3", "u4", "u5", "u6"]
    assert [task.name for task in target.tasks] == ["activation", "valence"]
    assert [len(task.labels) for task in target.tasks] == [6, 6]
    assert not target.is_value
    # u2 has no activation: its level is that of its valence.
    assert target.strata["u2"] == "neutral"
    assert target.strata["u1"] == "high"
    only = target.only(pd.Index(["u1", "u2"]))
    assert [list(task.labels.index) for task in only.tasks] == [["u1"], ["u2"]]


def test_a_single_task_is_the_target_by_itself() -> None:
    value = attribute(CORPUS, name="activation", bins=None, styles=None, **ALL)
    pd.testing.assert_series_equal(pick("activation").labels, value.labels)
    assert pick("activation").is_value
    named = emotion(CORPUS, classes=None, merge=None, styles=None, min_agreement=0, **ALL)
    assert pick("emotion").classes == named.classes
    assert pick("emotion").tasks == ()


def test_labels_have_a_column_for_each_task_and_nan_where_there_is_none() -> None:
    labels = labels_of(pick("activation", "valence", "emotion"), FOLD)
    y = labels.batched(TABLE.index[:4]).numpy()
    # Classes are angry (0) and sad (1).
    expected = [[1.0, 2.0, 1.0], [4.5, NAN, 0.0], [NAN, 3.0, 0.0], [3.0, 4.0, NAN]]
    np.testing.assert_array_equal(y, np.asarray(expected, np.float32))
    heads = labels.heads(labels.labelled(FOLD.train), balanced=False)
    assert [(h.name, h.classes, h.weight) for h in heads] == [
        ("activation", 0, 1.0), ("valence", 0, 2.0), ("emotion", 2, 1.0)
    ]  # fmt: skip
    assert heads[0].values is not None
    assert heads[0].values.tolist() == [1.0, 4.5, 3.0, 2.0]  # of the training split alone
    assert heads[2].values is None


def test_an_utterance_is_withheld_with_all_of_its_labels() -> None:
    target = pick("activation", "emotion", labelled_fraction=0.5)
    withheld = target.withheld(FOLD.train)
    assert 0 < len(withheld) < len(FOLD.train)
    labels = TaskLabels.of(target, FOLD)
    assert labels.known.loc[withheld].isna().all(axis=None)
    assert set(labels.labelled(FOLD.train)) == set(FOLD.train) - set(withheld)
    # Validation and test keep theirs.
    assert labels.known.loc[["u5", "u6"]].notna().all(axis=None)


def test_a_task_needs_labels_in_training_and_validation() -> None:
    table = TABLE.assign(valence=[2.0, NAN, NAN, NAN, NAN, 3.0, 4.0, NAN])
    options = {"bins": None, "classes": None, "merge": None, "styles": None, **ALL}
    options |= {"names": ["activation", "valence"], "loss_weights": WEIGHTS}
    target = attributes(Corpus("small", table), **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="fold 0: .*less than two values of valence"):
        target.require_training_classes(0, FOLD.train)
    table = TABLE.assign(valence=[2.0, 3.0, 1.0, NAN, NAN, NAN, 4.0, NAN])
    target = attributes(Corpus("small", table), **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no validation utterance has a label of valence"):
        target.require_validation_labels(0, FOLD.val)


def test_the_labels_of_every_task_identify_a_run() -> None:
    contents = pd.Series("audio", index=TABLE.index)
    fold = Fold(0, 1, TABLE.index[:4], TABLE.index[4:6], TABLE.index[6:7], FOLD.fit, False)

    def key(table: pd.DataFrame, *names: str) -> str:
        corpus = Corpus("small", table)
        options = {"bins": None, "classes": None, "merge": None, "styles": None, **ALL}
        target = attributes(corpus, names=names, loss_weights=WEIGHTS, **options)  # type: ignore[arg-type]
        return fingerprint(corpus, target, fold, TABLE.index[:0], contents)

    names = ("activation", "valence")
    changed = TABLE.assign(valence=TABLE["valence"].replace(3.5, 3.4))
    keys = {key(TABLE, *names), key(changed, *names), key(TABLE, *names, "emotion")}
    assert len(keys) == 3
    assert key(TABLE.copy(), *names) in keys


def test_the_shares_of_a_task_identify_a_run() -> None:
    contents = pd.Series("audio", index=TABLE.index)
    fold = Fold(0, 1, TABLE.index[:3], TABLE.index[4:6], TABLE.index[6:7], FOLD.fit, False)
    target = pick("activation", "emotion")
    value, emotion_task = target.tasks
    keys = set()
    for shares in (None, [0.75, 0.25], [0.5, 0.5]):
        index = emotion_task.labels.index
        columns = list(emotion_task.classes)
        table = None if shares is None else pd.DataFrame([shares] * len(index), index, columns)
        soft = replace(target, tasks=(value, replace(emotion_task, shares=table)))
        keys.add(fingerprint(CORPUS, soft, fold, TABLE.index[:0], contents))
    assert len(keys) == 3
