"""Assignment of GPUs to runs that are started independently on one machine.

Runs of a sweep, of two terminals or of two launchers share a folder of lock files. The system
releases a lock when its process ends, even when it is killed.
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

POLL_SECONDS = 0.5


def require_gpus(count: int, option: str) -> None:
    """Check that torch sees enough GPUs.

    Args:
        count: Number of GPUs that are needed.
        option: Option that requests them, for the message.

    Raises:
        UserError: There are fewer.
    """
    # Lightning lets torch query the driver's management library: no CUDA context is created.
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not available:
        raise UserError(
            f"{option}: torch sees no GPU on this machine; trainer.accelerator=cpu needs none"
        )
    if available < count:
        raise UserError(f"{option}: torch sees {available} GPU(s) on this machine")


def allow_tf32(allowed: bool) -> None:
    """Let GPUs round the factors of products to TF32, ten bits, or compute with all of float32."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = allowed


def used_gpu() -> str | None:
    """Return the name of the GPU that this process has used last; None: it has used none."""
    # Asking for the name would initialise CUDA, after which trainer=ddp cannot fork.
    return torch.cuda.get_device_name() if torch.cuda.is_initialized() else None


def has_room(size: int, device: torch.device) -> bool:
    """Whether `size` bytes take at most half of what is free of a GPU's memory."""
    free, _ = torch.cuda.mem_get_info(device)
    return size <= free // 2


@contextmanager
def free_gpu(runs_per_gpu: int) -> Iterator[int]:
    """Yield torch's number of a GPU with a free slot, and hold the slot until the block ends."""
    # Torch numbers only the visible GPUs; UUIDs are the same for all processes.
    names = [
        str(torch.cuda.get_device_properties(number).uuid)
        for number in range(torch.cuda.device_count())
    ]
    folder = Path(tempfile.gettempdir()) / f"ser-gpus-{os.getuid()}"
    with free_slot(names, runs_per_gpu, folder) as number:
        yield number


@contextmanager
def free_slot(names: Sequence[str], runs_per_gpu: int, folder: Path) -> Iterator[int]:
    """Hold the first free slot; the order is the first slot of every GPU, then the second ones.

    If all slots are in use, log one message and wait.

    Args:
        names: Names of the GPUs, the same for all processes.
        runs_per_gpu: Number of slots of each GPU.
        folder: Folder of the lock files; created.

    Yields:
        Index into `names`.
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
            log.info("waiting for a free GPU: all %d slots are in use", len(locks))
            waiting = True
        time.sleep(POLL_SECONDS)
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
