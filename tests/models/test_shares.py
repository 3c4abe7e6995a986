"""Networks learn shares of raters: the same as labels where all agree; no leaks; exact resume."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small import CLASSES, fit, made_data, made_model
from torch.nn import functional

from ser.data.datamodule import DataModule
from ser.data.targets import Target
from ser.models.losses import shares_loss
from ser.training.heads import SharesOutput


def with_target(data: DataModule, target: Target) -> DataModule:
    return DataModule(
        data.features,
        target,
        data.fold,
        data.speakers,
        data.seed,
        batch_size=data.batch_size,
        max_frames=data.max_frames,
        standardise="train",
        clip=None,
        class_weights=None,
    )


def soft(data: DataModule, *, test: bool = True) -> DataModule:
    """Shares of five raters, most of whom choose the label.

    Args:
        data: With classes.
        test: False: other shares and labels in the test split.
    """
    labels = data.target.labels.copy()
    if not test:
        labels.loc[data.fold.test] = "a"
    rng = np.random.default_rng(5)
    one_hot = np.eye(3)[[CLASSES.index(label) for label in labels]]
    shares = (3 * one_hot + rng.multinomial(2, [1 / 3] * 3, len(labels))) / 5
    table = pd.DataFrame(shares, labels.index, list(CLASSES))
    return with_target(data, replace(data.target, labels=labels, shares=table))


def agreed(data: DataModule) -> DataModule:
    """All raters choose the label."""
    one_hot = np.eye(3)[data.target.codes]
    table = pd.DataFrame(one_hot, data.target.labels.index, list(CLASSES))
    return with_target(data, replace(data.target, shares=table))


def test_loss_is_the_cross_entropy_with_the_shares() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    shares = torch.tensor([[0.2, 0.3, 0.5], [1, 0, 0], [float("nan")] * 3, [0, 0.5, 0.5]])
    known = [0, 1, 3]
    expected = -(shares[known] * logits[known].log_softmax(dim=1)).sum() / 3
    torch.testing.assert_close(shares_loss(logits, shares, None), expected)
    hard = torch.tensor([2, 0, 1])
    of_labels = functional.cross_entropy(logits[:3], hard)
    torch.testing.assert_close(shares_loss(logits[:3], torch.eye(3)[hard], None), of_labels)
    nothing = shares_loss(logits.requires_grad_(), torch.full((4, 3), float("nan")), None)
    nothing.backward()
    assert nothing.item() == 0
    assert not logits.grad.any()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["mlp", "aae"])
def test_shares_of_raters_who_agree_are_labels(name: str, tmp_path: Path) -> None:
    data = made_data("utterance")
    hard = fit(data, tmp_path / "hard", name=name, max_epochs=1)
    shares = fit(agreed(data), tmp_path / "soft", name=name, max_epochs=1)
    np.testing.assert_allclose(shares, hard, atol=1e-5)
    differing = fit(soft(data), tmp_path / "differing", name=name, max_epochs=1)
    assert not np.allclose(differing, hard, atol=1e-3)


def test_nothing_fitted_or_selected_sees_the_shares_of_the_test_split(tmp_path: Path) -> None:
    data = made_data("utterance")
    first = fit(soft(data), tmp_path / "first", name="aae", max_epochs=1)
    other = fit(soft(data, test=False), tmp_path / "other", name="aae", max_epochs=1)
    np.testing.assert_array_equal(first, other)


def test_resumed_training_gives_the_same_bytes(tmp_path: Path) -> None:
    whole = fit(soft(made_data("utterance")), tmp_path / "whole", max_epochs=2)
    fit(soft(made_data("utterance")), tmp_path / "parts", max_epochs=1)
    parts = fit(soft(made_data("utterance")), tmp_path / "parts", max_epochs=2)
    np.testing.assert_array_equal(parts, whole)


def test_validation_is_scored_by_the_class_of_most_raters() -> None:
    data = soft(made_data("utterance"))
    tied = data.fold.val[:2]
    data = with_target(data, replace(data.target, tied=tied))
    model = made_model("mlp", data)
    model.on_validation_epoch_start()
    (batch,) = data.val_dataloader()
    model.eval()
    with torch.no_grad():
        predicted = model.predictions(batch)
        model.validation_step(batch, 0)
    scores = model.outputs.scores()
    truth = torch.tensor(data.target.codes.loc[data.fold.val[2:]].to_numpy())
    hits = (predicted[2:].argmax(dim=1) == truth).float()
    expected = torch.stack([hits[truth == c].mean() for c in truth.unique()]).mean()
    assert scores["ua"] == pytest.approx(float(expected))
    assert data.target.shares is not None
    shares = torch.tensor(data.target.shares.loc[data.fold.val].to_numpy(np.float32))
    loss = -(shares * predicted.log()).sum(dim=1).mean()
    assert scores["loss"] == pytest.approx(float(loss), rel=1e-5)
    assert isinstance(model.outputs.parts[0], SharesOutput)


def test_weights_of_zero_leave_utterances_out(tmp_path: Path) -> None:
    """The labels of utterances with weight 0 have no influence."""
    data = made_data("utterance")
    weights = pd.Series(1.0, data.target.labels.index)
    weights.loc[data.fold.train[::3]] = 0.0
    wrong = data.target.labels.copy()
    wrong.loc[data.fold.train[::3]] = "a"
    results = [
        fit(
            with_target(data, replace(data.target, labels=labels, weights=weights)),
            tmp_path / f"{number}",
            max_epochs=1,
        )
        for number, labels in enumerate((data.target.labels, wrong))
    ]
    np.testing.assert_array_equal(*results)
