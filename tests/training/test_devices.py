"""Real processes on pretended GPUs."""

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
    """Tells the GPU that it got, and keeps it until it is told to end."""
    with free_slot(names, runs_per_gpu, folder) as number:
        pipe.send(names[number])
        pipe.recv()


class Runs:
    """Processes, each with a run that wants a GPU."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[multiprocessing.process.BaseProcess] = []
        self.pipes: list[Connection] = []

    def start(self, names: tuple[str, ...] = GPUS, runs_per_gpu: int = 1) -> int:
        """The number of a further one."""
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
        return not self.pipes[run].poll(3 * devices.LOOK_AGAIN)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.setattr(devices, "LOOK_AGAIN", 0.1)
    started = Runs(tmp_path / "locks")
    yield started
    for process in started.processes:
        process.kill()
        process.join()


def test_runs_that_start_at_once_spread_evenly(runs: Runs) -> None:
    numbers = [runs.start(runs_per_gpu=2) for _ in range(4)]
    assert sorted(runs.gpu(number) for number in numbers) == ["GPU-a", "GPU-a", "GPU-b", "GPU-b"]


def test_the_first_runs_go_to_different_gpus(runs: Runs) -> None:
    assert [runs.gpu(runs.start(runs_per_gpu=2)) for _ in range(4)] == [*GPUS, *GPUS]


@pytest.mark.parametrize("killed", [False, True])
def test_where_all_are_taken_a_run_waits_for_one_to_end(runs: Runs, killed: bool) -> None:
    first, second = runs.start(), runs.start()
    held = [runs.gpu(first), runs.gpu(second)]
    third = runs.start()
    assert runs.waits(third)
    if killed:
        runs.processes[second].kill()
    else:
        runs.pipes[second].send("end")
    assert runs.gpu(third) == held[1]


def test_those_who_see_other_gpus_are_not_in_the_way(runs: Runs) -> None:
    """As two terminals with different CUDA_VISIBLE_DEVICES: torch calls both their first GPU 0."""
    assert runs.gpu(runs.start(("GPU-a",))) == "GPU-a"
    assert runs.gpu(runs.start(("GPU-b",))) == "GPU-b"
    assert runs.waits(runs.start(("GPU-b", "GPU-a")))


def test_waiting_is_told_once(
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
    told = "waiting for a free GPU: all 1 slots are taken"
    assert [
        record.getMessage() for record in caplog.records if record.name == "ser.training.devices"
    ] == [told]


def test_fewer_gpus_than_asked_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    require_gpus(2, "trainer.devices=2")
    with pytest.raises(UserError, match=r"trainer.devices=3, and torch sees 2 GPU\(s\)"):
        require_gpus(3, "trainer.devices=3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="trainer=gpu, and torch sees no GPU"):
        require_gpus(1, "trainer=gpu")
