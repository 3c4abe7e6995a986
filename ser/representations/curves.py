"""What trained a representation, shown in the loggers of the run that needs it."""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from ser.results import REPRESENTATION

PREFIX = f"{REPRESENTATION}/"
# Of its rows alone: the recogniser's epochs begin at 0 again.
EPOCH = f"{PREFIX}epoch"


class Curves(Logger):
    """Shows the epochs of a fit under `representation/`, as they come or when it is found ready.

    Rows are read from the fit's `metrics.csv`, so that a fit that was begun by another process, or
    wholly made by another run, is shown from its first epoch. A logger that is no more than a file
    a process, as TensorBoard's, is told them by each process that continues the run.

    Args:
        logger: of the run.
        path: of the fit's `metrics.csv`, whether or not it is there yet.

    Examples:
        >>> from pytorch_lightning.loggers import CSVLogger
        >>> curves = Curves(CSVLogger("."), Path("no/metrics.csv"))
        >>> curves.catch_up()  # nothing: there are no epochs
    """

    def __init__(self, logger: Logger, path: Path) -> None:
        super().__init__()
        self.logger, self.path = logger, path
        self._shown = 0

    @property
    def name(self) -> str | None:
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        return self.logger.version

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """They are the run's."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.catch_up()  # the row is in the file by now

    def catch_up(self) -> None:
        """Shows the epochs that have not been shown."""
        if not self.path.exists():  # not trained by epochs
            return
        with self.path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows[self._shown :]:
            # What an epoch lacks has no number.
            told = {f"{PREFIX}{name}": float(value) for name, value in row.items() if value}
            self.logger.log_metrics(told, step=int(told[EPOCH]))
        self._shown = len(rows)

    def finalize(self, status: str) -> None:
        if status != "success":  # the run goes on with its next stage
            self.logger.finalize(status)
