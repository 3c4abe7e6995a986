"""Runs of a sweep with the same network that are trained together (`ser.training.pack`).

They differ in fold and seed only. Corpus and features are loaded once. Each run is begun, the pack
is trained, and each run is tested and written, so that its folder has all that a run leaves. A run
that fails does not stop the others.
"""

import gc
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig
from threadpoolctl import threadpool_limits

from ser import console
from ser.config import build, machine
from ser.config.checks import check
from ser.data.datamodule import DataModule, View
from ser.data.prepare import Loaded, load, prepare
from ser.data.standardise import Standardiser
from ser.inference import evaluate
from ser.results import RunFolder, first_score
from ser.runs.begun import Begun, begin_run, description, finish_run, reported
from ser.runs.dry import require_buildable, unbuilt_model
from ser.runs.log import RunLog, received_by
from ser.runs.network import tested
from ser.training.pack import Member, fit_pack
from ser.training.phased import PhasedModel
from ser.training.trainer import Training, save_training

LARGEST = {"utterance": 256, "frame": 32}  # runs of a pack; more of frames are not faster
# Tensors of the size of a run's parameters: those of the model, of the selected epoch and of the
# gradients; and two moments for each phase that updates a parameter.
COPIES, MOMENTS = 3, 2
PER_FRAME = 3000  # numbers that a step keeps; measured 2000 for the networks of parthasarathy2019


def largest_pack(cfg: DictConfig) -> int:
    """Return how many runs of a configuration can be trained together in memory, at most `LARGEST`.

    The estimate leaves half of the memory of the machine, or of the GPU, for features and the rest.
    """
    model, level = unbuilt_model(cfg), cfg.features.level
    parameters = sum(each.numel() for each in model.parameters())
    updated = sum(each.numel() for phase in model.phases for each in phase.parameters())
    frames = cfg.data.batch_size * cfg.data.max_frames if level == "frame" else 0
    bytes_each = 4 * (COPIES * parameters + MOMENTS * updated + PER_FRAME * frames)
    if cfg.trainer.accelerator != "cpu" and torch.cuda.is_available():
        memory = torch.cuda.mem_get_info()[1]
    else:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(LARGEST[level], int(0.5 * memory / bytes_each)))


@dataclass(frozen=True)
class PackRun:
    """A run of a pack that has begun.

    Attributes:
        begun: The run.
        member: Its model, data and selection.
        hydra: Hydra's own configuration.
        messages: Log of the run.
        seconds: Time that it took to begin.
    """

    begun: Begun
    member: Member
    hydra: DictConfig
    messages: RunLog
    seconds: float


class RunPack:
    """Begins, trains and finishes the runs of a pack; a context in which their folders are claimed.

    Args:
        cfg: Configuration of the first run.

    Raises:
        UserError: The corpus, target or features cannot be made.
    """

    def __init__(self, cfg: DictConfig) -> None:
        check(cfg)
        require_buildable(cfg)
        if cfg.test and cfg.test_corpus is not None:
            evaluate.require_test_corpus(cfg)
        self._training: Training = build(cfg.trainer)
        self._training.require_devices()
        self._loaded: Loaded = load(cfg)
        self._standardisers: dict[tuple[str, ...], Standardiser] = {}
        self._claims = ExitStack()
        self._seconds = 0.0  # of the training, for each run

    def __enter__(self) -> "RunPack":
        threads = self._training.threads
        torch.set_num_threads(threads)
        self._claims.enter_context(threadpool_limits(threads))
        self._claims.enter_context(console.quiet(True))
        return self

    def __exit__(self, *error: Any) -> None:
        self._claims.close()
        gc.collect()

    def begin(self, cfg: DictConfig, hydra: DictConfig) -> PackRun | float:
        """Begin a run, or return the validation score of a finished one.

        Raises:
            UserError: The run cannot be made.
            BusyError: Another process makes it.
        """
        started = time.monotonic()
        cfg = machine.with_accelerator(cfg)
        folder, messages = RunFolder(Path(hydra.runtime.output_dir)), RunLog()
        with reported(folder, hydra), received_by([messages]):
            prepared = prepare(cfg, self._loaded)
            result = folder.finished_result(prepared.run_key, force=cfg.force)
            if result is None:
                folder.require_own()
                self._claims.enter_context(folder.claimed(wait=False))
                result = folder.finished_result(prepared.run_key, force=cfg.force)
            if result is not None:
                return first_score(result["val"])

            def begin(run_key: str) -> float:
                seconds = folder.begin(run_key, description(cfg, hydra))
                messages.begin(folder.log_file)
                return seconds

            try:
                begun = begin_run(cfg, prepared, folder, dict(hydra.runtime.choices), begin)
                member = self._member(begun)
            except Exception as error:
                folder.fail(error)
                raise
        return PackRun(begun, member, hydra, messages, time.monotonic() - started)

    def train(self, runs: list[PackRun]) -> None:
        """Train the runs together; an error of a single run is raised when it is finished."""
        started = time.monotonic()
        if not runs:
            return
        print(f"training {len(runs)} runs together", flush=True)
        try:
            with received_by([run.messages for run in runs]):
                fit_pack(self._training, [run.member for run in runs])
        except Exception as error:
            for run in runs:
                run.begun.folder.fail(error)
            raise
        self._seconds = (time.monotonic() - started) / len(runs)

    def finish(self, run: PackRun) -> float:
        """Test a run, write its files, and return its validation score.

        Raises:
            UserError: A loss was not finite, or a file cannot be written.
        """
        started = time.monotonic()
        begun, member, cfg = run.begun, run.member, run.begun.cfg
        folder = begun.folder
        with reported(folder, run.hydra), received_by([run.messages]):
            try:
                if member.error is not None:
                    raise member.error
                selected = member.selection
                save_training(folder.checkpoints, member.model.record, selected, begun.loggers)
                outcome = tested(
                    cfg, begun.prepared, folder, member.model, member.data, selected, {}
                )
                seconds = run.seconds + self._seconds + time.monotonic() - started
                result = finish_run(begun, outcome, seconds)
            except Exception as error:
                folder.fail(error)
                raise
            finally:
                run.messages.close()
            if cfg.test and cfg.test_corpus is not None:
                evaluate.evaluate_run(cfg, folder, brief=True)
        return first_score(result["val"])

    def _member(self, begun: Begun) -> Member:
        """Build the model of a run, initialised from its seed."""
        cfg, data = begun.cfg, begun.prepared.data
        pl.seed_everything(cfg.seed, verbose=False)
        unlabelled = cast(type[PhasedModel], get_class(cfg.model._target_)).uses_unlabelled
        view = View(unlabelled=unlabelled, standardiser=self._standardiser(data), lazy=True)
        own = begun.prepared.with_view(view)
        return Member(build(cfg.model)(own.task), own, self._training.selection())

    def _standardiser(self, data: DataModule) -> Standardiser:
        """Return the standardiser of a fold, fitted once on its training split."""
        key = tuple(data.fold.training)
        if key not in self._standardisers:
            self._standardisers[key] = data.standardiser
        return self._standardisers[key]
