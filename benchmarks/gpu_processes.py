"""Throughput of several processes that share a device. Used by `gpu.py`."""

import logging
import time
from multiprocessing import get_context
from typing import Any

import pytorch_lightning as pl
import torch
from gpu_steps import Setup, synchronise, system, train

from ser.config import build
from ser.config.run_key import register_resolvers


class Deadline(pl.Callback):
    """Counts steps until a number of seconds is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps = seconds, 0

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:  # the first one warms up
            synchronise()
            self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.current_epoch == 0:
            return
        synchronise()
        self.steps += int(trainer.num_training_batches)
        self.taken = time.perf_counter() - self.started
        trainer.should_stop = self.taken > self.seconds


def _work(setup: Setup, processes: int, barrier: Any, queue: Any) -> None:
    """Train each system in turn, at the same time as other processes; put steps a second."""
    register_resolvers()
    logging.getLogger("ser").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    try:
        for name in setup.systems:
            cfg, data = system(setup, name, f"trainer.runs_per_gpu={processes}")
            model, deadline = build(cfg.model)(data.task), Deadline(setup.size.seconds)
            barrier.wait(300)
            train(cfg, model, data, deadline, 10_000)
            queue.put((name, deadline.steps / deadline.taken))
    except BaseException as error:
        barrier.abort()
        queue.put((None, f"{type(error).__name__}: {error}"))
        raise


def parallel(setup: Setup) -> dict[str, Any]:
    """Steps a second of several processes together, each of which trains as a run does."""
    results: dict[str, Any] = {}
    context = get_context("spawn")
    for count in setup.size.processes:
        barrier, queue = context.Barrier(count), context.Queue()
        workers = [
            context.Process(target=_work, args=(setup, count, barrier, queue)) for _ in range(count)
        ]
        for worker in workers:
            worker.start()
        try:
            rates = dict.fromkeys(setup.systems, 0.0)
            for _ in range(count * len(setup.systems)):
                name, rate = queue.get(timeout=300)
                if name is None:
                    raise RuntimeError(f"a process failed: {rate}")
                rates[name] += rate
        finally:
            for worker in workers:
                worker.join(30)
                worker.kill()
        results[str(count)] = rates
        listed = ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items())
        print(f"  {count} processes, steps a second: {listed}", flush=True)
    return results
