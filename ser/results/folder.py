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
        result.json           scores, facts, digests of these files; written last: marks the end
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
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ser.errors import BusyError, UserError, last_line
from ser.results.files import (
    changed_files,
    digests_of,
    read_json,
    read_sealed,
    write_json,
    write_sealed,
    write_text,
)
from ser.results.paths import (
    CHECKPOINTS,
    COST,
    EVALUATED,
    FAILURE,
    HYDRA,
    METRICS,
    REPRESENTATION,
    RESULT,
    UNFINISHED,
    RunPaths,
)
from ser.results.result_folder import PREDICTIONS

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

# Changes when runs of an earlier version can no longer be read.
FORMAT = 2

# A folder with one of these files is the folder of a run.
MARKS = (RESULT, UNFINISHED, FAILURE)
LOCK = "running.lock"
# Folders that a run removes before it begins, if the folder is that of a run, and what shows this.
OWN_FOLDERS = (CHECKPOINTS, "latents", REPRESENTATION, EVALUATED)
SIGNS = (RESULT, UNFINISHED, HYDRA, METRICS, PREDICTIONS)
# Files of a run that were not written to their end; other files are the user's.
REMAINS = (
    *("*.json.part", "*.csv.part", f"{HYDRA}/*.part"),
    *(f"{folder}/**/*.part" for folder in (CHECKPOINTS, REPRESENTATION, EVALUATED)),
)


@dataclass(frozen=True)
class RunFolder(RunPaths):
    """The folder of a run, finished or not."""

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
        if not self.failure_file.exists():
            return None
        failure = read_json(self.failure_file) or {}
        return str(failure.get("error", f"{self.failure_file} is damaged"))

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
            made_by = (result.get("versions") or {}).get("ser")
            if made_by is None:
                raise UserError(
                    f"{self.record_file} is damaged: it names no version; {self.REMEDY}"
                )
            raise UserError(
                f"{self.path}: made by ser {made_by}, whose runs this version cannot read; "
                "train it again"
            )
        return result

    def require_config(self) -> "DictConfig":
        """Return the configuration that the run was composed from, checked and resolved.

        Everything that is built from it is a component of the project, see `ser.config.stored`.

        Raises:
            UserError: There is none, or it names something else.
        """
        from ser.config import run_key, stored

        cfg = stored.read(self.config_file)
        result = self.read_record() or {}
        # Another version may leave out other options.
        made_by = (result.get("versions") or {}).get("ser")
        if "options" in result and made_by == version("ser"):
            with self.readable(self.config_file):
                if run_key.digest(run_key.result_options(cfg)) != result["options"]:
                    raise UserError(
                        f"{self.config_file} is not the configuration of {RESULT}; {self.REMEDY}"
                    )
        return cfg

    @contextmanager
    def readable(self, file: Path | None = None) -> Iterator[None]:
        """Turn errors that damaged files cause into a `UserError`; wraps what reads them.

        Args:
            file: File that is read; None: several files of the run.
        """
        from omegaconf.errors import OmegaConfBaseException

        try:
            yield
        except (
            *(AttributeError, KeyError, IndexError, TypeError, ValueError, OSError),
            OmegaConfBaseException,
        ) as error:
            raise UserError(
                f"{file or f'{self.path}: a file of this run'} is damaged "
                f"({type(error).__name__}: {last_line(error)}); {self.REMEDY}"
            ) from error

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

    def require_own(self) -> None:
        """Raise a UserError if folders that a run would remove are those of somebody else."""
        if any((self.path / name).exists() for name in SIGNS):
            return
        if others := [name for name in OWN_FOLDERS if (self.path / name).exists()]:
            raise UserError(
                f"{self.path}: has {', '.join(others)}, which a run would replace, but is not the "
                "folder of a run; choose another one (hydra.run.dir=FOLDER)"
            )

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
        for pattern in REMAINS:  # of a process that was killed
            for remains in self.path.glob(pattern):
                remains.unlink(missing_ok=True)
        for name, text in (description or {}).items():
            write_text(self.path / HYDRA / name, text)
        unfinished = read_json(self.unfinished_file) or {}
        seconds = 0.0
        if self.is_finished or unfinished.get("run_key") != run_key:
            self._clear()
        else:
            seconds = self.seconds_spent
        write_json(self.unfinished_file, {"run_key": run_key, "seconds": seconds})
        return seconds

    def _clear(self) -> None:
        files = (self.record_file, self.predictions_file, self.utterances_file)
        for file in (*files, self.cost_file, self.metrics_file, self.fitted_keys_file):
            file.unlink(missing_ok=True)
        for folder in OWN_FOLDERS:
            shutil.rmtree(self.path / folder, ignore_errors=True)

    @property
    def seconds_spent(self) -> float:
        """Seconds that finished or killed processes spent on an unfinished run, by its files."""
        started = self.unfinished_file.stat().st_mtime  # written at each start
        files = (self.metrics_file, self.last_checkpoint)
        last = max((file.stat().st_mtime for file in files if file.exists()), default=started)
        return self.seconds_before + max(0.0, last - started)

    @property
    def seconds_before(self) -> float:
        """Seconds that processes before the last one spent on an unfinished run."""
        seconds = (read_json(self.unfinished_file) or {}).get("seconds")
        return seconds if isinstance(seconds, float | int) else 0.0

    def write_cost(self, cost: Mapping[str, Any]) -> None:
        """Write what equal runs may differ in, with the digests of Hydra's files."""
        files = (self.config_file, self.choices_file, self.overrides_file)
        names = [str(file.relative_to(self.path)) for file in files]
        write_sealed(self.cost_file, {**cost, "digests": digests_of(self.path, names)})

    def require_description(self) -> None:
        """Raise a UserError if the files that describe the run have changed since it was made."""
        for message in changed_files(self.path, self.read_cost().get("digests") or {}):
            raise UserError(f"{message} ({COST} has its digest); restore it, or {self.REMEDY}")

    def read_cost(self) -> dict[str, Any]:
        """Return the cost of a finished run; empty if it is missing or damaged."""
        with suppress(UserError):
            return read_sealed(self.cost_file) or {}
        return {}

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
