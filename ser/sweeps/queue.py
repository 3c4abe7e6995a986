"""Jobs in the queue of a cluster: their states, their results, and those that are lost.

submitit waits for ever for a job that was cancelled, unless Slurm has accounting (`sacct`). Here
the states are those of `squeue`, which every Slurm has.
"""

import logging
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ser.errors import UserError

log = logging.getLogger(__name__)

# Of jobs by id; a job that is missing has ended. None: the states cannot be had at the moment.
States = Mapping[str, str] | None

# States of jobs that will not have a result, and what that means.
LOST = {
    "CANCELLED": "was cancelled",
    "ENDED": "ended without a result",
    "DEADLINE": "was not started before its deadline",
    "NODE_FAIL": "was lost with its node",
    "OUT_OF_MEMORY": "was killed because it needed more memory than hydra.launcher.mem_gb",
    "PREEMPTED": "was preempted",
    "TIMEOUT": "reached its time limit, hydra.launcher.timeout_min",
}
ALIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD",
         "REQUEUE_FED", "RESIZING", "RESV_DEL_HOLD", "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT",
         "STOPPED", "SUSPENDED")  # fmt: skip
# Time in which the result of a job that has ended becomes visible in a shared folder.
GRACE_SECONDS = 60.0
MOST_SECONDS = 30.0  # between two questions for the states of jobs


class LostJobError(UserError):
    """A job has ended without a result."""


class Paths(Protocol):
    """Files of a job."""

    result_pickle: Path
    stderr: Path


class Job(Protocol):
    """A job of submitit."""

    job_id: str
    paths: Paths
    state: str


def arrays(job_ids: Sequence[str]) -> list[str]:
    """Return the ids of the arrays that jobs belong to.

    Examples:
        >>> arrays(["7_0", "7_1", "9"])
        ['7', '9']
    """
    return list(dict.fromkeys(name.partition("_")[0] for name in job_ids))


def outcomes(
    jobs: Sequence[Job], states_of: Callable[[Sequence[Job]], States], names: Mapping[str, str]
) -> list[Any]:
    """Wait for the end of all jobs.

    Args:
        jobs: Jobs that have been submitted.
        states_of: Function that returns the states of jobs.
        names: Descriptions of jobs for messages, by id.

    Returns:
        What a job returned, or a `LostJobError` with the reason why there is no result.
    """
    pending = {job.job_id: job for job in jobs}
    found: dict[str, Any] = {}
    ended: dict[str, float] = {}  # time since which a job is known to have ended without a result
    report = _Reporter()
    started = asked = time.monotonic()
    try:
        while pending:
            now = time.monotonic()
            if now - asked >= min(MOST_SECONDS, max(1.0, (now - started) / 4)):
                asked, states = now, states_of(list(pending.values()))
                if states is not None:
                    report(states)
                    _note_ends(pending, states, ended, found)
            for name in [name for name in pending if pending[name].paths.result_pickle.exists()]:
                found[name] = _result(pending[name])
            for name, since in ended.items():
                if name not in found and time.monotonic() - since > GRACE_SECONDS:
                    found[name] = LostJobError(
                        f"its job ended without a result{_log(pending[name])}"
                    )
            for name in found.keys() & pending.keys():
                job = pending.pop(name)
                if isinstance(found[name], LostJobError):
                    log.warning("%s: %s; see %s", names[name], found[name], job.paths.stderr)
            time.sleep(min(5.0, max(0.1, (now - started) / 20)))
    except KeyboardInterrupt:
        log.info("jobs that have not ended stay in the queue: %s", ", ".join(arrays(list(pending))))
        raise
    return [found[job.job_id] for job in jobs]


def _note_ends(
    pending: Mapping[str, Job], states: Mapping[str, str], ended: dict[str, float], found: Any
) -> None:
    """Record which jobs have ended, and which of them will not have a result."""
    for name, job in pending.items():
        state = states.get(name, "").partition(":")[0]
        if state in ALIVE:
            ended.pop(name, None)  # it was put back into the queue
        elif state in LOST:
            if not job.paths.result_pickle.exists():
                found[name] = LostJobError(f"its job {LOST[state]}; the same command continues it")
        else:
            ended.setdefault(name, time.monotonic())


def _result(job: Job) -> Any:
    """Return what a job returned, or an error with the last line of its traceback."""
    from submitit.core.utils import pickle_load

    status, value = pickle_load(job.paths.result_pickle)
    if status == "success":
        return value
    return LostJobError(f"its job failed: {str(value).strip().splitlines()[-1]}")


def _log(job: Job) -> str:
    """Return the last line that a job wrote to its log of errors, for a message."""
    try:
        lines = job.paths.stderr.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f": {lines[-1]}" if lines else f" and without a log ({job.paths.stderr})"


class _Reporter:
    """Logs how many jobs wait, and for what, whenever the reasons change."""

    def __init__(self) -> None:
        self._before: set[str] = set()

    def __call__(self, states: Mapping[str, str]) -> None:
        counts = Counter(
            state.lower() for state in states.values() if state.partition(":")[0] in ALIVE
        )
        if counts and set(counts) != self._before:
            self._before = set(counts)
            log.info("jobs: %s", ", ".join(f"{counts[each]} {each}" for each in sorted(counts)))


# ---- states


def local_states(jobs: Sequence[Job]) -> States:
    """Return the states of jobs that are processes of this machine."""
    return {job.job_id: "RUNNING" if job.state == "RUNNING" else "ENDED" for job in jobs}


def slurm_states(jobs: Sequence[Job]) -> States:
    """Return the states of jobs of Slurm, those that wait with the reason: `PENDING: Resources`."""
    ids = ",".join(arrays([job.job_id for job in jobs]))
    squeue = ["squeue", "--noheader", "--array", "--states=all", "--format=%F_%K|%T|%r"]
    process = subprocess.run([*squeue, f"--jobs={ids}"], capture_output=True, text=True)
    if "Invalid job id" in process.stderr:  # all have ended, and Slurm has forgotten them
        return {}
    if process.returncode:
        log.warning("squeue: %s", process.stderr.strip().partition("\n")[0])
        return None
    return parse(process.stdout)


def parse(text: str) -> dict[str, str]:
    """Return states by job from lines of `squeue`.

    Examples:
        >>> parse("7_0|RUNNING|None\\n7_1|PENDING|Resources\\n9_N/A|COMPLETED|None")
        {'7_0': 'RUNNING', '7_1': 'PENDING: Resources', '9': 'COMPLETED'}
    """
    states = {}
    for line in text.splitlines():
        name, state, reason = line.split("|")
        waits = state == "PENDING" and reason != "None"
        states[name.removesuffix("_N/A")] = f"{state}: {reason}" if waits else state
    return states
