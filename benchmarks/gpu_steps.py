"""Step times on a device: data, systems, training as in runs, and bare loops. Used by `gpu.py`."""

import copy
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from omegaconf import DictConfig
from torch.nn import functional
from training import aae_step, composed

from ser.config import build
from ser.config.run_key import segment_length
from ser.data.batches import Batch, Batches, Rows, Task
from ser.data.datamodule import DataModule, View
from ser.data.folds import Fold
from ser.data.standardise import Standardiser
from ser.data.targets import Target
from ser.features import Features
from ser.models.aae import AAE
from ser.training.phased import PhasedModel
from ser.training.stopping import FixedEpochs
from ser.training.trainer import Training, TrainingBatches

PAPER = "parthasarathy2019"
SYSTEMS = (
    "utterance_baseline", "utterance_aae_vanilla", "utterance_aae", "frame_baseline", "frame_aae",
)  # fmt: skip
CLASSES = ("low", "neutral", "high")
Step = Callable[[Batch], None]


@dataclass(frozen=True)
class Size:
    """Size of the random data.

    Attributes:
        train, val, test: Number of utterances.
        functionals: D at utterance level.
        frames: Mean number of frames of an utterance.
        items: Items of a representation.
        batch: Utterances of a batch.
        replicas: Trainings in one pack, of vectors.
        frame_replicas: The same, of frames.
        processes: Processes that share the device.
        seconds: Seconds of a measurement of throughput.
        rounds: Rounds of a comparison.
        small: To try the script.
    """

    train: int = 4424
    val: int = 554
    test: int = 553
    functionals: int = 6373
    frames: int = 450
    items: int = 12800
    batch: int = 64
    replicas: Sequence[int] = (1, 30, 300)
    frame_replicas: Sequence[int] = (1, 4, 16)
    processes: Sequence[int] = (4, 12)
    seconds: float = 4.0
    rounds: int = 5
    small: bool = False


IEMOCAP = Size()
SMALL = Size(36, 8, 8, 16, 8, 256, 12, (1, 2), (2,), (2,), 0.5, 1, small=True)


@dataclass(frozen=True)
class Setup:
    """What is measured where.

    Attributes:
        device: "cuda" or "cpu".
        size: Size of the data.
        systems: Systems of parthasarathy2019 that are measured.
        precision: `trainer.precision`.
    """

    device: str
    size: Size
    systems: Sequence[str] = SYSTEMS
    precision: str = "32-true"

    @property
    def accelerator(self) -> str:
        """Name of the device as an option of the trainer."""
        return "gpu" if self.device == "cuda" else "cpu"


def synchronise() -> None:
    """Wait for the GPU, if one is used."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def configured(setup: Setup, *overrides: str) -> DictConfig:
    own = [
        f"trainer.accelerator={setup.accelerator}", f"trainer.precision={setup.precision}",
        f"data.batch_size={setup.size.batch}",
    ]  # fmt: skip
    return composed([*own, *overrides])


def random_data(
    cfg: DictConfig, size: Size, dim: int | None = None, unlabelled: bool = True
) -> Any:
    """Random data at the level of a configuration's features; `dim`: other than configured."""
    rng = np.random.default_rng(0)
    count, frames = size.train + size.val + size.test, cfg.features.level == "frame"
    dim = dim or (cfg.features.dim if frames else size.functionals)
    ids = pd.Index([f"u{i:04d}" for i in range(count)])
    lengths = rng.gamma(4, size.frames / 4, count).astype(int).clip(8)
    offsets = np.concatenate([[0], lengths.cumsum()]) if frames else None
    rows = int(lengths.sum()) if frames else count
    values = rng.standard_normal((rows, dim), dtype=np.float32)
    labels = pd.Series(rng.permutation(np.resize(CLASSES, count)), index=ids)
    train, val, test = np.split(ids, [size.train, size.train + size.val])
    data: DataModule = build(cfg.data)(
        Features(ids, values, offsets, tuple(f"c{i}" for i in range(dim)), cfg.features.level),
        Target("activation", CLASSES, labels),
        Fold(0, 1, train, val, test, fit=train, speaker_independent=False),
        pd.Series("s", index=ids),
        cfg.seed,
        View(unlabelled=unlabelled),
    )
    data.setup("fit")
    return data


def system(setup: Setup, name: str, *overrides: str) -> tuple[DictConfig, DataModule]:
    """Configuration and random data of one of `SYSTEMS`."""
    cfg = configured(setup, f"experiment={PAPER}/{name}", "corpus=iemocap", *overrides)
    return cfg, random_data(cfg, setup.size)


class Stopwatch(pl.Callback):
    """Times the steps between the first and the last of an epoch, and the whole epoch."""

    def __init__(self) -> None:
        self.steps: list[float] = []  # seconds of a step, by epoch
        self.epochs: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        synchronise()
        self._epoch = time.perf_counter()

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: object, number: int
    ) -> None:
        last = int(trainer.num_training_batches) - 1
        if number == 0:
            synchronise()
            self._first = time.perf_counter()
        if number == last and last > 0:
            synchronise()
            self.steps.append((time.perf_counter() - self._first) / last)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        synchronise()
        self.epochs.append(time.perf_counter() - self._epoch)


def train(
    cfg: DictConfig, model: PhasedModel, data: Any, watch: pl.Callback, epochs: int, **options: Any
) -> None:
    """Train as a run does, without loggers."""
    training: Training = build(cfg.trainer)
    training.max_epochs = epochs
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, data, Path(folder) / "checkpoints", [], monitored=watch, **options)
    torch.use_deterministic_algorithms(False)


