"""A sweep: the runs that are not finished yet, launched together.

Used by the sweeper in `hydra_plugins/`, which Hydra imports whenever `train.py` starts. Nothing
slow is therefore imported at the top of this module.
"""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ser.errors import BusyError, UserError, last_line

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn

    from ser.results import RunFolder
    from ser.sweeps.grid import Grid
    from ser.sweeps.jobs import Compose, Job
    from ser.sweeps.planned import PlannedRun

    Launch = Callable[[Sequence[Job]], Sequence[JobReturn]]

log = logging.getLogger(__name__)

PROGRESS_SECONDS = 30.0  # between two log lines
POLL_SECONDS = 0.5  # between two looks at a run that another process is making
# A worker that is killed, e.g. by the system when memory is short, breaks the pool of all workers.
# The remaining runs are then launched again, up to so many times in all.
LAUNCHES = 3
# Errors of joblib and Ray that mean so.
DEAD = {"BrokenProcessPool", "NodeDiedError", "OutOfMemoryError", "WorkerCrashedError"}
SHARED = "share_training=true"


class Sweep:
    """The runs of a sweep, of which those that are finished are skipped.

    Runs that cannot be made, because an option is wrong or the corpus lacks something, are not
    launched. They leave no folder, and are reported at the end.

    Args:
        jobs: Overrides of each run.
        compose: Function that composes the config of a job, including Hydra's own node.
        in_parallel: Whether several runs are made at once. Those that only take what another one
            has trained for them are then launched last, because they would wait for it.

    Raises:
        UserError: There is no job.
    """

    def __init__(
        self, jobs: Sequence["Job"], compose: "Compose", *, in_parallel: bool = True
    ) -> None:
        from ser.data.counterpart import can_share
        from ser.data.fingerprint import RunKeys
        from ser.data.preflight import finished_result, require_valid
        from ser.results import RunFolder
        from ser.sweeps.grid import plan
        from ser.sweeps.jobs import compose_jobs, fold_count, without_numbers

        self.pending: dict[RunFolder, Job] = {}
        self.refused: dict[str, list[Job]] = defaultdict(list)  # jobs by reason
        self.planned: list[PlannedRun] = []  # without the names of systems
        keys = RunKeys()
        checked: set[object] = set()  # parts of configurations, so that each is checked once
        # Pending runs by what they are trained on, for those that can share a training.
        trainings: dict[object, list[RunFolder]] = defaultdict(list)
        for job, system in compose_jobs(
            jobs, compose, lambda cfg: fold_count(cfg, keys), self._refuse
        ):
            cfg, folder = system.cfg, RunFolder(system.folder)
            parts = {without_numbers(job), ("seed", cfg.seed), ("fold", cfg.fold.index)}
            try:
                if parts - checked:
                    require_valid(cfg)
                    checked |= parts
                fold = keys.fold(cfg)
                if finished_result(cfg, folder, keys, system.options) is None:
                    self.pending[folder] = job
                    if fold.counterpart is not None and can_share(cfg):
                        pair = frozenset((fold.index, fold.counterpart))
                        trainings[without_numbers(job), cfg.seed, pair].append(folder)
                self.planned.append(plan(job, system))
            except UserError as error:
                self._refuse(job, error)
        self._share([runs for runs in trainings.values() if len(runs) == 2], in_parallel)

    def _share(self, pairs: Sequence[Sequence["RunFolder"]], in_parallel: bool) -> None:
        """Request one training for each pair of runs."""
        for first, second in pairs:
            for folder in (first, second):
                self.pending[folder] = [SHARED, *self.pending[folder]]
            if in_parallel:
                self.pending[second] = self.pending.pop(second)

    def _refuse(self, job: "Job", error: UserError) -> None:
        self.refused["; ".join(str(error).splitlines())].append(job)

    @property
    def total(self) -> int:
        """Number of runs, those that are refused included."""
        return len(self.planned) + sum(map(len, self.refused.values()))

    def run(self, launch: "Launch") -> dict[Path, str]:
        """Launch the pending runs.

        Runs that the death of a worker has stopped are launched again, and so are those that
        another process was making and has not finished.

        Returns:
            Reasons of failure, by folder.
        """
        for folder in self.pending:
            folder.failure_file.unlink(missing_ok=True)
        from ser.sweeps.queue import LostJobError

        failed: dict[Path, str] = {}
        remaining, interruption, deaths = list(self.pending), "not started", 0
        while remaining and deaths < LAUNCHES:
            try:
                with _log_progress(remaining):
                    returns = launch([self.pending[folder] for folder in remaining])
            except Exception as error:  # of the launcher; errors of runs are in `returns`
                if not _is_dead_worker(error):
                    raise
                interruption, deaths = f"its worker process died: {last_line(error)}", deaths + 1
                remaining = [folder for folder in remaining if not folder.has_ended]
                log.warning("a worker process died; continuing with %d runs", len(remaining))
                continue
            errors = dict(zip(remaining, map(_error_of, returns), strict=True))
            remaining = [each for each, error in errors.items() if isinstance(error, BusyError)]
            failed |= {
                folder.path: last_line(error)
                for folder, error in errors.items()
                if error is not None
                and folder not in remaining
                # A job may be lost after its run is finished.
                and not (isinstance(error, LostJobError) and folder.is_finished)
            }
            _wait(remaining)
            remaining = [folder for folder in remaining if not folder.has_ended]
        for folder in self.pending:
            if folder.path not in failed and not folder.is_finished:
                failed[folder.path] = last_line(folder.read_error() or interruption)
        return failed

    def complete(self) -> "Grid | None":
        """Return the runs of the systems all of whose runs are finished; None if there are none."""
        from ser.results import RunFolder
        from ser.sweeps.grid import Grid
        from ser.sweeps.naming import name_systems

        cells: dict[tuple[str, ...], list[PlannedRun]] = defaultdict(list)
        for run in name_systems(self.planned):
            cells[run.cell].append(run)
        runs = [
            run
            for cell in cells.values()
            if all(RunFolder(run.folder).is_finished for run in cell)
            for run in cell
        ]
        return Grid("sweep", tuple(runs), None) if runs else None

    def summary(self, failed: dict[Path, str]) -> str:
        """Return a line with the numbers of runs, and one per reason of failure."""
        refused = sum(map(len, self.refused.values()))
        lines = [
            f"{self.total} runs: {len(self.pending) - len(failed)} completed, "
            f"{len(self.planned) - len(self.pending)} already finished, "
            f"{len(failed) + refused} failed"
        ]
        for reason, count in Counter(failed.values()).most_common():
            first = next(folder for folder, why in failed.items() if why == reason)
            lines.append(f"  {count} x {reason}\n      e.g. {first}")
        for reason, jobs in self.refused.items():
            lines.append(f"  {len(jobs)} x {reason}\n      not started, e.g. {' '.join(jobs[0])}")
        return "\n".join(lines)


def _wait(folders: Sequence["RunFolder"]) -> None:
    """Wait until no process makes the runs in some folders."""
    if busy := [folder for folder in folders if folder.is_claimed]:
        log.info("waiting for %d runs that other processes are making", len(busy))
    for folder in busy:
        while folder.is_claimed:
            time.sleep(POLL_SECONDS)


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
    return bool(names & DEAD)


def _error_of(returned: "JobReturn") -> object:
    """Return the exception of a failed run, otherwise None."""
    from hydra.core.utils import JobStatus

    return returned._return_value if returned.status == JobStatus.FAILED else None
