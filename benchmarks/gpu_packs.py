"""Throughput of packs: several trainings as one stacked model. Used by `gpu.py`."""

import copy
import time
from typing import Any

import torch
from gpu_steps import Setup, synchronise, system

from ser.config import build
from ser.data.datamodule import DataModule
from ser.training.pack import Member, Pack
from ser.training.phased import PhasedModel
from ser.training.stopping import BestValidation

EPOCHS = 100  # of a training
FEW = 30  # trainings of a pack; more without graphs take minutes
WARMING = 2  # epochs in which steps of all shapes are captured


def packed(setup: Setup) -> dict[str, Any]:
    """Trainings an hour of packs, by system, number of trainings and CUDA graphs."""
    figures = {}
    for name in setup.systems:
        cfg, data = system(setup, name)
        model = build(cfg.model)(data.task)
        frames = cfg.features.level == "frame"
        for count in setup.size.frame_replicas if frames else setup.size.replicas:
            for graphs in (True, False) if count <= FEW and not frames else (True,):
                key = f"{name}, {count} trainings, {'with' if graphs else 'without'} graphs"
                try:
                    seconds = _seconds(setup, model, data, count, graphs)
                except torch.OutOfMemoryError:
                    print(f"  {key}: does not fit into memory", flush=True)
                    continue
                figures[key] = {"system": name, "trainings": count, "graphs": graphs, **seconds}
                print(
                    f"  {key}: epoch {seconds['epoch_s']:.3f} s, validation "
                    f"{seconds['validation_s']:.3f} s; {3600 / seconds['alone_s']:.0f} trainings "
                    f"an hour, {3600 / seconds['shared_s']:.0f} that two folds share",
                    flush=True,
                )
                if setup.device == "cuda":
                    torch.cuda.empty_cache()
    return figures


def _seconds(
    setup: Setup, model: PhasedModel, data: DataModule, count: int, graphs: bool
) -> dict[str, float]:
    """Seconds of an epoch and a validation of a pack, and of one of its trainings."""
    members = []
    for seed in range(count):
        own = data.of_fold(data.fold)
        own.seed = seed
        # Copies, because times do not depend on weights, and initialising many takes minutes.
        members.append(Member(copy.deepcopy(model), own, BestValidation(None)))
    pack, runs = Pack(members, torch.device(setup.device), graphs=graphs), range(count)
    for epoch in range(WARMING if graphs else 0):
        pack.train_epoch(epoch, runs)
        pack.validate(runs)
    synchronise()
    started = time.perf_counter()
    pack.train_epoch(WARMING, runs)
    synchronise()
    trained = time.perf_counter()
    pack.validate(runs)
    epoch, validation = trained - started, time.perf_counter() - trained
    return {
        "epoch_s": epoch, "validation_s": validation,
        "alone_s": EPOCHS * (epoch + validation) / count,
        "shared_s": EPOCHS * (epoch + 2 * validation) / count,
    }  # fmt: skip
