"""A run that is stopped anywhere and resumed has the results of an uninterrupted one."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from processes import exit_codes, fork
from pytorch_lightning.loggers.logger import DummyLogger
from small import EPOCHS, OF_MODEL, fit, made_data, made_model, training

from ser.data.batches import Batches
from ser.data.datamodule import DataModule
from ser.errors import UserError
from ser.training.callbacks import RowsOnGpu
from ser.training.phased import PhasedModel
from ser.training.prediction import predictions
from ser.training.stopping import BestValidation
from ser.training.trainer import Training


@pytest.fixture(scope="module")
def data() -> DataModule:
    return made_data("utterance")


class Killed(BaseException):
    """Raised in place of a kill: not an `Exception`, so that nothing cleans up."""


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
    """Name and data of a model; test probabilities and record of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    data = made_data(OF_MODEL[request.param])
    probabilities = fit(data, folder, name=request.param)
    return request.param, data, probabilities, (folder / "metrics.csv").read_text()


# Within epochs, at their ends, and right after.
@pytest.mark.parametrize("at", [1, 2, 3, 4, 8, 9, 11])
def test_resumed_run_equals_uninterrupted_run(
    at: int,
    tmp_path: Path,
    whole: tuple[str, DataModule, np.ndarray, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, data, expected, metrics = whole
    with monkeypatch.context() as patch:
        step = killing_step(PhasedModel.training_step, at, [0])
        patch.setattr(PhasedModel, "training_step", step)
        with pytest.raises(Killed):
            fit(data, tmp_path, name=name)
    torch.rand(at)  # another process starts with another random state
    assert np.array_equal(fit(data, tmp_path, name=name), expected)
    assert (tmp_path / "metrics.csv").read_text() == metrics


def test_saving_never_changes_nothing(
    tmp_path: Path, whole: tuple[str, DataModule, np.ndarray, str]
) -> None:
    name, data, expected, _ = whole
    assert np.array_equal(fit(data, tmp_path, name=name, checkpoint_seconds=1e9), expected)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_first_epoch_with_the_highest_validation_score_is_selected(
    data: DataModule, tmp_path: Path
) -> None:
    fit(data, tmp_path)
    record = pd.read_csv(tmp_path / "metrics.csv")
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert len(record) == EPOCHS
    assert best["epoch"] == record["val/ua"].idxmax()
    model = made_model("mlp", data)
    model.load_state_dict(best["weights"])
    val = predictions(model, data, "val").argmax(1)
    truth = torch.cat([batch.y for batch in data.val_dataloader()])
    recalls = [(val[truth == c] == c).float().mean() for c in truth.unique()]
    assert float(torch.stack(recalls).mean()) == pytest.approx(record["val/ua"].max())


def test_infinite_loss_raises_an_error(data: DataModule, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train/classification_loss.* not finite.*learning rate"):
        fit(data, tmp_path, "model.optimiser.lr=1e30", max_epochs=50)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 2}, "trainer.devices=2: .*trainer=ddp"),
        ({"runs_per_gpu": 0}, "trainer.runs_per_gpu=0: at least 1"),
        ({"accelerator": "gpu"}, "trainer=gpu: torch sees no GPU .*trainer.accelerator=cpu"),
        ({"precision": "tf32"}, "trainer.precision=tf32: .*trainer=gpu"),
    ],
)
def test_impossible_devices_raise_errors(
    options: dict[str, object],
    message: str,
    data: DataModule,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=message):
        fit(data, tmp_path, **options)