def classifier_step(model: Any) -> Step:
    """A bare step of a classifier."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(batch: Batch) -> None:
        logits = model.head(model.encoder(batch.x, batch.lengths))
        optimiser.zero_grad()
        functional.cross_entropy(logits, batch.y).backward()
        optimiser.step()

    return step


def phases_step(model: PhasedModel) -> Step:
    """A step of all phases without Lightning and without a record."""
    optimisers = [model.optimiser(phase.parameters()) for phase in model.phases]
    steps = list(zip(model.phases, optimisers, strict=True))

    def step(batch: Batch) -> None:
        shared = model.draw(batch)
        for phase, optimiser in steps:
            loss, shared = phase.compute(batch, shared)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return step


def bare(model: PhasedModel, step: Step, batches: Sequence[Batch], count: int) -> float:
    """Seconds of one of `count` steps of a bare loop whose batches are on the device."""
    model.train()
    for batch in batches[:5]:  # warms up
        step(batch)
    synchronise()
    started = time.perf_counter()
    for batch in islice(cycle(batches), count):
        step(batch)
    synchronise()
    return (time.perf_counter() - started) / count


def batches_on(device: str, loader: Batches) -> list[Batch]:
    """The batches of the first epoch, on a device."""
    loader.set_epoch(0)
    return [move_data_to_device(batch, torch.device(device)) for batch in loader]


def synchronisations(
    cfg: DictConfig, model: PhasedModel, data: Any, **options: Any
) -> float | None:
    """How often a step waits for the GPU, with validation; None on the CPU."""
    if not torch.cuda.is_initialized():
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            train(cfg, model, data, pl.Callback(), 1, **options)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    count = sum("synchroniz" in str(each.message) for each in caught)
    return count / len(data.train_dataloader())


def compare(
    setup: Setup, name: str, cfg: DictConfig, model: PhasedModel, data: Any, **options: Any
) -> dict[str, Any]:
    """Compare steps of the trainer with those of a bare loop, in turn; print and return both."""
    batches = batches_on(setup.device, data.train_dataloader())
    step_of: Callable[[Any], Step] = phases_step
    if name.partition(",")[0] in SYSTEMS:
        step_of = aae_step if isinstance(model, AAE) else classifier_step
    ours, alone, epochs = [], [], []
    for number in range(setup.size.rounds + 1):
        watch, own = Stopwatch(), copy.deepcopy(model).to(setup.device)
        train(cfg, copy.deepcopy(model), data, watch, 2, **options)
        seconds = bare(own, step_of(own), batches, len(batches))
        if number:  # the first round warms up
            ours.append(watch.steps[-1])
            epochs.append(watch.epochs[-1])
            alone.append(seconds)
    ratios = [a / b for a, b in zip(ours, alone, strict=True)]
    waits = synchronisations(cfg, copy.deepcopy(model), data, **options)
    print(
        f"  {name:29} step {median(ours) * 1e3:8.3f} ms, bare {median(alone) * 1e3:8.3f} ms, ratio "
        f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), bar 1.3; epoch "
        f"{median(epochs):.3f} s" + ("" if waits is None else f"; waits a step {waits:.1f}"),
        flush=True,
    )
    return {
        "step_s": median(ours), "bare_s": median(alone), "ratios": ratios,
        "epoch_s": median(epochs), "steps_per_epoch": len(batches), "waits_per_step": waits,
    }  # fmt: skip


def paper_systems(setup: Setup) -> dict[str, Any]:
    """Step times of the five systems of parthasarathy2019's table 1, and with CUDA graphs."""
    results = {}
    for name in setup.systems:
        cfg, data = system(setup, name)
        torch.manual_seed(0)
        model = build(cfg.model)(data.task)
        cfg.trainer.graphs = False
        results[name] = compare(setup, name, cfg, model, data)
        if setup.device == "cuda":
            cfg.trainer.graphs = True
            with_graphs = compare(setup, f"{name}, graphs", cfg, model, data)
            results[name] |= {"with_graphs": with_graphs}
    return results


def _coders(setup: Setup) -> Iterator[tuple[str, DictConfig, PhasedModel, Batches]]:
    """Representations of the other papers, with random items."""
    for name, experiment, size in (
        ("sahu2017 aae", "sahu2017/compression_aae", 100),
        ("latif2017 vae", "latif2017/vae_lstm", 128),
        ("ghosh2016 dae", "ghosh2016/deep_128_5", 80),
    ):
        cfg = configured(setup, f"experiment={experiment}", "corpus=iemocap")
        frames = segment_length(cfg) if cfg.features.level == "frame" else 1
        task = Task(cfg.features.dim * frames, 4, None, {})
        module = build(cfg.representation).keywords["module"](task, size)
        rng = np.random.default_rng(0)
        count = setup.size.items
        values = rng.standard_normal((count, task.inputs), dtype=np.float32)
        rows = Rows(values, Standardiser.fit(values, np.arange(count), None), eager=True)
        labels = torch.from_numpy(rng.integers(4, size=count))
        size_of_batch = min(cfg.representation.batch_size, count // 3)
        yield (
            name,
            cfg,
            module,
            Batches(rows, torch.arange(count), labels, batch_size=size_of_batch, seed=0),
        )


def other_systems(setup: Setup) -> dict[str, Any]:
    """Step times of main systems of the other papers."""
    results = {}
    for name, cfg, module, batches in _coders(setup):
        options = {"selection": FixedEpochs(max_epochs=2)}
        results[name] = compare(setup, name, cfg, module, TrainingBatches(batches), **options)
    cfg = configured(setup, "experiment=latif2017/vae_lstm", "corpus=iemocap")
    shorter = Size(**{**vars(setup.size), "frames": max(8, setup.size.frames // 10)})
    data = random_data(cfg, shorter, dim=128)
    results["latif2017 lstm"] = compare(
        setup, "latif2017 lstm", cfg, build(cfg.model)(data.task), data
    )
    return results
