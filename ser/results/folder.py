"""Folders of results: the one place that knows which files a run leaves.

    <run>/
        .hydra/config.yaml    configuration, as Hydra composed it
        train.log             log messages
        unfinished.json       run key and seconds spent, while the run is not finished
        checkpoints/          weights and what prediction needs beside them
        representation/       the fitted representation and its codes, where there is one
        fitted_keys.txt       keys of the shared fits that the run has used (`ser.results.fitted`)
        metrics.csv           losses and validation scores, one row per epoch
        predictions.csv       truth, prediction and probabilities of validation and test
        utterances.csv        speakers, genders, sessions and ratings of all splits
        cost.json             seconds and date, apart from results
        result.json           scores and facts; written last, so that it marks a finished run
        failure.json          why the run failed
        evaluated/<corpus>/   predictions on another corpus, with `evaluation.json`

Equal runs have equal files byte for byte, except `cost.json`, `train.log` and `.hydra/`.
"""

import logging
import shutil
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from filelock import FileLock, Timeout

from ser.errors import BusyError, UserError
from ser.results.files import read_json, write_json, write_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

# Changes when runs of an earlier version can no longer be read.
FORMAT = 2

RESULT, UNFINISHED, FAILURE = "result.json", "unfinished.json", "failure.json"
EVALUATION = "evaluation.json"
PREDICTIONS, UTTERANCES, METRICS = "predictions.csv", "utterances.csv", "metrics.csv"
COST = "cost.json"
HYDRA, LOG = ".hydra", "train.log"
CHECKPOINTS, REPRESENTATION, EVALUATED = "checkpoints", "representation", "evaluated"
FITTED, CODES, SEGMENT_CODES = "fitted.json", "codes.csv", "codes.npz"
FITTED_KEYS = "fitted_keys.txt"
# A folder with one of these files is the folder of a run.
MARKS = (RESULT, UNFINISHED, FAILURE)
LOCK = "running.lock"


@dataclass(frozen=True)
class ResultFolder:
    """A folder with the predictions of one run on one corpus.

    Args:
        path: Path of the folder.
    """

    path: Path

    # Name of the file with scores and facts, which is written last.
    RECORD: ClassVar[str]

    @property
    def record_file(self) -> Path:
        return self.path / self.RECORD

    @property
    def predictions_file(self) -> Path:
        return self.path / PREDICTIONS

    @property
    def utterances_file(self) -> Path:
        return self.path / UTTERANCES

    @property
    def is_finished(self) -> bool:
        return self.record_file.exists()

    def read_record(self) -> dict[str, Any] | None:
        """Return scores and facts, or None if the folder is not finished."""
        return read_json(self.record_file)

    def write_record(self, content: Mapping[str, Any]) -> None:
        """Mark the folder as finished."""
        write_json(self.record_file, content)

    def read_predictions(self) -> pd.DataFrame:
        """Return the table of `predictions.csv`, ids and class names as strings."""
        names = ["utterance", "part", "truth", "prediction"]
        return pd.read_csv(
            self.predictions_file, dtype={name: str for name in names}, keep_default_na=False
        )

    def write_predictions(self, table: pd.DataFrame) -> None:
        # Nine digits restore every float32 exactly.
        write_text(self.predictions_file, table.to_csv(index=False, float_format="%.9g"))

    def read_utterances(self) -> pd.DataFrame:
        """Return the table of `utterances.csv`, all columns as strings."""
        return pd.read_csv(self.utterances_file, dtype=str, keep_default_na=False)

    def write_utterances(self, table: pd.DataFrame) -> None:
        write_text(self.utterances_file, table.to_csv(index=False))


@dataclass(frozen=True)
class EvaluationFolder(ResultFolder):
    """Results of a finished run on a corpus other than its own."""

    RECORD = EVALUATION


