"""Other processes: forked from the test's own, so that nothing is imported again."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
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
