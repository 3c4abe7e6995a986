"""What folders say of runs."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ser import results
from ser.sweeps.grid import Grid, PlannedRun
from ser.sweeps.status import Found, look, seconds_left, status


def planned(folder: Path, system: str = "mlp") -> PlannedRun:
    names = {"corpus": "emodb", "target": "emotion", "model": system}
    return PlannedRun(folder, system, names, 0, 0, None, (), "")


def done(folder: Path, seconds: float) -> PlannedRun:
    results.write_json(folder / results.COST, {"seconds": seconds})
    results.write_json(folder / results.RESULT, {})
    return planned(folder)


def test_each_state_is_told_from_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = done(tmp_path / "done", 60.0)
    failed = planned(tmp_path / "failed")
    failed.folder.mkdir()
    results.write_failure(failed.folder, ValueError("first line\nthe last line"))
    stopped = planned(tmp_path / "stopped")
    results.write_json(stopped.folder / results.UNFINISHED, {})
    running = planned(tmp_path / "running")
    results.write_json(running.folder / results.UNFINISHED, {"seconds": 5.0})
    began = time.time() - 20
    os.utime(running.folder / results.UNFINISHED, (began, began))
    runs = (finished, failed, stopped, running, planned(tmp_path / "missing"))
    code = (
        "import sys, time; from pathlib import Path; from ser import results\n"
        "with results.claimed(Path(sys.argv[1])): print('mine', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(running.folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = [look(run) for run in runs]
        assert [each.state for each in found] == ["done", "failed", "stopped", "running", "missing"]
        assert found[1].error == "the last line"
        assert found[3].seconds == pytest.approx(25, abs=2)
        # Three need a minute each, the running one 35 s more, one at a time.
        assert seconds_left(found) == pytest.approx(215, abs=2)
        assert status(lambda: Grid("some", runs, None)) == 1
        told = capsys.readouterr().out
        assert "1 failed: the last line" in told
        assert "left, at this pace" in told
        process.kill()
    assert look(running).state == "stopped"


def test_time_that_a_killed_process_spent_is_counted(tmp_path: Path) -> None:
    run = planned(tmp_path)
    results.write_json(tmp_path / results.UNFINISHED, {"seconds": 5.0})
    results.write_text(tmp_path / results.METRICS, "epoch\n0\n")
    began = (tmp_path / results.UNFINISHED).stat().st_mtime
    os.utime(tmp_path / results.METRICS, (began + 30, began + 30))
    assert look(run) == Found(run, "stopped", seconds=pytest.approx(35))


def test_time_left_follows_each_systems_own_pace(tmp_path: Path) -> None:
    quick, slow = planned(tmp_path, "quick"), planned(tmp_path, "slow")
    found = [Found(quick, "done", seconds=10), Found(slow, "done", seconds=100)]
    assert seconds_left([*found, Found(quick, "missing")]) == 10
    assert seconds_left([*found, Found(slow, "missing"), Found(quick, "missing")]) == 110
    running = Found(slow, "running", seconds=30)
    assert seconds_left([*found, running, running]) == 70  # side by side
    assert seconds_left([Found(quick, "missing")]) is None


def test_all_done_is_success(tmp_path: Path) -> None:
    runs = (done(tmp_path / "a", 1.0), done(tmp_path / "b", 2.0))
    assert status(lambda: Grid("some", runs, None)) == 0
    assert json.loads((tmp_path / "a" / results.COST).read_text()) == {"seconds": 1.0}
