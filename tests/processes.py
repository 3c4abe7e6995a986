"""Other processes: forked from the test's own, so that nothing is imported again."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any


def fork(function: Callable[..., Any], *args: Any) -> ForkProcess:
    """Start a process that calls a function; its exit code is 1 if the function raises."""
    process = get_context("fork").Process(target=function, args=args)
    process.start()
    return process


def exit_codes(*processes: ForkProcess, seconds: float = 60) -> list[int | None]:
    """Wait for processes; None: one still runs after `seconds`."""
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def process_with_open_file(file: Path) -> int:
    """The id of the process that has a file open."""
    (process, *_) = processes_with_open_files([file])
    return process


def processes_with_open_files(files: Sequence[Path]) -> list[int]:
    """The ids of the processes that have one of some files open."""
    found = []
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # ended, or of another user
            if link.readlink() in files:
                found.append(int(link.parts[2]))
    return found
