"""Which GPU a run takes where several runs go side by side, whatever started them.

Runs of a sweep, of two terminals or of two launchers know nothing of each other; what they share
is this machine's folder of locks. A lock ends with the process that holds it, also when that one
is killed.
"""

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from ser.errors import UserError

log = logging.getLogger(__name__)

LOOK_AGAIN = 0.5  # seconds


def require_gpus(wanted: int, asked_by: str) -> None:
    """Holds what is asked for against what torch sees.

    Args:
        wanted: how many GPUs.
        asked_by: the option that asks for them.

    Raises:
        UserError: there are fewer.
    """
    # Lightning has torch ask the driver's management library for both: no CUDA context is made.
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not there:
        raise UserError(
            f"{asked_by}, and torch sees no GPU on this machine: trainer.accelerator=cpu"
        )
    if there < wanted:
        raise UserError(f"{asked_by}, and torch sees {there} GPU(s) on this machine")


@contextmanager
def free_gpu(runs_per_gpu: int) -> Iterator[int]:
    """Torch's number of a GPU with room for a run, which is kept until the block ends."""
    # Torch counts the visible ones alone; these names are the same whoever sees which.
    names = [
        str(torch.cuda.get_device_properties(number).uuid)
        for number in range(torch.cuda.device_count())
    ]
    folder = Path(tempfile.gettempdir()) / f"ser-gpus-{os.getuid()}"
    with free_slot(names, runs_per_gpu, folder) as number:
        yield number


@contextmanager
def free_slot(names: Sequence[str], runs_per_gpu: int, folder: Path) -> Iterator[int]:
    """The first free slot: as many runs as there are GPUs go to different ones, then the next.

    Waits where all slots are taken, and says so once.

    Args:
        names: of the GPUs, on all the machine.
        runs_per_gpu: how many runs a GPU may have at once.
        folder: of the locks; created.

    Yields:
        Which of `names`.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    locks = [
        (number, FileLock(folder / f"{name}-{place}.lock"))
        for place in range(runs_per_gpu)
        for number, name in enumerate(names)
    ]
    waiting = False
    while (taken := _first_free(locks)) is None:
        if not waiting:
            log.info("waiting for a free GPU: all %d slots are taken", len(locks))
            waiting = True
        time.sleep(LOOK_AGAIN)
    number, lock = taken
    try:
        yield number
    finally:
        lock.release()


def _first_free(locks: Sequence[tuple[int, FileLock]]) -> tuple[int, FileLock] | None:
    for number, lock in locks:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return number, lock
    return None