@dataclass(frozen=True)
class RunFolder(ResultFolder):
    """The folder of a run, finished or not."""

    RECORD = RESULT

    @property
    def config_file(self) -> Path:
        return self.path / HYDRA / "config.yaml"

    @property
    def choices_file(self) -> Path:
        """Hydra's own configuration, with the choice of every config group."""
        return self.path / HYDRA / "hydra.yaml"

    @property
    def overrides_file(self) -> Path:
        return self.path / HYDRA / "overrides.yaml"

    @property
    def log_file(self) -> Path:
        return self.path / LOG

    @property
    def metrics_file(self) -> Path:
        return self.path / METRICS

    @property
    def cost_file(self) -> Path:
        return self.path / COST

    @property
    def unfinished_file(self) -> Path:
        return self.path / UNFINISHED

    @property
    def failure_file(self) -> Path:
        return self.path / FAILURE

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def best_network(self) -> Path:
        return self.checkpoints / "best.ckpt"

    @property
    def best_estimator(self) -> Path:
        return self.checkpoints / "best.skops"

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoints / "last.ckpt"

    @property
    def representation(self) -> Path:
        return self.path / REPRESENTATION

    @property
    def fitted_file(self) -> Path:
        """Facts of the fitted representation."""
        return self.representation / FITTED

    @property
    def fitted_keys_file(self) -> Path:
        """Keys of the shared fits that the run has used."""
        return self.path / FITTED_KEYS

    @property
    def codes_file(self) -> Path:
        """Codes of utterances."""
        return self.representation / CODES

    @property
    def segment_codes_file(self) -> Path:
        """Codes of some segments, where the model sees segments one by one."""
        return self.representation / SEGMENT_CODES

    @property
    def latents(self) -> Path:
        return self.path / "latents"

    def evaluation(self, corpus: str) -> EvaluationFolder:
        """Return the folder of this run's results on another corpus."""
        return EvaluationFolder(self.path / EVALUATED / corpus)

    def evaluations(self) -> list[EvaluationFolder]:
        """Return the folders of finished evaluations, sorted by corpus."""
        files = (self.path / EVALUATED).glob(f"*/{EvaluationFolder.RECORD}")
        return [EvaluationFolder(file.parent) for file in sorted(files)]

    @classmethod
    def find_all(cls, folder: Path) -> "list[RunFolder]":
        """Return all runs at or below a folder, finished or not, sorted by path."""
        paths = {file.parent for name in MARKS for file in folder.rglob(name)}
        return [cls(path) for path in sorted(paths)]

    @classmethod
    def all_finished(cls, folder: Path) -> "list[RunFolder]":
        """Return the run of a folder, or all finished runs below it, sorted by path.

        Raises:
            UserError: There is no finished run.
        """
        runs = [cls(folder)]
        if not runs[0].is_finished:
            runs = [cls(file.parent) for file in sorted(folder.rglob(RESULT))]
        if not runs:
            raise UserError(f"{folder}: no finished run (no {RESULT} at or below it)")
        return runs

    @property
    def has_ended(self) -> bool:
        """Whether the run is finished or has failed."""
        return self.is_finished or self.failure_file.exists()

    def read_error(self) -> str | None:
        """Return the message of the error that ended the run, or None if it has not failed."""
        failure = read_json(self.failure_file)
        return None if failure is None else failure["error"]

    # ---- reading a finished run

    def require_result(self) -> dict[str, Any]:
        """Return `result.json` of a finished run that this version can read.

        Raises:
            UserError: The run is not finished, or was made by a version with another format.
        """
        result = self.read_record()
        if result is None:
            raise UserError(f"{self.path}: no finished run (no {RESULT})")
        if result.get("format") != FORMAT:
            version = result.get("versions", {}).get("ser", "an unknown version")
            raise UserError(
                f"{self.path}: made by ser {version}, whose runs this version cannot read; "
                "train it again"
            )
        return result

    def require_config(self) -> "DictConfig":
        """Return the configuration that the run was composed from, checked and resolved.

        Everything that is built from it is a component of the project, see `ser.config.stored`.

        Raises:
            UserError: There is none, or it names something else.
        """
        from ser.config import stored

        return stored.read(self.config_file)

    # ---- making a run

    def finished_result(self, run_key: str, *, force: bool) -> dict[str, Any] | None:
        """Return `result.json` of the finished run, or None if the run is to be made.

        Args:
            run_key: Hash of the run that is asked for.
            force: Make it in any case.

        Raises:
            UserError: The folder has a finished run with another key.
        """
        result = None if force else self.read_record()
        if result is not None and result.get("run_key") != run_key:
            raise UserError(
                f"{self.path}: the finished run in this folder is of other data, features or "
                "options (its run_key differs): force=true replaces it, hydra.run.dir=FOLDER (for "
                "a sweep hydra.sweep.dir=FOLDER) keeps it"
            )
        return result

    @contextmanager
    def claimed(self, *, wait: bool = True) -> Iterator[None]:
        """Keep other processes from making the same run; ends with the process, even if killed.

        Args:
            wait: Wait until no other process makes the run.

        Raises:
            BusyError: Another process is making it, and `wait` is False.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK)
        try:
            # `is_claimed` holds the lock for a moment when it looks.
            lock.acquire(timeout=2)
        except Timeout:
            if not wait:
                raise BusyError(f"{self.path}: another process is making this run") from None
            log.info("waiting for the process that is making this run: %s", self.path)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @property
    def is_claimed(self) -> bool:
        """Whether a process of this machine (or file system) is making the run."""
        if not (self.path / LOCK).exists():
            return False
        try:
            with FileLock(self.path / LOCK, timeout=0):
                return False
        except Timeout:
            return True
        except PermissionError:  # the folder may be read only
            return False

    def begin(self, run_key: str, description: Mapping[str, str] | None = None) -> float:
        """Prepare the folder for a run, and remove the files of any other run.

        `unfinished.json` holds the key of the run, so that its checkpoint is not continued by a run
        of another corpus or of a changed configuration.

        Args:
            run_key: Hash of the run.
            description: Content of the files in `.hydra/`, by name.

        Returns:
            Seconds that earlier processes spent on the same run, if it is continued; else 0.
        """
        self.failure_file.unlink(missing_ok=True)
        for name, text in (description or {}).items():
            write_text(self.path / HYDRA / name, text)
        unfinished = read_json(self.unfinished_file)
        seconds = 0.0
        if self.is_finished or unfinished is None or unfinished["run_key"] != run_key:
            self._clear()
        else:
            seconds = self.seconds_spent
        write_json(self.unfinished_file, {"run_key": run_key, "seconds": seconds})
        return seconds

    def _clear(self) -> None:
        files = (self.record_file, self.predictions_file, self.utterances_file)
        for file in (*files, self.cost_file, self.metrics_file, self.fitted_keys_file):
            file.unlink(missing_ok=True)
        for folder in (CHECKPOINTS, "latents", REPRESENTATION, EVALUATED):
            shutil.rmtree(self.path / folder, ignore_errors=True)

    @property
    def seconds_spent(self) -> float:
        """Seconds that finished or killed processes spent on an unfinished run, by its files."""
        started = self.unfinished_file.stat().st_mtime  # written at each start
        files = (self.metrics_file, self.last_checkpoint)
        last = max((file.stat().st_mtime for file in files if file.exists()), default=started)
        before = (read_json(self.unfinished_file) or {}).get("seconds", 0.0)
        return before + max(0.0, last - started)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`, and remove what only an unfinished run needs."""
        self.write_record({"format": FORMAT, **result})
        self.unfinished_file.unlink(missing_ok=True)
        self.last_checkpoint.unlink(missing_ok=True)

    def remove_if_empty(self, below: Path) -> None:
        """Remove the folder of a run that was not made, and its parents below a folder, if empty.

        Args:
            below: Folder that is kept.
        """
        parents = [each for each in self.path.parents if below in each.parents]
        with suppress(OSError):
            for path in (self.path, *parents):
                path.rmdir()

    def fail(self, error: Exception) -> None:
        """Record why the run ended without a result."""
        if isinstance(error, UserError):
            content = {"error": str(error)}
        else:
            trace = "".join(traceback.format_exception(error))
            content = {"error": f"{type(error).__name__}: {error}", "traceback": trace}
        with suppress(OSError):  # a full disk may be the reason
            write_json(self.failure_file, content)