@pytest.mark.parametrize("accelerator", ["gpu", "auto"])
def test_run_on_a_gpu_holds_its_slot_during_training(
    accelerator: str, data: DataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks the arguments of Lightning, because tests run without GPU."""
    events: list[object] = []

    @contextmanager
    def free_gpu(runs_per_gpu: int) -> Iterator[int]:
        events.append(f"taken, {runs_per_gpu} per GPU")
        yield 5
        events.append("released")

    def train(
        self: Training,
        model: PhasedModel,
        data: DataModule,
        folder: Path,
        loggers: object,
        selection: BestValidation,
        *args: object,
        **devices: object,
    ) -> None:
        events.append(devices)
        selection.weights = model.state_dict()

    monkeypatch.setattr("ser.config.machine._has_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr("ser.training.trainer.free_gpu", free_gpu)
    monkeypatch.setattr(Training, "_train", train)
    data.setup("fit")
    fit(data, tmp_path, accelerator=accelerator, runs_per_gpu=3)
    assert events == ["taken, 3 per GPU", {"devices": [5]}, "released"]


@pytest.mark.parametrize("has_room", [True, False])
def test_features_are_on_the_gpu_during_training_if_they_fit(
    has_room: bool, data: DataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the meta device in the place of the GPU."""
    monkeypatch.setattr("ser.training.callbacks.has_room", lambda size, device: has_room)
    train, val = data.train_dataloader(), data.val_dataloader()
    trainer: Any = SimpleNamespace(train_dataloader=train, val_dataloaders=val)
    module: Any = SimpleNamespace(on_gpu=True, device=torch.device("meta"))
    rows = RowsOnGpu()
    rows.on_train_start(trainer, module)
    expected = "meta" if has_room else "cpu"
    assert {batch.x.device.type for each in (train, val) for batch in each} == {expected}
    rows.on_train_end(trainer, module)
    assert {batch.x.device.type for each in (train, val) for batch in each} == {"cpu"}


def test_both_loaders_of_a_training_are_moved_and_moved_back(
    data: DataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the CPU in the place of the GPU."""
    moved: list[tuple[int, str]] = []
    monkeypatch.setattr("ser.training.callbacks.has_room", lambda size, device: True)
    monkeypatch.setattr(PhasedModel, "on_gpu", property(lambda self: True))
    monkeypatch.setattr(
        Batches, "move", lambda self, device: moved.append((len(self.y), device.type))
    )
    fit(data, tmp_path, max_epochs=1)
    assert moved == [(40, "cpu"), (10, "cpu")] * 2


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
def test_fit_does_not_depend_on_the_test_split(name: str, tmp_path: Path) -> None:
    """If the test features are replaced, everything fitted is bit-identical."""
    data = made_data(OF_MODEL[name])
    fit(data, tmp_path / "a", name=name)
    changed = made_data(OF_MODEL[name], test_value=1e6)
    fit(changed, tmp_path / "b", name=name)
    a, b = ((tmp_path / x / "checkpoints" / "best.ckpt").read_bytes() for x in "ab")
    assert a == b
    assert np.array_equal(data.standardiser.mean, changed.standardiser.mean)


class InterruptingLogger(DummyLogger):
    """Sends a signal to the process at the end of an epoch, by default that of Ctrl-C."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__()
        self.number = number

    def log_metrics(self, metrics: object, step: int | None = None) -> None:
        if step == 1:
            signal.raise_signal(self.number)


def test_interrupt_saves_a_checkpoint_and_the_next_run_says_where_it_continues(
    data: DataModule, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    expected = fit(data, tmp_path / "whole")
    handler = signal.getsignal(signal.SIGINT)
    interrupted = training(checkpoint_seconds=1e9)
    folder = tmp_path / "run" / "checkpoints"
    with pytest.raises(SystemExit):
        interrupted.fit(made_model("mlp", data), data, folder, [InterruptingLogger()])
    assert signal.getsignal(signal.SIGINT) is handler
    assert "in epoch 1: stopped; the same command continues" in caplog.text
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 1 + 2
    np.testing.assert_array_equal(fit(data, tmp_path / "run"), expected)
    assert f"continuing from {folder}/last.ckpt in epoch 2" in caplog.text


def test_termination_saves_a_checkpoint(data: DataModule, tmp_path: Path) -> None:
    """Slurm sends SIGTERM some time before it kills a job that is cancelled or preempted."""
    expected = fit(data, tmp_path / "whole")
    folder = tmp_path / "run" / "checkpoints"
    logger = InterruptingLogger(signal.SIGTERM)
    model = made_model("mlp", data)
    options = (data, folder, [logger])
    process = fork(training(checkpoint_seconds=1e9).fit, model, *options)
    assert exit_codes(process) == [-signal.SIGTERM]
    assert len((tmp_path / "run" / "metrics.csv").read_text().splitlines()) == 1 + 2
    np.testing.assert_array_equal(fit(data, tmp_path / "run"), expected)


def test_training_goes_on_where_termination_is_handled(
    data: DataModule, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs of submitit ignore SIGTERM: the scheduler ends them, and may start them again."""
    caplog.set_level("INFO")
    expected = fit(data, tmp_path / "whole")
    received: list[int] = []

    def ignore(number: int, frame: object) -> None:
        received.append(number)

    before = signal.signal(signal.SIGTERM, ignore)
    try:
        folder = tmp_path / "run" / "checkpoints"
        model = made_model("mlp", data)
        training(checkpoint_seconds=1e9).fit(
            model, data, folder, [InterruptingLogger(signal.SIGTERM)]
        )
        assert signal.getsignal(signal.SIGTERM) is ignore
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == [signal.SIGTERM]
    assert "SIGTERM in epoch 1: checkpoint saved; the same command continues" in caplog.text
    np.testing.assert_array_equal(predictions(model, data, "test").numpy(), expected)


def test_tasks_of_a_slurm_job_are_not_taken_for_processes_of_the_training(
    data: DataModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As within `salloc --ntasks=8`."""
    fit(data, tmp_path / "outside", max_epochs=1)
    monkeypatch.setenv("SLURM_NTASKS", "8")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    fit(data, tmp_path / "inside", max_epochs=1)
    outside, inside = (tmp_path / name / "metrics.csv" for name in ("outside", "inside"))
    assert inside.read_text() == outside.read_text()


def test_early_stopping_says_which_epoch_is_kept(
    data: DataModule, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    fit(data, tmp_path, patience=1, max_epochs=50)
    rows = pd.read_csv(tmp_path / "metrics.csv")
    assert (
        f"training stopped after epoch {len(rows) - 1} of 0 to 49: "
        f"the weights of epoch {rows['val/ua'].idxmax()} are kept" in caplog.text
    )
