"""One run on several devices of this machine: one process per device, which share every batch.

The processes, called ranks, are forked here. Lightning's launcher would start `train.py` again,
including Hydra; a fork starts immediately and does not copy the features. A process must not be
forked after it has used CUDA or torch's thread pool, because neither survives a fork. Therefore
each rank has one thread, rank 0 is forked, too, and this process counts GPUs without initialising
CUDA and scores on the CPU with the weights that rank 0 has saved. So the next run of a sweep can
fork again.
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
from pytorch_lightning.strategies import DDPStrategy
from rich.console import Console
from torch import distributed

from ser.errors import UserError
from ser.training.callbacks import STOPPED
from ser.training.checkpoints import discard_unusable, load_checkpoint
from ser.training.devices import require_gpus
from ser.training.phased import PhasedModel
from ser.training.stopping import CheckpointSelection
from ser.training.trainer import Training

log = logging.getLogger(__name__)

# Sends plain content to the process that started the ranks.
Send = Callable[[Any], None]


class DDP(Training):
    """`Training` on several devices; the arguments are the same.

    Each of n ranks has every n-th utterance of a batch. The average of their gradients is that of
    the loss of the whole batch, also where a loss averages over labelled utterances or over frames,
    and each utterance is validated once. The first GPUs that torch sees
    are used, even if other runs use them.
    """

    def fit(
        self,
        model: PhasedModel,
        data: pl.LightningDataModule,
        folder: Path,
        loggers: Sequence[Logger],
        selection: CheckpointSelection | None = None,
        monitored: pl.Callback | None = None,
        checkpoints: Path | None = None,
    ) -> CheckpointSelection:
        self.require_devices()
        assert checkpoints is None, "several devices share no training with another fold"
        if selection is not None:
            raise UserError("trainer=ddp trains recognisers; for a representation, trainer=gpu")
        discard_unusable(folder)  # before the ranks read it
        data.setup("fit")  # before the fork, so that the ranks share the memory
        # Lightning sets it in the ranks; scores must not depend on the process that computes them.
        torch.use_deterministic_algorithms(self.deterministic)

        def log_row(row: dict[str, float]) -> None:
            for logger in loggers:
                logger.log_metrics(row, step=int(row["epoch"]))

        def train(rank: int, send: Send) -> list[dict[str, float]]:
            self._train_rank(model, data, folder, [SendingLogger(send)] if rank == 0 else [])
            return model.record

        try:
            model.record, *_ = run_ranks(train, self.devices, log_row)
        except BaseException:
            Console().show_cursor()  # hidden by the progress bar of rank 0
            for logger in loggers:
                logger.finalize("failed")
            raise
        selected = self.selection()
        selected.load_state_dict(load_checkpoint(folder / "best.ckpt"))
        model.load_state_dict(selected.weights)
        return selected

    def require_devices(self) -> None:
        if self.devices < 2:
            raise UserError("trainer=ddp needs trainer.devices=2, or more")
        if self.threads != 1:
            raise UserError(f"trainer.threads={self.threads}: trainer=ddp needs 1 per device")
        if self.accelerator == "gpu":
            require_gpus(self.devices, f"trainer=ddp trainer.devices={self.devices}")
            if torch.cuda.is_initialized():
                raise UserError(
                    "trainer=ddp: this process has used a GPU and can no longer be forked; start "
                    "it separately from runs with trainer=gpu"
                )

    def _train_rank(
        self,
        model: PhasedModel,
        data: pl.LightningDataModule,
        folder: Path,
        loggers: Sequence[Logger],
    ) -> None:
        trainable = sum(p.requires_grad for p in model.parameters())
        # Otherwise DDP waits for gradients of parameters that a phase's loss does not depend on.
        partial = any(len(phase.parameters()) < trainable for phase in model.phases)
        self._train(
            model,
            data,
            folder,
            loggers,
            self.selection(),
            devices=self.devices,
            strategy=DDPStrategy(find_unused_parameters=partial, broadcast_buffers=False),
        )
        distributed.destroy_process_group()


class SendingLogger(Logger):
    """Sends the rows of the record to the process that started the ranks, which has the loggers.

    Args:
        send: Sends a row.
    """

    def __init__(self, send: Send) -> None:
        super().__init__()
        self.send = send

    @property
    def name(self) -> str:
        return "sending"

    @property
    def version(self) -> int:
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.send(metrics)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def run_ranks(
    function: Callable[[int, Send], Any], count: int, receive: Callable[[Any], None]
) -> list[Any]:
    """Call `function(rank, send)` in forked processes, and end all of them before returning.

    Args:
        function: Returns plain content. The environment has the variables that
            `torch.distributed` needs.
        count: Number of ranks.
        receive: Called in this process with whatever a rank sends, as it arrives.

    Returns:
        Return values by rank.

    Raises:
        UserError, OSError: Raised by a rank, or a rank was killed.
        RuntimeError: A rank raised another exception; with its traceback.
    """
    fork = multiprocessing.get_context("fork")
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(find_free_network_port())}
    ranks: dict[Connection, BaseProcess] = {}
    try:
        for rank in range(count):
            receiver, sender = fork.Pipe(duplex=False)
            process: BaseProcess = fork.Process(
                target=_rank, args=(function, rank, sender, environment), name=f"rank {rank}"
            )
            process.start()
            sender.close()  # only the rank holds the sending end, so its death closes the pipe
            ranks[receiver] = process
        return _collect(ranks, receive)
    except KeyboardInterrupt:
        log.info(STOPPED)
        raise SystemExit(1) from None
    finally:
        for receiver, process in ranks.items():
            process.kill()
            process.join()
            receiver.close()


def _collect(ranks: dict[Connection, BaseProcess], receive: Callable[[Any], None]) -> list[Any]:
    returned: dict[Connection, Any] = {}
    while len(returned) < len(ranks):
        for receiver in wait([receiver for receiver in ranks if receiver not in returned]):
            assert isinstance(receiver, Connection)
            try:
                kind, content = receiver.recv()
            except EOFError:
                raise _exit_error(ranks[receiver]) from None
            if kind == "sent":
                receive(content)
            elif kind == "returned":
                returned[receiver] = content
            else:
                _raise_cause(content, list(ranks.values()))
    return [returned[receiver] for receiver in ranks]


def _raise_cause(error: Exception, ranks: list[BaseProcess]) -> None:
    """Raise the error of a rank, or that of another rank whose death has caused it."""
    if not isinstance(error, UserError | OSError):
        wait([process.sentinel for process in ranks], timeout=0.5)
        for process in ranks:
            if process.exitcode is not None and process.exitcode < 0:
                raise _exit_error(process)
    raise error


def _exit_error(process: BaseProcess) -> Exception:
    """Return the error for a rank that ended without reporting one."""
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return RuntimeError(f"{process.name} of this run ended with status {process.exitcode}")
    return UserError(
        f"{process.name} of this run was killed, which the system does when memory runs out. The "
        "same command continues from the last checkpoint"
    )


def _rank(
    function: Callable[[int, Send], Any],
    rank: int,
    sender: Connection,
    environment: dict[str, str],
) -> None:
    """Run in a forked process; send the return value, or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal interrupts the parent, too
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.update(environment, LOCAL_RANK=str(rank), NODE_RANK="0")
    if rank:  # only rank 0 logs
        logging.disable(logging.CRITICAL)
        warnings.simplefilter("ignore")
    try:
        value = function(rank, lambda content: sender.send(("sent", content)))
    except BaseException as error:
        known = isinstance(error, UserError | OSError)
        failure = error if known else RuntimeError(f"rank {rank}:\n{traceback.format_exc()}")
        sender.send(("failed", failure))
        # Wait for the parent to end all ranks: those that communicate with this one would fail.
        threading.Event().wait()
    sender.send(("returned", value))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
