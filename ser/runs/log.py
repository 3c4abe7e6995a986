"""The log of a run: `train.log` in its folder."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RunLog(MemoryHandler):
    """Keeps messages until the run has begun, because a run that is refused leaves no file."""

    def __init__(self) -> None:
        super().__init__(capacity=1)

    def begin(self, file: Path) -> None:
        """Append all messages, past and future, to a file."""
        handler = logging.FileHandler(file, delay=True)
        handler.setFormatter(logging.Formatter(FORMAT))
        self.setTarget(handler)
        self.flush()

    def close(self) -> None:
        if self.target is not None:
            self.target.close()
        super().close()


@contextmanager
def run_log() -> Iterator[RunLog]:
    """Receive all messages that are logged in a block."""
    log = RunLog()
    try:
        with received_by([log]):
            yield log
    finally:
        log.close()


@contextmanager
def received_by(logs: Sequence[RunLog]) -> Iterator[None]:
    """Let the logs of some runs receive the messages that are logged in a block."""
    root = logging.getLogger()
    for log in logs:
        root.addHandler(log)
    try:
        yield
    finally:
        for log in logs:
            root.removeHandler(log)
