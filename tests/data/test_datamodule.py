"""What a fold's data are standardised by, and who is in which batch with which label."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from ser.data.batches import UNLABELLED
from ser.data.datamodule import DataModule, View, column_groups
from ser.data.folds import Fold
from ser.data.targets import Target
from ser.errors import UserError
from ser.features import Features
from ser.models.aae import AAE
from ser.models.classifier import Classifier

IDS = pd.Index([f"u{i:02d}" for i in range(60)])
TRAIN, VAL, TEST = IDS[:40], IDS[40:50], IDS[50:]
LABELS = pd.Series([*"aaab" * 10, *"ab" * 10], index=IDS)
SPEAKERS = pd.Series(np.arange(60) // 10, index=IDS).astype(str)
LENGTHS = np.random.default_rng(1).integers(1, 20, 60)
OFFSETS = np.concatenate([[0], LENGTHS.cumsum()])


def raw(level: str) -> np.ndarray:
    rows = LENGTHS.sum() if level == "frame" else 60
    return np.random.default_rng(0).normal(50, 9, (rows, 3)).astype(np.float32)


def made(
    level: str = "utterance",
    values: np.ndarray | None = None,
    fraction: float = 1.0,
    labels: pd.Series = LABELS,
    view: View = View(),  # noqa: B008 (frozen)
    **options: Any,
) -> DataModule:
    defaults = {
        "batch_size": 16,
        "max_frames": 16,
        "standardise": "train",
        "clip": None,
        "class_weights": None,
    }
    offsets = OFFSETS if level == "frame" else None
    data = DataModule(
        Features(IDS, raw(level) if values is None else values, offsets, ("a1", "a2", "b"), level),  # type: ignore[arg-type]
        Target("emotion", ("a", "b"), labels, labelled_fraction=fraction),
        Fold(0, 1, TRAIN, VAL, TEST, fit=TRAIN, speaker_independent=True),
        SPEAKERS,
        0,
        view,
        **{**defaults, **options},
    )
    data.setup("fit")
    return data


def rows_of(level: str, ids: pd.Index) -> np.ndarray:
    numbers = IDS.get_indexer(ids)
    if level == "utterance":
        return numbers
    return np.concatenate([np.arange(OFFSETS[i], OFFSETS[i + 1]) for i in numbers])


@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_features_are_standardised_by_the_training_part_alone(level: str) -> None:
    data, values = made(level), raw(level)
    train = values[rows_of(level, TRAIN)].astype(np.float64)
    np.testing.assert_allclose(data.standardiser.mean, train.mean(0))
    np.testing.assert_allclose(data.standardiser.scale, train.std(0))
    garbage = values.copy()
    garbage[rows_of(level, IDS[40:])] = 1e9
    again = made(level, garbage)
    assert np.array_equal(again.standardiser.mean, data.standardiser.mean)
    first, second = (next(iter(d.train_dataloader())) for d in (data, again))
    assert torch.equal(first.x, second.x)
    if level == "utterance":
        (val,) = data.val_dataloader()
        expected = (values[40:50] - train.mean(0)) / train.std(0)
        np.testing.assert_allclose(val.x, expected, rtol=1e-5, atol=1e-5)


def test_parts_are_handed_out_in_their_order_with_their_classes() -> None:
    data = made()
    for part, ids in (("val", VAL), ("test", TEST)):
        y = torch.cat([batch.y for batch in data.split_dataloader(part)])
        assert y.tolist() == [0 if LABELS[i] == "a" else 1 for i in ids]


@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_a_labelled_fraction_hides_labels_of_the_training_part_alone(level: str) -> None:
    data = made(level, fraction=0.2)
    assert len(data.labelled) == 8
    counts = LABELS.loc[data.labelled].value_counts()
    assert counts.to_dict() == {"a": 6, "b": 2}
    for unlabelled in (False, True):
        seen = made(level, fraction=0.2, view=View(unlabelled=unlabelled))
        y = torch.cat([batch.y for batch in seen.train_dataloader()])
        assert len(y) == (40 if unlabelled else 8)
        assert (y == UNLABELLED).sum() == (32 if unlabelled else 0)
        assert y[y != UNLABELLED].bincount().tolist() == [6, 2]
    for part in ("val", "test"):
        y = torch.cat([batch.y for batch in data.split_dataloader(part)])
        assert (y != UNLABELLED).all()
    assert [len(column) for column in data.table("train")] == [8, 8, 8]
    # Statistics need no labels: all training utterances give them.
    assert np.array_equal(data.standardiser.mean, made(level).standardiser.mean)


def test_models_say_whether_unlabelled_utterances_teach_them() -> None:
    assert AAE.uses_unlabelled
    assert not Classifier.uses_unlabelled


@pytest.mark.parametrize("fraction", [1.0, 0.2])
def test_balanced_weights_make_labelled_classes_count_the_same(fraction: float) -> None:
    data = made(fraction=fraction, class_weights="balanced")
    counts = LABELS.loc[data.labelled].value_counts()
    weights = data.task.class_weights
    assert weights is not None
    assert float(weights[0] * counts["a"]) == pytest.approx(float(weights[1] * counts["b"]))
    assert float((weights * torch.tensor([counts["a"], counts["b"]])).sum()) == len(data.labelled)
    assert made().task.class_weights is None


def test_an_empty_class_in_training_is_told() -> None:
    labels = LABELS.copy()
    labels.loc[TRAIN] = "a"
    with pytest.raises(UserError, match="fold 0: no training utterance has class b"):
        made(labels=labels)


@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_each_speaker_by_their_own_statistics(level: str) -> None:
    data = made(level, standardise="speaker")
    for ids in SPEAKERS.groupby(SPEAKERS).groups.values():
        rows = rows_of(level, pd.Index(ids))
        np.testing.assert_allclose(data.values[rows].mean(0), 0, atol=1e-4)
        np.testing.assert_allclose(data.values[rows].std(0), 1, atol=1e-4)


def test_values_are_clipped_after_standardisation() -> None:
    values = raw("utterance")
    values[3] = 1e6
    (val,) = made(clip=1.0).val_dataloader()
    assert val.x.abs().max() == 1.0
    first = torch.cat([b.x for b in made(values=values, clip=2.0).train_dataloader()])
    assert first.abs().max() == 2.0


def test_a_table_is_of_the_parts_asked_for_and_not_standardised() -> None:
    x, y, ids = made().table("val", "train")
    assert np.array_equal(x, raw("utterance")[:50])
    assert y.tolist() == [0 if label == "a" else 1 for label in LABELS[:50]]
    assert ids.tolist() == IDS[:50].tolist()


def test_class_counts_by_part() -> None:
    counts = made().class_counts()
    assert counts.loc["a"].to_dict() == {"train": 30, "val": 5, "test": 5}
    assert counts.to_numpy().sum() == 60


def test_the_task_says_what_models_are_made_for() -> None:
    task = made().task
    assert (task.inputs, task.classes, task.groups) == (3, 2, {"a": [0, 1], "b": [2]})
    assert column_groups(("F0final_sma", "mfcc_sma[1]", "123")) == {
        "f": [0],
        "mfcc": [1],
        "other": [2],
    }
