"""Compare runs that are trained in packs with the same runs trained separately.

    python benchmarks/packed.py corpus=emodb corpus.root=CORPUS store.root=STORE model=mlp \
        trainer.max_epochs=10 [--seeds 30]
    python benchmarks/packed.py --steps [--only mlp|aae ...] [--replicas 1 30 ...] [--device cuda]

With a configuration (arguments of train.py): trains all folds with several seeds, separately and in
packs, in this process. Prints the mean UA of both, for the test splits of all folds together, its
difference with a 90% interval over seeds (bar: within 1.5 points), and the times of both.

With --steps: prints the time of a step of a pack, for random data of IEMOCAP's size (5,531
utterances with 6,373 functionals), with and without CUDA graphs on a GPU.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist

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
from ser.data.prepare import load, prepare
from ser.data.targets import Target
from ser.features import Features
from ser.metrics import confusion_matrix, unweighted_accuracy
from ser.training.pack import Member, Pack, fit_pack
from ser.training.prediction import predictions
from ser.training.trainer import Training

CLASSES = tuple("abcd")
LEVEL = 0.9  # of the interval
SETTLING = 10  # steps before those that are timed


def composed(*overrides: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose("train", list(overrides))


def random_members(
    system: str,
    replicas: int,
    *,
    utterances: int = 5_531,
    inputs: int = 6_373,
    batch_size: int = 64,
) -> list[Member]:
    """Return runs with random data, one for each seed.

    Args:
        system: "mlp" or "aae", as configured in `conf/model/`.
        replicas: Number of runs.
        utterances: Utterances of the corpus; 80% are for training.
        inputs: Values of an utterance.
        batch_size: Utterances of a batch.
    """
    cfg = composed(f"model={system}", "features=functionals")
    data = random_data(cfg, utterances, inputs, batch_size)
    model, members = build(cfg.model)(data.task), []
    for seed in range(replicas):
        own = data if seed == 0 else data.of_fold(data.fold)
        own.seed = seed
        # Copies, because times do not depend on weights, and initialising many takes minutes.
        members.append(Member(copy.deepcopy(model), own, build(cfg.trainer).selection()))
    return members


def seconds_per_step(
    members: Sequence[Member], *, device: str = "cpu", graphs: bool = True, steps: int = 50
) -> float:
    """Return the mean time of a training step of a pack, all of its runs together.

    Args:
        members: Runs of the pack.
        device: Device of torch.
        graphs: Capture the step as a CUDA graph; without effect on a CPU.
        steps: Number of steps that are timed.
    """
    pack = Pack(members, torch.device(device), graphs=graphs)
    pack.network.train()
    runs, size = tuple(range(len(members))), members[0].data.batch_size
    batches = [items for items, _, counts in pack.data.epoch(0) if min(counts) == size]
    for number in range(SETTLING + steps):
        if number == SETTLING:
            started = now(device)
        pack.step(batches[number % len(batches)], None, runs)
    return (now(device) - started) / steps


def now(device: str) -> float:
    """Return the time when all work of a device is done."""
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def random_data(cfg: DictConfig, utterances: int, inputs: int, batch_size: int) -> DataModule:
    rng = np.random.default_rng(0)
    ids = pd.Index([f"u{number:05d}" for number in range(utterances)])
    values = rng.standard_normal((utterances, inputs), dtype=np.float32)
    labels = pd.Series(rng.choice(CLASSES, utterances), index=ids)
    ends = int(0.8 * utterances), int(0.9 * utterances)
    train, val, test = ids[: ends[0]], ids[ends[0] : ends[1]], ids[ends[1] :]
    fold = Fold(0, 1, train, val, test, fit=train, speaker_independent=False)
    features = Features(ids, values, None, tuple(map(str, range(inputs))), "utterance")
    target, speakers = Target("emotion", CLASSES, labels), pd.Series("s", index=ids)
    make = build(cfg.data)
    return make(
        *(features, target, fold, speakers, 0, View(lazy=True, unlabelled=True)),
        batch_size=batch_size,
    )


def print_steps(systems: list[str], replicas: list[int], device: str) -> None:
    for system in systems:
        for count in replicas:
            members = random_members(system, count)
            for graphs in (True, False) if device != "cpu" else (False,):
                seconds = seconds_per_step(members, device=device, graphs=graphs)
                print(
                    f"{system}, {count} runs, {device}{' with CUDA graphs' * graphs}: "
                    f"{1000 * seconds:.1f} ms a step, {1000 * seconds / count:.2f} ms a run",
                    flush=True,
                )


def compare(overrides: list[str], seeds: int) -> None:
    cfg = composed(*overrides)
    loaded = load(cfg)
    folds = prepare(cfg, loaded).data.fold.count
    scores: dict[str, list[float]] = {}
    for way in ("separate", "packed"):
        confusions, seconds = [], 0.0
        for fold in range(folds):
            started = time.process_time()
            confusions.append(trained(cfg, loaded, fold, seeds, packed=way == "packed"))
            seconds += time.process_time() - started
            print(f"{way}, fold {fold + 1} of {folds}: {seconds:.0f} s", flush=True)
        # The predictions of all folds together.
        scores[way] = [
            100 * unweighted_accuracy(sum(each)) for each in zip(*confusions, strict=True)
        ]
        mean, spread = np.mean(scores[way]), np.std(scores[way], ddof=1)
        print(f"{way}: UA {mean:.2f} ± {spread:.2f}, {seconds:.0f} s of processor time", flush=True)
    differences = np.subtract(scores["packed"], scores["separate"])
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * differences.std(ddof=1) / seeds**0.5
    low, high = differences.mean() - half, differences.mean() + half
    print(
        f"packed - separate: {differences.mean():+.2f} points of UA, 90% interval "
        f"{low:+.2f} to {high:+.2f} over {seeds} seeds (bar: within 1.5)"
    )


def trained(
    cfg: DictConfig, loaded: object, fold: int, seeds: int, *, packed: bool
) -> list[np.ndarray]:
    """Train a fold with several seeds, and return the confusions of each on the test split."""
    members = [trained_later(cfg, loaded, fold, seed) for seed in range(seeds)]
    trainer: Training = build(cfg.trainer)
    if packed:
        fit_pack(trainer, members)
    else:
        for member in members:
            pl.seed_everything(member.data.seed, verbose=False)
            member.model = build(cfg.model)(member.data.task)
            with tempfile.TemporaryDirectory() as folder:
                trainer.fit(member.model, member.data, Path(folder) / "checkpoints", [])
    return [confusion(member) for member in members]


def trained_later(cfg: DictConfig, loaded: object, fold: int, seed: int) -> Member:
    own = cfg.copy()
    own.fold.index, own.seed = fold, seed
    data = prepare(own, loaded)  # type: ignore[arg-type]
    pl.seed_everything(seed, verbose=False)
    seen = data.with_view(View(unlabelled=True, standardiser=data.data.standardiser))
    return Member(build(cfg.model)(seen.task), seen, build(cfg.trainer).selection())


def confusion(member: Member) -> np.ndarray:
    data = member.data
    predicted = predictions(member.model, data, "test").argmax(dim=1).numpy()
    return confusion_matrix(data.classes_of(data.fold.test), predicted, len(data.target.classes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("config", nargs="*")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--only", nargs="+", default=["mlp", "aae"])
    parser.add_argument("--replicas", nargs="+", type=int, default=[1, 30])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.steps:
        print_steps(arguments.only, arguments.replicas, arguments.device)
    else:
        compare(arguments.config, arguments.seeds)


if __name__ == "__main__":
    main()
