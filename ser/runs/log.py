"""The log of a run: `train.log` in its folder."""

import logging
from collections.abc import Iterator
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
    logging.getLogger().addHandler(log)
    try:
        yield log
    finally:
        logging.getLogger().removeHandler(log)
        log.close()
