"""A sweep: the runs that are not finished yet, launched together.

Used by the sweeper in `hydra_plugins/`, which Hydra imports whenever `train.py` starts. Nothing
slow is therefore imported at the top of this module.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ser.errors import last_line

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

    from ser.data.fingerprint import RunKeys
    from ser.results import RunFolder
    from ser.sweeps.grid import Compose, Job

    Launch = Callable[[Sequence[Job]], Sequence[JobReturn]]

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 30.0  # between two log lines
# A worker that is killed, e.g. by the system when memory is short, breaks the pool of all workers.
# The remaining runs are then launched again, up to so many times in all.
LAUNCHES = 3


class Sweep:
    """The runs of a sweep, of which those that are finished are skipped.

    Args:
        jobs: Overrides of each run.
        compose: Function that composes the config of a job, including Hydra's own node.

    Raises:
        UserError: There is no job, or a corpus cannot be read.
    """

    def __init__(self, jobs: Sequence["Job"], compose: "Compose") -> None:
        from ser.data.fingerprint import RunKeys
        from ser.results import RunFolder
        from ser.sweeps import grid

        self.total = len(jobs)
        self.pending: dict[RunFolder, Job] = {}
        keys = RunKeys()
        for job, cfg in grid.compose_jobs(jobs, compose):
            folder = RunFolder(grid.folder_of(cfg))
            if not _is_finished(folder, cfg, keys):
                self.pending[folder] = job

    def run(self, launch: "Launch") -> dict[Path, str]:
        """Launch the pending runs, and launch runs again that the death of a worker has stopped.

        Returns:
            Reasons of failure, by folder.
        """
        for folder in self.pending:
            folder.failure_file.unlink(missing_ok=True)
        failed: dict[Path, str] = {}
        remaining, interruption = list(self.pending), "not started"
        for _ in range(LAUNCHES):
            if not remaining:
                break
            try:
                with _log_progress(remaining):
                    returns = launch([self.pending[folder] for folder in remaining])
            except Exception as error:  # of the launcher; errors of runs are in `returns`
                if not _is_dead_worker(error):
                    raise
                interruption = f"its worker process died: {last_line(error)}"
                remaining = [folder for folder in remaining if not folder.has_ended]
                log.warning("a worker process died; continuing with %d runs", len(remaining))
                continue
            errors = map(_error_of, returns)
            for folder, run_error in zip(remaining, errors, strict=True):
                if run_error is not None:
                    failed[folder.path] = last_line(run_error)
            break
        for folder in self.pending:
            if folder.path not in failed and not folder.is_finished:
                failed[folder.path] = last_line(folder.read_error() or interruption)
        return failed

    def summary(self, failed: dict[Path, str]) -> str:
        """Return a line with the numbers of runs, and one per reason of failure."""
        lines = [
            f"{self.total} runs: {len(self.pending) - len(failed)} completed, "
            f"{self.total - len(self.pending)} already finished, {len(failed)} failed"
        ]
        for reason, count in Counter(failed.values()).most_common():
            first = next(folder for folder, why in failed.items() if why == reason)
            lines.append(f"  {count} x {reason}\n      e.g. {first}")
        return "\n".join(lines)


def _is_finished(folder: "RunFolder", cfg: "DictConfig", keys: "RunKeys") -> bool:
    """Return whether a run can be skipped: it is finished, and would give the same result."""
    result = folder.read_record()
    if result is None or cfg.force:
        return False
    # Only the run itself can tell which utterances are faulty, which depends on the features, and
    # whether it was tested on the other corpus as that is today.
    if cfg.skip_faulty or cfg.test_corpus is not None:
        return False
    return result.get("run_key") == keys(cfg)


@contextmanager
def _log_progress(folders: Sequence["RunFolder"]) -> Iterator[None]:
    """Log the number of ended runs from time to time."""
    ended = threading.Event()

    def log_changes() -> None:
        before = 0
        while not ended.wait(PROGRESS_SECONDS):
            count = sum(folder.has_ended for folder in folders)
            if count != before:
                log.info("%d of %d runs done", count, len(folders))
                before = count

    thread = threading.Thread(target=log_changes, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_dead_worker(error: Exception) -> bool:
    """Return whether an error of a launcher means that it has lost a process."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"BrokenProcessPool", "WorkerCrashedError"})


def _error_of(returned: "JobReturn") -> object:
    """Return the exception of a failed run, otherwise None."""
    from hydra.core.utils import JobStatus

    return returned._return_value if returned.status == JobStatus.FAILED else None
