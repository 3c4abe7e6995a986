"""The states of runs, as their folders show them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ser import results
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun
from ser.sweeps.status import RunStatus, read_status, seconds_left, show_status


def planned(folder: Path, system: str = "mlp") -> PlannedRun:
    choices = {"corpus": "emodb", "target": "emotion", "model": system}
    return PlannedRun(folder, system, choices, 0, 0, None, (), "")


def finished(folder: Path, seconds: float) -> PlannedRun:
    results.write_json(folder / results.COST, {"seconds": seconds})
    results.write_json(folder / results.RESULT, {})
    return planned(folder)


def test_states_of_runs_are_distinguished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = finished(tmp_path / "done", 60.0)
    failed = planned(tmp_path / "failed")
    failed.folder.mkdir()
    results.RunFolder(failed.folder).fail(ValueError("first line\nthe last line"))
    stopped = planned(tmp_path / "stopped")
    results.write_json(stopped.folder / results.UNFINISHED, {})
    running = planned(tmp_path / "running")
    results.write_json(running.folder / results.UNFINISHED, {"seconds": 5.0})
    runs = (done, failed, stopped, running, planned(tmp_path / "missing"))
    code = (
        "import sys, time; from pathlib import Path; from ser.results import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).claimed(): print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(running.folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.time() - 20
        os.utime(running.folder / results.UNFINISHED, (began, began))
        statuses = [read_status(run) for run in runs]
        states = [each.state for each in statuses]
        assert states == ["done", "failed", "stopped", "running", "missing"]
        assert statuses[1].error == "the last line"
        assert statuses[3].seconds == pytest.approx(25, abs=2)
        # Three runs take a minute each and the running one 35 s more, one after the other.
        assert seconds_left(statuses) == pytest.approx(215, abs=2)
        assert show_status(lambda: Grid("some", runs, None)) == 1
        output = capsys.readouterr().out
        assert "1 failed: the last line" in output
        assert "left at the current rate" in output
        process.kill()
    assert read_status(running).state == "stopped"


def test_time_of_a_killed_process_is_counted(tmp_path: Path) -> None:
    run = planned(tmp_path)
    results.write_json(tmp_path / results.UNFINISHED, {"seconds": 5.0})
    results.write_text(tmp_path / results.METRICS, "epoch\n0\n")
    began = (tmp_path / results.UNFINISHED).stat().st_mtime
    os.utime(tmp_path / results.METRICS, (began + 30, began + 30))
    assert read_status(run) == RunStatus(run, "stopped", seconds=pytest.approx(35))


def test_time_left_is_estimated_per_system(tmp_path: Path) -> None:
    quick, slow = planned(tmp_path, "quick"), planned(tmp_path, "slow")
    done = [RunStatus(quick, "done", seconds=10), RunStatus(slow, "done", seconds=100)]
    assert seconds_left([*done, RunStatus(quick, "missing")]) == 10
    assert seconds_left([*done, RunStatus(slow, "missing"), RunStatus(quick, "missing")]) == 110
    running = RunStatus(slow, "running", seconds=30)
    assert seconds_left([*done, running, running]) == 70  # side by side
    assert seconds_left([RunStatus(quick, "missing")]) is None


def test_status_of_finished_runs_is_success(tmp_path: Path) -> None:
    runs = (finished(tmp_path / "a", 1.0), finished(tmp_path / "b", 2.0))
    assert show_status(lambda: Grid("some", runs, None)) == 0
    assert json.loads((tmp_path / "a" / results.COST).read_text()) == {"seconds": 1.0}


def test_piped_status_has_all_columns(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ser.sweeps.grid import Grid\n"
        "from ser.sweeps.planned import PlannedRun\n"
        "from ser.sweeps.status import show_status\n"
        "choices = {'corpus': 'emodb', 'target': 'emotion', 'model': 'mlp'}\n"
        "run = PlannedRun(Path(sys.argv[1]), 'a long name ' * 6, choices, 0, 0, None, (), '')\n"
        "show_status(lambda: Grid('some', (run,), None))"
    )
    env = {**os.environ, "COLUMNS": "80"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    output = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert "time used" in output
    assert "a long name " * 5 in output
