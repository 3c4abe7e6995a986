"""Real processes on simulated GPUs."""

import logging
import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ser.errors import UserError
from ser.training import devices
from ser.training.devices import free_slot, require_gpus

FORK = multiprocessing.get_context("fork")
GPUS = ("GPU-a", "GPU-b")


def hold(folder: Path, names: tuple[str, ...], runs_per_gpu: int, pipe: Connection) -> None:
    """Send the name of the assigned GPU, and hold it until a message arrives."""
    with free_slot(names, runs_per_gpu, folder) as number:
        pipe.send(names[number])
        pipe.recv()


class Runs:
    """Processes that each request a GPU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[multiprocessing.process.BaseProcess] = []
        self.pipes: list[Connection] = []

    def start(self, names: tuple[str, ...] = GPUS, runs_per_gpu: int = 1) -> int:
        """Start another process and return its number."""
        ours, theirs = FORK.Pipe()
        process = FORK.Process(target=hold, args=(self.folder, names, runs_per_gpu, theirs))
        process.start()
        self.processes.append(process)
        self.pipes.append(ours)
        return len(self.pipes) - 1

    def gpu(self, run: int) -> str:
        assert self.pipes[run].poll(20)
        return self.pipes[run].recv()

    def waits(self, run: int) -> bool:
        return not self.pipes[run].poll(3 * devices.POLL_SECONDS)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.1)
    started = Runs(tmp_path / "locks")
    yield started
    for process in started.processes:
        process.kill()
        process.join()


def test_simultaneous_runs_are_spread_evenly(runs: Runs) -> None:
    numbers = [runs.start(runs_per_gpu=2) for _ in range(4)]
    assert sorted(runs.gpu(number) for number in numbers) == ["GPU-a", "GPU-a", "GPU-b", "GPU-b"]


def test_first_runs_use_different_gpus(runs: Runs) -> None:
    assert [runs.gpu(runs.start(runs_per_gpu=2)) for _ in range(4)] == [*GPUS, *GPUS]


@pytest.mark.parametrize("killed", [False, True])
def test_run_waits_for_a_free_slot(runs: Runs, killed: bool) -> None:
    first, second = runs.start(), runs.start()
    held = [runs.gpu(first), runs.gpu(second)]
    third = runs.start()
    assert runs.waits(third)
    if killed:
        runs.processes[second].kill()
    else:
        runs.pipes[second].send("end")
    assert runs.gpu(third) == held[1]


def test_runs_with_different_visible_gpus_do_not_conflict(runs: Runs) -> None:
    """With different CUDA_VISIBLE_DEVICES, torch's GPU 0 is another GPU in each process."""
    assert runs.gpu(runs.start(("GPU-a",))) == "GPU-a"
    assert runs.gpu(runs.start(("GPU-b",))) == "GPU-b"
    assert runs.waits(runs.start(("GPU-b", "GPU-a")))


def test_waiting_is_logged_once(
    tmp_path: Path,
    runs: Runs,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = runs.start(GPUS[:1])
    assert runs.gpu(number) == "GPU-a"
    caplog.set_level(logging.INFO)
    looks = 0

    def end_at_the_third_look(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            runs.pipes[number].send("end")
            runs.processes[number].join()

    monkeypatch.setattr(devices, "time", SimpleNamespace(sleep=end_at_the_third_look))
    with free_slot(GPUS[:1], 1, tmp_path / "locks"):
        assert looks == 3
    messages = [r.getMessage() for r in caplog.records if r.name == "ser.training.devices"]
    assert messages == ["waiting for a free GPU: all 1 slots are in use"]


def test_too_few_gpus_raise_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_gpus(2, "trainer.devices=2")
    with pytest.raises(UserError, match=r"trainer.devices=3: torch sees 2 GPU\(s\)"):
        require_gpus(3, "trainer.devices=3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="trainer=gpu: torch sees no GPU"):
        require_gpus(1, "trainer=gpu")
