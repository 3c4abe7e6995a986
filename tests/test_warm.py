"""Forked commands behave like those of a new interpreter."""

import os
import signal
from pathlib import Path

import pytest
import warm


def test_command_has_its_own_arguments_folder_and_environment(tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv, os.getcwd(), dict(os.environ).get('KEY'))"
    env = {**os.environ, "KEY": "value"}
    done = warm.run(["-c", code, "a", "b"], cwd=tmp_path, env=env, check=True)
    assert done.stdout == f"['-c', 'a', 'b'] {tmp_path} value\n"
    (tmp_path / "script.py").write_text("import helper, sys; print(sys.argv, __name__, helper.x)")
    (tmp_path / "helper.py").write_text("x = 3")
    done = warm.run([tmp_path / "script.py", "c"], check=True)
    assert done.stdout == f"['{tmp_path}/script.py', 'c'] __main__ 3\n"
    assert "usage: python -m ser" in warm.run(["-m", "ser", "--help"], check=True).stdout


def test_exit_code_and_output_are_those_of_the_command() -> None:
    done = warm.run(["-c", "import sys; sys.exit('message')"])
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "message\n")
    done = warm.run(["-c", "raise ValueError('reason')"])
    assert done.returncode == 1
    assert done.stderr.endswith("ValueError: reason\n")
    ending = "import atexit, sys; atexit.register(print, 'end'); print('start'); sys.exit(7)"
    done = warm.run(["-c", ending])
    assert (done.returncode, done.stdout) == (7, "start\nend\n")


def test_commands_run_in_parallel_and_can_be_killed() -> None:
    sleep = ["-c", "import time; time.sleep(60)"]
    with warm.Process(sleep) as one, warm.Process(sleep, new_session=True) as other:
        assert os.getpgid(one.pid) == os.getpgid(0)
        os.killpg(other.pid, signal.SIGKILL)
        assert other.wait() == -signal.SIGKILL
        assert one.poll() is None
        one.kill()
    assert one.returncode == -signal.SIGKILL


def test_failed_command_raises_on_request() -> None:
    with pytest.raises(Exception, match="returned non-zero exit status 2"):
        warm.run(["-c", "import sys; sys.exit(2)"], check=True)
