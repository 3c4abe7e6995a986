"""A run that is stopped anywhere and continued ends as one that never was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small import EPOCHS, OF_MODEL, fit, made_data, made_model

from ser.data.datamodule import DataModule
from ser.errors import UserError
from ser.training.phased import PhasedModel
from ser.training.trainer import Best, Training, probabilities


@pytest.fixture(scope="module")
def data() -> DataModule:
    return made_data("utterance")


class Killed(BaseException):
    """Like a kill: nothing may catch it and tidy up."""


def killing_step(step: Callable, at: int, count: list[int]) -> Callable:
    def wrapped(self: PhasedModel, batch: object, batch_idx: int) -> None:
        if count[0] == at:
            raise Killed
        count[0] += 1
        return step(self, batch, batch_idx)

    return wrapped


@pytest.fixture(scope="module", params=OF_MODEL)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, DataModule, np.ndarray, str]:
    """A model's name, its data, and what it ends in when nothing stops it."""
    folder = tmp_path_factory.mktemp("whole")
    data = made_data(OF_MODEL[request.param])
    found = fit(data, folder, name=request.param)
    return request.param, data, found, (folder / "metrics.csv").read_text()


# Within epochs, at their ends, and right after.
@pytest.mark.parametrize("at", [1, 2, 3, 4, 8, 9, 11])
def test_killed_before_a_batch_and_continued(
    at: int,
    tmp_path: Path,
    whole: tuple[str, DataModule, np.ndarray, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, data, found, metrics = whole
    with monkeypatch.context() as patch:
        step = killing_step(PhasedModel.training_step, at, [0])
        patch.setattr(PhasedModel, "training_step", step)
        with pytest.raises(Killed):
            fit(data, tmp_path, name=name)
    torch.rand(at)  # another process has other random numbers behind it
    assert np.array_equal(fit(data, tmp_path, name=name), found)
    assert (tmp_path / "metrics.csv").read_text() == metrics


def test_saving_often_or_never_changes_nothing(
    tmp_path: Path, whole: tuple[str, DataModule, np.ndarray, str]
) -> None:
    name, data, found, _ = whole
    assert np.array_equal(fit(data, tmp_path, name=name, checkpoint_seconds=1e9), found)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_the_first_best_epoch_on_validation_is_kept(data: DataModule, tmp_path: Path) -> None:
    fit(data, tmp_path)
    record = pd.read_csv(tmp_path / "metrics.csv")
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert len(record) == EPOCHS
    assert best["epoch"] == record["val/ua"].idxmax()
    model = made_model("mlp", data)
    model.load_state_dict(best["weights"])
    val = probabilities(model, data, "val").argmax(1)
    truth = torch.cat([batch.y for batch in data.val_dataloader()])
    recalls = [(val[truth == c] == c).float().mean() for c in truth.unique()]
    assert float(torch.stack(recalls).mean()) == pytest.approx(record["val/ua"].max())


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(
    data: DataModule, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"train/classification_loss.* not finite.*learning rate"):
        fit(data, tmp_path, "model.optimiser.lr=1e30", max_epochs=50)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"devices": 2}, "trainer.devices=2: .*trainer=ddp"),
        ({"runs_per_gpu": 0}, "trainer.runs_per_gpu=0: at least 1"),
        ({"accelerator": "gpu"}, "trainer=gpu, and torch sees no GPU .*trainer.accelerator=cpu"),
    ],
)
def test_devices_that_cannot_be_are_told(
    options: dict[str, object],
    told: str,
    data: DataModule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=told):
        fit(data, tmp_path, **options)


@pytest.mark.parametrize("accelerator", ["gpu", "auto"])
def test_a_run_on_a_gpu_keeps_its_slot_while_it_is_trained(
    accelerator: str, data: DataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Lightning is given, as there is no GPU here."""
    events: list[object] = []

    @contextmanager
    def free_gpu(runs_per_gpu: int) -> Iterator[int]:
        events.append(f"taken, {runs_per_gpu} a GPU")
        yield 5
        events.append("given back")

    def train(self: Training, model: PhasedModel, *args: object, **where: object) -> Best:
        events.append(where)
        best = Best()
        best.weights = model.state_dict()
        return best

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr("ser.training.trainer.free_gpu", free_gpu)
    monkeypatch.setattr(Training, "_train", train)
    data.setup("fit")
    fit(data, tmp_path, accelerator=accelerator, runs_per_gpu=3)
    assert events == ["taken, 3 a GPU", {"devices": [5]}, "given back"]


def test_checkpoints_load_without_unpickling_code(
    data: DataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        step = killing_step(PhasedModel.training_step, 4, [0])
        patch.setattr(PhasedModel, "training_step", step)
        with pytest.raises(Killed):
            fit(data, tmp_path)
    torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.parametrize("name", OF_MODEL)
def test_nothing_fitted_sees_the_test_part(name: str, tmp_path: Path) -> None:
    """Test features replaced by garbage: everything fitted stays bit-identical."""
    data = made_data(OF_MODEL[name])
    fit(data, tmp_path / "a", name=name)
    values = data._values.copy()
    values[data._rows_of(data.fold.test)] = 1e6
    garbage = made_data(OF_MODEL[name], values)
    fit(garbage, tmp_path / "b", name=name)
    a, b = ((tmp_path / x / "checkpoints" / "best.ckpt").read_bytes() for x in "ab")
    assert a == b
    assert np.array_equal(data.standardiser.mean, garbage.standardiser.mean)
