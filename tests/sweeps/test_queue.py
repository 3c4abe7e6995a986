"""Jobs of a cluster: which of them are lost, and when."""

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ser.sweeps import queue


@dataclass
class Files:
    result_pickle: Path
    stderr: Path


@dataclass
class Job:
    """A job of submitit, as far as it is used."""

    job_id: str
    folder: Path
    state: str = "RUNNING"

    @property
    def paths(self) -> Files:
        return Files(self.folder / f"{self.job_id}.pkl", self.folder / f"{self.job_id}.err")

    def end(self, outcome: str, value: object) -> None:
        self.paths.result_pickle.write_bytes(pickle.dumps((outcome, value)))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "MOST_SECONDS", 0.0)
    monkeypatch.setattr(queue, "GRACE_SECONDS", 0.2)


def outcomes(jobs: Sequence[Job], answers: Iterator[queue.States]) -> list[object]:
    names = {job.job_id: f"job {job.job_id}" for job in jobs}
    return queue.outcomes(jobs, lambda pending: next(answers), names)


def test_lost_and_failed_jobs_do_not_stop_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [Job(f"7_{number}", tmp_path) for number in range(4)]

    def answers() -> Iterator[queue.States]:
        yield {"7_0": "RUNNING", "7_1": "PENDING: Resources"}
        yield None  # the controller does not answer
        jobs[3].paths.stderr.write_text("something\nexec format error\n")
        jobs[2].end("error", "Traceback\n  line 1\nModuleNotFoundError: No module named 'ser'\n")
        yield {"7_0": "CANCELLED", "7_1": "RUNNING", "7_3": "FAILED"}
        jobs[1].end("success", 3)
        while True:
            yield {}

    found = outcomes(jobs, answers())
    assert found[1] == 3
    assert list(map(str, [found[0], *found[2:]])) == [
        "its job was cancelled; the same command continues it",
        "its job failed: ModuleNotFoundError: No module named 'ser'",
        "its job ended without a result: exec format error",
    ]
    assert f"job 7_0: its job was cancelled; the same command continues it; see {tmp_path}" in (
        caplog.text
    )


def test_job_that_is_put_back_into_the_queue_is_not_lost(tmp_path: Path) -> None:
    job = Job("7", tmp_path)

    def answers() -> Iterator[queue.States]:
        for _ in range(5):  # longer than the time in which a result becomes visible
            yield {}
            yield {"7": "PENDING: BeginTime"}
        job.end("success", 1)
        while True:
            yield {}

    assert outcomes([job], answers()) == [1]


def test_states_are_read_from_squeue() -> None:
    text = "7_0|RUNNING|None\n7_1|PENDING|Resources\n9_N/A|COMPLETED|None\n"
    assert queue.parse(text) == {
        "7_0": "RUNNING", "7_1": "PENDING: Resources", "9": "COMPLETED",
    }  # fmt: skip
