"""Compare one training for two folds of a session with one training for one fold, in turn.

    python benchmarks/shared.py [--rounds 3] [--epochs 5] [--only mlp|aae|cnn ...]

The data are random, of IEMOCAP's size with four emotions: 4,424 utterances for training, 554 for
validation and 553 for testing; 6,373 functionals, or for the CNN 40 descriptors in 100 frames each.
One thread. Prints medians over rounds, with minimum and maximum, of processor times:

- the training of both folds, with two validations and selections an epoch, and what the second run
  takes from it, relative to the training of one fold (bar: 1.1);
- two separate trainings, relative to the training of one fold;
- whether metrics, weights and predictions of both ways are equal byte for byte.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from ser.config import CONF, build
from ser.config.run_key import register_resolvers
from ser.data.datamodule import DataModule, View
from ser.data.folds import Fold
from ser.data.targets import Target
from ser.features import Features
from ser.training.prediction import predictions
from ser.training.shared import SharedTraining
from ser.training.trainer import Training

CLASSES = tuple("abcd")
TRAIN, VAL, TEST, FRAMES = 4424, 554, 553, 100
SYSTEMS = {
    "mlp": ["model=mlp", "features=functionals"],
    "aae": ["model=aae", "features=functionals"],
    "cnn": ["model=cnn", "features=lld"],
}
BAR = 1.1


def composed(overrides: list[str]) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose("train", overrides)


def random_folds(cfg: DictConfig) -> tuple[DataModule, DataModule]:
    """Two folds of random data that exchange validation and test split."""
    rng = np.random.default_rng(0)
    count, frames = TRAIN + VAL + TEST, cfg.features.level == "frame"
    ids = pd.Index([f"u{i:04d}" for i in range(count)])
    dim = 40 if frames else 6373
    values = rng.standard_normal((count * (FRAMES if frames else 1), dim), dtype=np.float32)
    labels = pd.Series(rng.permutation(np.resize(CLASSES, count)), index=ids)
    train, val, test = ids[:TRAIN], ids[TRAIN : TRAIN + VAL], ids[TRAIN + VAL :]
    folds = [
        Fold(number, 2, train, a, b, fit=train, speaker_independent=True)
        for number, (a, b) in enumerate(((val, test), (test, val)))
    ]
    offsets = np.arange(count + 1) * FRAMES if frames else None
    columns = tuple(f"c{i}" for i in range(dim))
    features = Features(ids, values, offsets, columns, cfg.features.level)
    first: DataModule = build(cfg.data)(
        features, Target("emotion", CLASSES, labels), folds[0], labels, cfg.seed, View()
    )
    return first, first.of_fold(folds[1])


def trained(
    cfg: DictConfig, data: DataModule, folder: Path, shared: SharedTraining | None
) -> float:
    """Train one fold into a folder, and return the seconds until its weights are selected."""
    pl.seed_everything(cfg.seed, verbose=False)
    model = build(cfg.model)(data.task)
    training: Training = build(cfg.trainer)
    checkpoints = folder / "checkpoints"
    started = time.process_time()
    if shared is None:
        training.fit(model, data, checkpoints, [])
    else:
        shared.fit(training, model, data, checkpoints, [])
    seconds = time.process_time() - started
    np.save(folder / "test.npy", predictions(model, data, "test").numpy())
    return seconds


def is_equal(one: Path, other: Path) -> bool:
    names = ("metrics.csv", "checkpoints/best.ckpt", "test.npy")
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def measure(system: str, rounds: int, epochs: int) -> None:
    cfg = composed([*SYSTEMS[system], f"trainer.max_epochs={epochs}"])
    torch.set_num_threads(cfg.trainer.threads)
    pair = random_folds(cfg)
    keys = ("one", "other")
    shared, separate, equal = [], [], True
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as root:
            folders = [Path(root, "alone", key) for key in keys]
            alone = [
                trained(cfg, data, folder, None) for data, folder in zip(pair, folders, strict=True)
            ]
            both = []
            for number, data in enumerate(pair):
                other = 1 - number
                training = SharedTraining(
                    Path(root, "key"), keys[number], pair[other].fold, keys[other]
                )
                both.append(trained(cfg, data, Path(root, "shared", keys[number]), training))
                equal &= is_equal(folders[number], Path(root, "shared", keys[number]))
        shared.append(sum(both) / median(alone))
        separate.append(sum(alone) / median(alone))
        print(
            f"  {system}: one fold {median(alone):.1f} s; both folds {both[0]:.1f} + "
            f"{both[1]:.2f} s",
            flush=True,
        )
    for name, ratios in (("one training for both folds", shared), ("two trainings", separate)):
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        bar = f", bar {BAR}" if ratios is shared else ""
        print(f"{system}: {name}: {median(ratios):.3f} times one training ({spread}){bar}")
    print(f"{system}: files {'equal' if equal else 'DIFFERENT'}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    options = parser.parse_args()
    for system in options.only:
        measure(system, options.rounds, options.epochs)


if __name__ == "__main__":
    main()
