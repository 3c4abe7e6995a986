"""Trainings of values and of several tasks: resumed, without a look at the test split, as alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small import fit, made_data, made_model
from test_trainer import Killed, killing_step

from ser.data.batches import Batch
from ser.data.datamodule import DataModule
from ser.models.losses import class_loss, value_loss
from ser.training.heads import ValueOutput
from ser.training.phased import PhasedModel

KINDS = ("value", "tasks")
MODELS = ("mlp", "aae")


CASES = [*((kind, name) for kind in KINDS for name in MODELS), ("soft", "mlp")]


@pytest.fixture(scope="module", params=CASES)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str, Path, np.ndarray]:
    """Kind of the target, name of the model, folder and test predictions of a training."""
    kind, name = request.param
    folder = tmp_path_factory.mktemp(f"{kind}-{name}")
    return kind, name, folder, fit(made_data("utterance", kind=kind), folder, name=name)


def test_a_killed_training_continues_with_the_same_bytes(
    whole: tuple[str, str, Path, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, name, folder, expected = whole
    data = made_data("utterance", kind=kind)
    with monkeypatch.context() as patch:
        step = killing_step(PhasedModel.training_step, 4, [0])  # within an epoch
        patch.setattr(PhasedModel, "training_step", step)
        with pytest.raises(Killed):
            fit(data, tmp_path, name=name)
    torch.rand(3)  # another process starts with another random state
    assert np.array_equal(fit(data, tmp_path, name=name), expected)
    assert (tmp_path / "metrics.csv").read_bytes() == (folder / "metrics.csv").read_bytes()


def test_training_and_selection_do_not_see_the_test_split(
    whole: tuple[str, str, Path, np.ndarray], tmp_path: Path
) -> None:
    kind, name, folder, _ = whole
    fit(made_data("utterance", 1e3, kind, test_noise=True), tmp_path, name=name)
    assert (tmp_path / "metrics.csv").read_bytes() == (folder / "metrics.csv").read_bytes()
    ours, theirs = (
        torch.load(each / "checkpoints" / "best.ckpt", weights_only=True)
        for each in (tmp_path, folder)
    )
    assert ours["epoch"] == theirs["epoch"]
    assert all(torch.equal(ours["weights"][key], theirs["weights"][key]) for key in ours["weights"])


def test_epochs_are_selected_by_the_mean_of_the_first_scores(
    whole: tuple[str, str, Path, np.ndarray],
) -> None:
    kind, _, folder, _ = whole
    record = pd.read_csv(folder / "metrics.csv")
    best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    score = record["val/ccc"] if kind == "value" else record["val/score"]
    assert best["epoch"] == score.idxmax()
    if kind != "value":
        means = record[["val/activation/ccc", "val/emotion/ua"]].mean(axis=1)
        np.testing.assert_allclose(score, means, rtol=1e-6)


def test_each_task_of_an_aae_has_a_latent() -> None:
    model = made_model("aae", made_data("utterance", kind="tasks"))
    assert {name: latent.size for name, latent in model.latents.items()} == {
        "y_activation": 1,
        "y_emotion": 3,
        "z": 4,
    }


def test_a_task_without_a_label_of_an_utterance_has_no_part_in_it() -> None:
    """What the head of one task learns from does not depend on utterances without its label."""
    data = made_data("utterance", kind="tasks")
    (batch,) = [b for b in data.split_dataloader("train") if len(b.y)]
    known = ~batch.y.isnan()
    assert known.sum(dim=0).tolist() == [37, 37]
    assert known.any(dim=1).all()
    model = made_model("mlp", data)
    model.eval()

    def gradient(change: float) -> list[torch.Tensor]:
        model.zero_grad()
        x = batch.x.clone()
        x[~known[:, 0]] += change  # has no label of activation
        only_values = torch.stack([batch.y[:, 0], torch.full_like(batch.y[:, 1], torch.nan)], dim=1)
        model.classification_loss(batch._replace(x=x, y=only_values), None).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    for ours, theirs in zip(gradient(0.0), gradient(5.0), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_one_task_trains_as_the_target_alone(tmp_path: Path) -> None:
    """A head of one task among heads is what the target is by itself, to the last bit."""
    alone = made_data("utterance", kind="value")
    target = alone.target
    several = replace(target, levels=None, labels=target.strata, tasks=(target,))
    data = DataModule(
        alone.features,
        several,
        alone.fold,
        alone.speakers,
        3,
        batch_size=16,
        max_frames=32,
        standardise="train",
        clip=None,
        class_weights=None,
    )
    assert np.array_equal(fit(alone, tmp_path / "alone"), fit(data, tmp_path / "several"))


def test_shares_of_a_task_are_learned_beside_values() -> None:
    """The loss is the sum of that of the values and the cross-entropy with weighted shares."""
    data = made_data("utterance", kind="soft")
    (batch,) = [b for b in data.split_dataloader("val") if len(b.y)]
    assert batch.y.shape == (10, 1 + 1 + 3)
    model = made_model("mlp", data)
    model.eval()
    outputs = model(batch)
    task = data.target.tasks[1]
    assert task.shares is not None
    assert task.weights is not None
    ids = data.fold.val
    known = ids.isin(task.labels.index)
    train = task.labels.index.intersection(data.fold.train)
    weights = task.weights / task.weights.loc[train].mean()
    shares = torch.tensor(task.shares.mul(weights, axis=0).reindex(ids).to_numpy()).float()
    entropy = -(shares * outputs[:, 1:].log_softmax(dim=1))[known].sum(dim=1).mean()
    values = value_loss(*_standardised(model, batch, outputs), "ccc")
    torch.testing.assert_close(model.classification_loss(batch, None), values + entropy)
    # Without majority there is no class, but there are shares.
    assert batch.y[ids.get_loc("u48"), 1].isnan()
    assert not batch.y[ids.get_loc("u48"), 2:].isnan().any()


def _standardised(
    model: PhasedModel, batch: Batch, outputs: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    output = model.outputs.parts[0]
    assert isinstance(output, ValueOutput)
    known = ~batch.y[:, 0].isnan()
    return output.standardised(batch.y[known, 0]), outputs[known, 0]


def test_classes_are_weighted_in_each_task() -> None:
    data = made_data("utterance", kind="tasks")
    balanced = DataModule(
        *(data.features, data.target, data.fold, data.speakers, 3),
        batch_size=16,
        max_frames=32,
        standardise="train",
        clip=None,
        class_weights="balanced",
    )
    task = data.target.tasks[1]
    counts = task.labels.loc[task.labels.index.intersection(data.fold.train)].value_counts()
    weights = counts.sum() / (3 * counts.loc[list("abc")].to_numpy())
    assert balanced.task.class_weights is None
    (_, head) = balanced.task.heads
    assert head.class_weights is not None
    np.testing.assert_allclose(head.class_weights, weights, rtol=1e-6)
    model = made_model("mlp", balanced)
    assert "class_weights" not in " ".join(model.state_dict())
    logits, labels = torch.randn(9, 3), torch.arange(9) % 3
    ours = class_loss(logits, labels, model.outputs.parts[1].class_weights)
    expected = torch.nn.functional.cross_entropy(logits, labels, head.class_weights)
    torch.testing.assert_close(ours, expected)
