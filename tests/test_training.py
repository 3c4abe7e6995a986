"""A run that is stopped anywhere and continued ends as one that never was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir

from ser.config import CONF, build
from ser.datamodule import DataModule
from ser.errors import UserError
from ser.features import Features
from ser.folds import Fold
from ser.models.phased import PhasedModel
from ser.targets import Target
from ser.training import Training, probabilities

EPOCHS, BATCHES = 4, 3
CLASSES = ("a", "b", "c")
OF_MODEL = {"mlp": "utterance", "cnn": "frame", "aae": "utterance", "aae frames": "frame"}


def made_data(level: str, values: np.ndarray | None = None) -> DataModule:
    """Three noisy classes in 5-D: 40 utterances train, 10 validate, 10 test."""
    rng = np.random.default_rng(0)
    ids = pd.Index([f"u{i:02d}" for i in range(60)])
    labels = pd.Series(rng.choice(CLASSES, 60), index=ids)
    lengths = rng.integers(5, 40, 60) if level == "frame" else np.ones(60, int)
    means = np.repeat(labels.map({"a": -0.5, "b": 0.0, "c": 0.5}).to_numpy(), lengths)[:, None]
    if values is None:
        values = (means + rng.normal(size=(lengths.sum(), 5))).astype(np.float32)
    offsets = np.concatenate([[0], lengths.cumsum()]) if level == "frame" else None
    fold = Fold(0, 1, ids[:40], ids[40:50], ids[50:], fit=ids[:40], speaker_independent=False)
    return DataModule(
        Features(ids, values, offsets, tuple("vwxyz"), level),  # type: ignore[arg-type]
        Target("emotion", CLASSES, labels),
        fold,
        pd.Series("s", index=ids),
        seed=3,
        batch_size=16,
        max_frames=32,
        standardise="train",
        clip=None,
        class_weights=None,
    )


def training(**options: object) -> Training:
    defaults = {
        "max_epochs": EPOCHS,
        "accelerator": "cpu",
        "devices": 1,
        "precision": "32-true",
        "threads": 1,
        "checkpoint_seconds": 0,
        "deterministic": True,
    }
    return Training(**{**defaults, **options})  # type: ignore[arg-type]


DENSE = ["hidden=[16, 16]"]
CONVOLUTIONS = [*DENSE, "channels=[8, 8, 8, 8]"]
SMALL = {
    "mlp": [f"model.encoder.{o}" for o in (*DENSE, "dropout=0.5")],
    "cnn": [f"model.encoder.{o}" for o in (*CONVOLUTIONS, "last=8", "dropout=0.5")],
    "aae": [
        "model.latents.z.size=4",
        "model.discriminator.hidden=[16, 16]",
        *(f"networks.utterance.{n}.{o}" for n in ("encoder", "decoder") for o in DENSE),
        *(f"networks.frame.{n}.{o}" for n in ("encoder", "decoder") for o in CONVOLUTIONS),
    ],
}


def made_model(name: str, data: DataModule, *overrides: str) -> PhasedModel:
    """As configured but smaller, with dropout, which draws random numbers."""
    features = "lld" if OF_MODEL[name] == "frame" else "functionals"
    name = name.split()[0]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"model={name}", f"features={features}", *SMALL[name], *overrides])
    pl.seed_everything(3, verbose=False)
    return build(cfg.model)(data.task)


def fit(
    data: DataModule, folder: Path, *overrides: str, name: str = "mlp", **options: object
) -> np.ndarray:
    """Trains, and gives the test probabilities."""
    model = made_model(name, data, *overrides)
    training(**options).fit(model, data, folder / "checkpoints", [])
    return probabilities(model, data, "test").numpy()


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
