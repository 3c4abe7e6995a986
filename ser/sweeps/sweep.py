"""Many runs: which of them are still to be made, and what became of them.

Used by the sweeper in `hydra_plugins/`, which is imported whenever `train.py` starts, so nothing
heavy is imported here at the top.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser.errors import last_line

if TYPE_CHECKING:
    from hydra.core.utils import JobReturn
    from omegaconf import DictConfig

    from ser.data.fingerprint import Hashes

log = logging.getLogger(__name__)

Job = Sequence[str]  # overrides
Launch = Callable[[Sequence[Job]], "Sequence[JobReturn]"]

TOLD_EVERY = 30.0  # seconds between two lines of progress
# A worker that is killed (out of memory, say) takes its siblings' pool with it.
LAUNCHES = 3


class Sweep:
    """The runs of one sweep, made as far as they are not finished.

    Args:
        jobs: overrides of each run.
        compose: config of a job, Hydra's own node included.

    Raises:
        UserError: no run at all, or a corpus that cannot be read.
    """

    def __init__(self, jobs: Sequence[Job], compose: Callable[[list[str]], "DictConfig"]) -> None:
        from ser.data.fingerprint import Hashes
        from ser.sweeps import grid

        hashes, self.asked, self.jobs = Hashes(), len(jobs), dict[Path, Job]()
        for job, cfg in grid.compose_jobs(jobs, compose):
            folder = grid.folder_of(cfg)
            if not _is_finished(folder, cfg, hashes):
                self.jobs[folder] = job

    def make(self, launch: Launch) -> dict[Path, str]:
        """Launches what is left, and again what a dying worker took down with it.

        Returns:
            What failed and why, by folder.
        """
        from ser import results

        for folder in self.jobs:
            (folder / results.FAILURE).unlink(missing_ok=True)
        failed: dict[Path, str] = {}
        left, died = list(self.jobs), "never begun"
        for _ in range(LAUNCHES):
            if not left:
                break
            try:
                with _progress(left):
                    returns = launch([self.jobs[folder] for folder in left])
            except Exception as error:  # of the launcher; a run's own come back as returns
                if not _of_a_worker(error):
                    raise
                died = f"its worker died: {last_line(error)}"
                left = [folder for folder in left if not _is_done(folder)]
                log.warning("a worker died; going on with %d runs", len(left))
                continue
            errors = (_error(found) for found in returns)
            failed = {f: last_line(e) for f, e in zip(left, errors, strict=True) if e is not None}
            break
        for folder in self.jobs:
            if folder not in failed and not (folder / results.RESULT).exists():
                told = results.read_json(folder / results.FAILURE) or {"error": died}
                failed[folder] = last_line(told["error"])
        return failed

    def summary(self, failed: dict[Path, str]) -> str:
        """One line on how many ran, were skipped and failed, and one for each reason."""
        told = f"{self.asked} runs: {len(self.jobs) - len(failed)} made"
        told += f", {self.asked - len(self.jobs)} finished before, {len(failed)} failed"
        reasons = Counter(failed.values())
        for reason, count in reasons.most_common():
            first = next(folder for folder, why in failed.items() if why == reason)
            told += f"\n  {count} x {reason}\n      e.g. {first}"
        return told


def _is_finished(folder: Path, cfg: "DictConfig", hashes: "Hashes") -> bool:
    from ser import results

    done = results.read_json(folder / results.RESULT)
    # Which utterances are faulty only the features tell, and whether it was tested on another
    # corpus, as that is today, only that corpus: the run itself looks.
    if done is None or cfg.force or cfg.skip_faulty or cfg.test_corpus is not None:
        return False
    return done["config_hash"] == hashes(cfg)


@contextmanager
def _progress(folders: Sequence[Path]) -> Iterator[None]:
    """Says every now and then how many runs are finished."""
    ended = threading.Event()

    def tell() -> None:
        before = 0
        while not ended.wait(TOLD_EVERY):
            done = sum(_is_done(folder) for folder in folders)
            if done != before:
                log.info("%d of %d runs done", done, len(folders))
                before = done

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _is_done(folder: Path) -> bool:
    from ser import results

    return (folder / results.RESULT).exists() or (folder / results.FAILURE).exists()


def _of_a_worker(error: Exception) -> bool:
    """Whether a launcher lost a process, rather than being used wrongly."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"BrokenProcessPool", "WorkerCrashedError"})


def _error(found: "JobReturn") -> Any:
    from hydra.core.utils import JobStatus

    return found._return_value if found.status == JobStatus.FAILED else None
