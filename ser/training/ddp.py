"""One run on several devices of this machine: a process each, which share every batch.

The processes, ranks, are forked here rather than by Lightning, whose launcher would start
`train.py` again, Hydra and all. A fork takes no time and no copy of the features. It must not
happen after CUDA or torch's pool of threads has been used, neither of which outlives one: no rank
may have more than one thread, this process asks for GPUs without touching them, and it scores
on the CPU what rank 0 has written. So rank 0 is a fork, too, and the next run of a sweep can fork
again.
"""

import logging
import multiprocessing
import os
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import find_free_network_port
from pytorch_lightning.loggers import Logger
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy
from rich.console import Console
from torch import distributed

from ser.errors import UserError
from ser.training.devices import require_gpus
from ser.training.phased import PhasedModel
from ser.training.stopping import Keeper, Watch
from ser.training.trainer import STOPPED, Training

log = logging.getLogger(__name__)

# Sends a row of the record to the process that started the ranks.
Tell = Callable[[dict[str, float]], None]


class DDP(Training):
    """As `Training`, but on several devices at once; its arguments are the same.

    Each rank has every n-th utterance of a batch, gradients are averaged so that each utterance
    counts the same, and validation is of all utterances once. GPUs are the first ones that torch
    sees, whether or not other runs have slots there.
    """

    def fit(
        self,
        model: PhasedModel,
        data: pl.LightningDataModule,
        folder: Path,
        loggers: Sequence[Logger],
        keeper: Keeper | None = None,
        watch: Watch | None = None,
    ) -> Keeper:
        self.require_devices()
        if keeper is not None:
            raise UserError("trainer=ddp trains recognisers; for a representation, trainer=gpu")
        data.setup("fit")  # once, before the forks share it
        # As Lightning sets it in the ranks: scores must not depend on who computes them.
        torch.use_deterministic_algorithms(self.deterministic)

        def heard(row: dict[str, float]) -> None:
            for logger in loggers:
                logger.log_metrics(row, step=int(row["epoch"]))

        def work(rank: int, tell: Tell) -> list[dict[str, float]]:
            self._train_rank(model, data, folder, [Told(tell)] if rank == 0 else [])
            return model.record

        try:
            model.record, *_ = side_by_side(work, self.devices, heard)
        except BaseException:
            Console().show_cursor()  # rank 0 may have been ended with its progress bar up
            for logger in loggers:
                logger.finalize("failed")
            raise
        kept = self.keeper()
        kept.load_state_dict(torch.load(folder / "best.ckpt", weights_only=True))
        model.load_state_dict(kept.weights)
        return kept

    def require_devices(self) -> None:
        if self.devices < 2:
            raise UserError("trainer=ddp: how many devices? trainer.devices=2, or more")
        if self.threads != 1:
            raise UserError(f"trainer.threads={self.threads}: with trainer=ddp, 1 a device")
        if self._accelerator() == "gpu":
            require_gpus(self.devices, f"trainer=ddp trainer.devices={self.devices}")
            if torch.cuda.is_initialized():
                raise UserError(
                    "trainer=ddp: this process has used a GPU and cannot be forked any more; "
                    "run it apart from trainer=gpu"
                )

    def _accelerator(self) -> str:
        if self.accelerator == "auto":
            return "gpu" if torch.cuda.is_available() else "cpu"
        return self.accelerator

    def _train_rank(
        self,
        model: PhasedModel,
        data: pl.LightningDataModule,
        folder: Path,
        loggers: Sequence[Logger],
    ) -> None:
        everything = sum(p.requires_grad for p in model.parameters())
        # Gradients of parameters that a phase's loss does not reach are waited for otherwise.
        partial = any(len(phase.parameters()) < everything for phase in model.phases)
        self._train(
            model,
            data,
            folder,
            loggers,
            self.keeper(),
            devices=self.devices,
            strategy=DDPStrategy(find_unused_parameters=partial, broadcast_buffers=False),
            # Says that the ranks have been started, and hides a cluster around us.
            plugins=[LightningEnvironment()],
        )
        distributed.destroy_process_group()


class Told(Logger):
    """Hands the record's rows to the process that started the ranks, which has the loggers."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self.tell = tell

    @property
    def name(self) -> str:
        return "told"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.tell(metrics)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def side_by_side(
    work: Callable[[int, Callable[[Any], None]], Any], count: int, heard: Callable[[Any], None]
) -> list[Any]:
    """Does `work(rank, tell)` in forked processes, all of which are gone at the end.

    Args:
        work: finds its place for `torch.distributed` in the environment; gives plain content.
        count: of ranks.
        heard: gets what ranks tell, as they tell it.

    Returns:
        What `work` gave, by rank.

    Raises:
        UserError, OSError: as raised by a rank, or a rank was killed.
        RuntimeError: anything else that a rank raised, with its traceback.
    """
    fork = multiprocessing.get_context("fork")
    os_of_ranks = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
    ranks: dict[Connection, BaseProcess] = {}
    try:
        for rank in range(count):
            receiver, sender = fork.Pipe(duplex=False)
            process: BaseProcess = fork.Process(
                target=_rank, args=(work, rank, sender, os_of_ranks), name=f"rank {rank}"
            )
            process.start()
            sender.close()  # the rank's own end is the last one, so that its death is heard
            ranks[receiver] = process
        return _listen(ranks, heard)
    except KeyboardInterrupt:
        log.info(STOPPED)
        raise SystemExit(1) from None
    finally:
        for receiver, process in ranks.items():
            process.kill()
            process.join()
            receiver.close()


def _listen(ranks: dict[Connection, BaseProcess], heard: Callable[[Any], None]) -> list[Any]:
    given: dict[Connection, Any] = {}
    while len(given) < len(ranks):
        for receiver in wait([receiver for receiver in ranks if receiver not in given]):
            assert isinstance(receiver, Connection)
            try:
                kind, content = receiver.recv()
            except EOFError:
                raise _ended(ranks[receiver]) from None
            if kind == "told":
                heard(content)
            elif kind == "done":
                given[receiver] = content
            else:
                _blame(content, list(ranks.values()))
    return list(map(given.__getitem__, ranks))


def _blame(error: Exception, ranks: list[BaseProcess]) -> None:
    """Raises what a rank reports, or names another whose death is the reason for it."""
    if not isinstance(error, UserError | OSError):
        wait([process.sentinel for process in ranks], timeout=0.5)
        for process in ranks:
            if process.exitcode is not None and process.exitcode < 0:
                raise _ended(process)
    raise error


def _ended(process: BaseProcess) -> Exception:
    """Of a rank that is gone without a word."""
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return RuntimeError(f"{process.name} of this run ended with status {process.exitcode}")
    return UserError(
        f"{process.name} of this run was killed, as the system does where memory runs out. The "
        "same command goes on from the last checkpoint"
    )


def _rank(
    work: Callable[[int, Callable[[Any], None]], Any],
    rank: int,
    sender: Connection,
    environment: dict[str, str],
) -> None:
    """What a forked process does: tells what it has found, or what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which the parent has got, too
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment, LOCAL_RANK=str(rank), NODE_RANK="0")
    if rank:  # what is said is said once
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
    try:
        found = work(rank, lambda content: sender.send(("told", content)))
    except BaseException as error:
        known = isinstance(error, UserError | OSError)
        told = error if known else RuntimeError(f"rank {rank}:\n{traceback.format_exc()}")
        sender.send(("failed", told))
        # Until the parent ends all: ranks that wait for this one would complain that it is gone.
        threading.Event().wait()
    sender.send(("done", found))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
