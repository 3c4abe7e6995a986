"""Data and models small enough to be trained in a test."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from ser import results
from ser.config import CONF, build
from ser.data.datamodule import DataModule
from ser.data.folds import Fold
from ser.data.targets import Target
from ser.features import Features
from ser.training.phased import PhasedModel
from ser.training.prediction import predictions
from ser.training.trainer import Training

# The config of a run, and the choice of each group.
Composed = tuple[DictConfig, Mapping[str, str]]

EPOCHS = 4
# Of a run of the default model that takes a second or two.
SHORT = ["trainer.max_epochs=6", "model.encoder.hidden=[32, 32]"]
CLASSES = ("a", "b", "c")
OF_MODEL = {"mlp": "utterance", "cnn": "frame", "aae": "utterance", "aae frames": "frame"}


def made_data(
    level: str, test_value: float | None = None, kind: str = "classes", test_noise: bool = False
) -> DataModule:
    """Three noisy classes in 5-D: 40 utterances for training, 10 for validation, 10 for testing.

    Args:
        level: "utterance" or "frame".
        test_value: All features of the test split, instead of the noisy ones.
        kind: What the target is: "classes", "value", "tasks" (both, some without label), or "soft"
            (the same with shares of raters for each class).
        test_noise: Random values and classes of the test split, for targets with values.
    """
    rng = np.random.default_rng(0)
    ids = pd.Index([f"u{i:02d}" for i in range(60)])
    labels = pd.Series(rng.choice(CLASSES, 60), index=ids)
    lengths = rng.integers(5, 40, 60) if level == "frame" else np.ones(60, int)
    means = np.repeat(labels.map({"a": -0.5, "b": 0.0, "c": 0.5}).to_numpy(), lengths)[:, None]
    values = (means + rng.normal(size=(lengths.sum(), 5))).astype(np.float32)
    if test_value is not None:
        values[lengths[:50].sum() :] = test_value
    offsets = np.concatenate([[0], lengths.cumsum()]) if level == "frame" else None
    target = made_target(labels, kind, test_noise)
    train = ids[:40].intersection(target.labels.index)
    fold = Fold(0, 1, train, ids[40:50], ids[50:], fit=train, speaker_independent=False)
    return DataModule(
        Features(ids, values, offsets, tuple("vwxyz"), level),  # type: ignore[arg-type]
        target,
        fold,
        pd.Series("s", index=ids),
        seed=3,
        batch_size=16,
        max_frames=32,
        standardise="train",
        clip=None,
        class_weights=None,
    )


def made_target(labels: pd.Series, kind: str, test_noise: bool) -> Target:
    """The class, a value that follows it, or both, each of a part of the utterances."""
    rng = np.random.default_rng(1)
    values = labels.map({"a": 2.0, "b": 3.0, "c": 4.5}) + rng.normal(size=60) / 4
    if test_noise:
        values[50:] = rng.normal(size=10)
        labels = labels.copy()
        labels[50:] = rng.choice(CLASSES, 10)
    value = Target("activation", (), values, levels=labels)
    if kind not in ("tasks", "soft"):
        return value if kind == "value" else Target("emotion", CLASSES, labels)
    emotion = Target("emotion", CLASSES, labels)
    if kind == "soft":
        rng = np.random.default_rng(2)  # whatever was drawn for the test split
        one_hot = np.eye(3)[emotion.codes]
        shares = (3 * one_hot + rng.multinomial(2, [1 / 3] * 3, 60)) / 5
        table = pd.DataFrame(shares, labels.index, list(CLASSES))
        weights = pd.Series(rng.uniform(0.5, 1, 60), labels.index)
        emotion = replace(emotion, shares=table, tied=labels.index[[7, 48]], weights=weights)
    tasks = (
        value.only(values.index.delete([1, 2, 3, 45, 55])),
        emotion.only(labels.index.delete([3, 4, 5, 46, 56])),
    )
    # Utterance 3 has no label at all.
    return Target("attributes", (), labels.drop("u03"), tasks=tasks)


def training(kind: type[Training] = Training, **options: object) -> Training:
    defaults = {
        "max_epochs": EPOCHS,
        "patience": None,
        "stopping": None,
        "accelerator": "cpu",
        "devices": 1,
        "runs_per_gpu": 1,
        "precision": "32-true",
        "threads": 1,
        "checkpoint_seconds": 0,
        "deterministic": True,
    }
    return kind(**{**defaults, **options})  # type: ignore[arg-type]


def make_old(run: Path) -> None:
    """Make a finished run one of before the range of its training data and digests were saved."""
    (run / "checkpoints" / "training_range.npz").unlink()
    result = json.loads((run / "result.json").read_text())
    kept = {name: value for name, value in result.items() if name not in ("digest", "digests")}
    (run / "result.json").write_text(json.dumps(kept))


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
    """A model as configured, but smaller; with dropout, so that it draws random numbers."""
    features = "lld" if OF_MODEL[name] == "frame" else "functionals"
    name = name.split()[0]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"model={name}", f"features={features}", *SMALL[name], *overrides])
    pl.seed_everything(3, verbose=False)
    return build(cfg.model)(data.task)


def fit(
    data: DataModule,
    folder: Path,
    *overrides: str,
    name: str = "mlp",
    kind: type[Training] = Training,
    **options: object,
) -> np.ndarray:
    """Train, and return the predictions for the test split."""
    model = made_model(name, data, *overrides)
    training(kind, **options).fit(model, data, folder / "checkpoints", [])
    return predictions(model, data, "test").numpy()


def without_digests(folder: Path, **changes: object) -> None:
    """Make a run look like one of an earlier version, and change its `result.json`."""
    record = folder / results.RESULT
    content = results.read_json(record) or {}
    for name in (results.SEAL, "digests", "options", "training_audio"):
        content.pop(name, None)
    results.write_json(record, content | changes)
