"""Learning curves of a representation in the loggers of a run."""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from ser.results import REPRESENTATION

PREFIX = f"{REPRESENTATION}/"
# Step of these rows; the epochs of the recogniser start at 0 again.
EPOCH = f"{PREFIX}epoch"


class Curves(Logger):
    """Logs the epochs of a fit, with the prefix `representation/`.

    Rows are read from the fit's `metrics.csv`, so that all epochs are logged, also those that were
    trained by another process or another run. Each process that resumes a run logs them again,
    because some loggers, e.g. TensorBoard's, write one file per process.

    Args:
        logger: Logger of the run.
        path: The fit's `metrics.csv`, which need not exist yet.

    Examples:
        >>> from pytorch_lightning.loggers import CSVLogger
        >>> curves = Curves(CSVLogger("."), Path("no/metrics.csv"))
        >>> curves.catch_up()  # there are no epochs yet
    """

    def __init__(self, logger: Logger, path: Path) -> None:
        super().__init__()
        self.logger, self.path = logger, path
        self._logged = 0

    @property
    def name(self) -> str | None:
        return self.logger.name

    @property
    def version(self) -> int | str | None:
        return self.logger.version

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: hyper-parameters are logged by the run."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.catch_up()  # the row has already been written to the file

    def catch_up(self) -> None:
        """Log the epochs that have not been logged yet."""
        if not self.path.exists():  # not trained by epochs
            return
        with self.path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows[self._logged :]:
            # Missing values are empty strings.
            metrics = {f"{PREFIX}{name}": float(value) for name, value in row.items() if value}
            self.logger.log_metrics(metrics, step=int(metrics[EPOCH]))
        self._logged = len(rows)

    def finalize(self, status: str) -> None:
        if status != "success":  # otherwise the run continues with its next stage
            self.logger.finalize(status)
