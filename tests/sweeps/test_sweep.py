"""Sweeps of real runs: which runs are skipped, failures, launchers and killed processes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import warm
from hydra import compose, initialize_config_dir
from processes import process_with_open_file

from ser import results
from ser.config import CONF
from ser.errors import BusyError
from ser.sweeps.sweep import Sweep

# Workers of joblib are forked rather than started anew, so that they do not import torch again.
FORKED = """
import runpy, sys
from joblib.externals.loky.backend.context import set_start_method
set_start_method("fork")
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
SHORT = ["trainer.max_epochs=2", "model.encoder.hidden=[32]", "fold=session_swap"]
SAME = (results.PREDICTIONS, results.RESULT, results.METRICS, results.UTTERANCES)


def command(folder: Path, *overrides: str) -> list[str | Path]:
    folders = [f"hydra.sweep.dir={folder}", f"fitted={fitted(folder)}"]
    return [warm.TRAIN, "-m", *SHORT, *overrides, *folders]


def fitted(folder: Path) -> Path:
    """The folder of what the runs of a sweep share."""
    return folder.with_name(f"{folder.name}-fitted")


def shared_trainings(folder: Path) -> list[Path]:
    """What the runs of a sweep have left in the folder of shared trainings."""
    return [file for file in fitted(folder).glob("*/*") if file.parent.name != "users"]


def joblib(folder: Path, *overrides: str) -> list[str | Path]:
    """A command with two worker processes."""
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    return ["-c", FORKED, *command(folder, *overrides, *launcher)]


def sweep(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return warm.run(command(folder, *overrides))


def summary(completed: subprocess.CompletedProcess[str]) -> tuple[int, ...]:
    """Numbers of runs: all, completed, already finished, failed."""
    counts = re.search(
        r"(\d+) runs: (\d+) completed, (\d+) already finished, (\d+) failed", completed.stdout
    )
    assert counts, completed.stdout + completed.stderr
    return tuple(map(int, counts.groups()))


def contents(folder: Path, names: tuple[str, ...] | None = None) -> dict[str, bytes]:
    """Bytes of the files of all runs below a folder, or of those with some names."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and (file.name in names if names else file.name != "multirun.yaml")
    }


@pytest.fixture(scope="session")
def serial(few: list[str], once: Callable[..., Path]) -> Path:
    """Folder of four runs, made one after the other; read-only."""

    def make(folder: Path) -> None:
        completed = sweep(folder, *few, "fold.index=0,1", "seed=0,1", "hydra/launcher=basic")
        assert summary(completed) == (4, 4, 0, 0)

    return once("sweep", make)


@pytest.fixture
def copied(serial: Path, tmp_path: Path) -> Path:
    """Copy of the folder of four runs."""
    return Path(shutil.copytree(serial, tmp_path / "copied"))


def test_finished_runs_are_skipped_and_a_failed_run_does_not_stop_the_others(
    copied: Path, few: list[str]
) -> None:
    """The second sweep runs only what failed in the first: a fold that does not exist."""
    before = contents(copied)
    overrides = [*few, "fold.index=0,17,2", "seed=0,1", "hydra/launcher=basic"]
    completed = sweep(copied, *overrides)
    assert summary(completed) == (6, 2, 2, 2)
    assert completed.returncode == 1
    assert "2 x fold=session_swap has 10 folds on this corpus" in completed.stdout
    assert "not started, e.g. trainer.max_epochs=2" in completed.stdout
    assert "Traceback" not in completed.stdout + completed.stderr
    assert not list(copied.rglob("session_swap-17"))

    after = contents(copied)
    assert {name: after[name] for name in before} == before
    assert summary(sweep(copied, *overrides)) == (6, 0, 4, 2)
    assert contents(copied) == after  # logs and Hydra's own files included


def test_folds_of_a_session_share_a_training_with_the_files_of_two(
    serial: Path, few: list[str], tmp_path: Path
) -> None:
    """The runs of `serial` are of both folds of a session, in the order of the command."""
    overrides = [*few, "fold.index=0,1", "seed=0", "hydra/launcher=basic"]
    assert summary(sweep(tmp_path, *overrides, "share_training=false")) == (2, 2, 0, 0)
    alone = contents(tmp_path, (*SAME, "best.ckpt"))
    assert len(alone) == 2 * (len(SAME) + 1)
    shared = contents(serial, (*SAME, "best.ckpt"))
    assert alone == {name: shared[name] for name in alone}
    logs = {log.parent.parent.name[-2:]: log.read_text() for log in serial.rglob("train.log")}
    assert "validating for fold 1, too" in logs["-0"]
    assert "the training of fold 0 is used" in logs["-1"]
    assert not [log for log in tmp_path.rglob("train.log") if "validating for" in log.read_text()]
    assert fitted(serial).exists()
    assert not shared_trainings(serial)


def test_runs_that_wait_for_a_training_are_launched_last(few: list[str], tmp_path: Path) -> None:
    fixed = [*few, "fold=session_swap", f"hydra.sweep.dir={tmp_path}"]
    jobs = [[*fixed, f"fold.index={index}"] for index in (0, 1, 2, 5, 4)]

    def launched(jobs: list[list[str]], **options: bool) -> list[str]:
        """Return the folds in order, with a plus if a training is to be shared."""
        with initialize_config_dir(str(CONF), version_base="1.3"):
            made = Sweep(jobs, partial(compose, "train", return_hydra_config=True), **options)
        pending = made.pending.values()
        return [f"{job[-1][-1]}{'+' * ('share_training=true' in job)}" for job in pending]

    assert launched(jobs, in_parallel=False) == ["0+", "1+", "2", "5+", "4+"]
    assert launched(jobs, in_parallel=True) == ["0+", "2", "5+", "1+", "4+"]
    for option in ("share_training=false", "trainer.patience=3", "calibrate=temperature"):
        assert launched([[option, *job] for job in jobs]) == ["0", "1", "2", "5", "4"]


def test_sweep_ends_with_pooled_scores(copied: Path, few: list[str]) -> None:
    """Of complete systems only, here of one of two that share the folder."""
    overrides = [*few, "fold.index=0,1", "seed=0,1", "hydra/launcher=basic"]
    completed = sweep(copied, *overrides)
    assert summary(completed) == (4, 0, 4, 0)
    lines = completed.stdout.splitlines()
    (title,) = [line for line in lines if "folds pooled" in line]
    assert title.strip() == "manifest emotion: test split, 2 folds pooled, mean over 2 seeds, in %"
    (row,) = [line.split() for line in lines if line.startswith(" mlp ")]
    assert row[-1] == "2"  # speakers
    assert "Scores are based on 2 of 10 folds only." in lines
    command = next(line for line in lines if "python -m ser report" in line)
    assert f"hydra.sweep.dir={copied}" in command
    incomplete = sweep(copied, *overrides, "fold.index=0,17")
    assert "test split, 1 fold," in incomplete.stdout  # that which does not exist was refused


def test_all_folds_are_trained_in_one_command(few: list[str], tmp_path: Path) -> None:
    folds = ["fold=speaker_kfold", "fold.count=3", "fold.index=all"]
    options = [*SHORT, *few, *folds, f"hydra.sweep.dir={tmp_path}", "hydra/launcher=basic"]
    completed = warm.run([warm.TRAIN, *options])
    assert summary(completed) == (3, 3, 0, 0)
    assert "3 folds pooled" in completed.stdout
    assert [line.split()[-1] for line in completed.stdout.splitlines() if " mlp " in line] == ["10"]
    records = [json.loads(file.read_text()) for file in sorted(tmp_path.rglob(results.RESULT))]
    assert [record["fold_index"] for record in records] == [0, 1, 2]
    tested = [name for record in records for name in record["speakers"]["test"]]
    assert len(tested) == len(set(tested)) == 10


# Each job of submitit has a process of its own, a new interpreter, which takes seconds to import
# torch. Slurm and Ray are tried on clusters in test_clusters.py.
LAUNCHERS = {"joblib": [], "submitit_local": ["hydra.launcher.runs_per_job=2"]}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_gives_identical_files(
    launcher: str, serial: Path, few: list[str], tmp_path: Path
) -> None:
    options = [f"hydra/launcher={launcher}", *LAUNCHERS[launcher]]
    completed = sweep(tmp_path, *few, "fold.index=0", "seed=0,1", *options)
    assert summary(completed) == (2, 2, 0, 0)
    made = contents(tmp_path, SAME)
    assert len(made) == 2 * len(SAME)
    assert made == {k: v for k, v in contents(serial, SAME).items() if k in made}


@pytest.mark.slow
def test_killed_sweep_is_continued(serial: Path, few: list[str], tmp_path: Path) -> None:
    """SIGKILL to all of its processes, as soon as the first run is finished."""
    overrides = [*few, "fold.index=0,1", "seed=0,1"]
    with warm.Process(joblib(tmp_path, *overrides), new_session=True) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob(results.RESULT)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    runs, made, before, failed = summary(sweep(tmp_path, *overrides, "hydra/launcher=basic"))
    assert (runs, failed) == (4, 0)
    assert made + before == 4
    assert before >= 1
    assert contents(tmp_path, SAME) == contents(serial, SAME)


@pytest.mark.slow
def test_sweep_continues_after_a_worker_is_killed(
    serial: Path, few: list[str], tmp_path: Path
) -> None:
    """As a system does that is out of memory: the pool breaks, and a new one continues."""
    with warm.Process(joblib(tmp_path, *few, "fold.index=0,1", "seed=0,1")) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.rglob(results.UNFINISHED)):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        (lock, *_) = tmp_path.rglob(results.LOCK)
        os.kill(process_with_open_file(lock), signal.SIGKILL)
        done = process.result()
    assert done.returncode == 0
    assert "a worker process died" in done.stdout
    assert "4 runs: 4 completed" in done.stdout
    made = contents(tmp_path, SAME)
    assert made == {k: v for k, v in contents(serial, SAME).items() if k in made}
    assert len(made) == 4 * len(SAME)


@pytest.mark.slow
def test_sweeps_over_the_same_runs_share_them(serial: Path, few: list[str], tmp_path: Path) -> None:
    """Three at once: each run is made by one of them, and none of them fails."""
    overrides = [*few, "fold.index=0", "seed=0,1", "hydra/launcher=basic"]
    processes = [warm.Process(command(tmp_path, *overrides)) for _ in range(3)]
    completed = [process.result() for process in processes]
    assert [each.returncode for each in completed] == [0, 0, 0], completed[0].stderr
    assert {(total, failed) for total, _, _, failed in map(summary, completed)} == {(2, 0)}
    made = contents(tmp_path, SAME)
    assert len(made) == 2 * len(SAME)
    assert made == {k: v for k, v in contents(serial, SAME).items() if k in made}
    trained = [log.read_text().count("mlp: ") for log in tmp_path.rglob("train.log")]
    assert trained == [1, 1]


def test_finished_runs_are_tested_on_another_corpus_without_training(
    copied: Path, few: list[str], emodb_root: Path, tmp_path: Path
) -> None:
    files = sorted((emodb_root / "wav").glob("08*[WN]?.wav"))  # of the test speaker of fold 0
    rows = [f"{file},someone,{'anger' if 'W' in file.stem else 'neutral'}\n" for file in files]
    (tmp_path / "others.csv").write_text("file,speaker,emotion\n" + "".join(rows))
    before = contents(copied, SAME)
    other_corpus = ["test_corpus=manifest", f"test_corpus.root={tmp_path}/others.csv"]
    completed = sweep(
        copied, *few, "fold.index=0", "seed=0,1", "hydra/launcher=basic", *other_corpus
    )
    assert summary(completed) == (2, 2, 0, 0)
    assert completed.stdout.count("others UA") == 2
    made = contents(copied, SAME)
    assert {name: made[name] for name in before} == before
    evaluations = sorted(copied.rglob("evaluated/others/evaluation.json"))
    assert [json.loads(file.read_text())["seed"] for file in evaluations] == [0, 1]


def test_sweep_without_runs_raises_an_error(tmp_path: Path) -> None:
    completed = sweep(tmp_path, "experiment=glob(nowhere/*)")
    assert completed.returncode == 1
    assert "no run is selected" in completed.stderr


def test_run_is_locked_by_one_process_at_a_time(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from ser.results import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).claimed(): print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        assert results.RunFolder(tmp_path).is_claimed
        with (
            pytest.raises(BusyError, match="another process is making this run"),
            results.RunFolder(tmp_path).claimed(wait=False),
        ):
            pass
        process.kill()
    assert not results.RunFolder(tmp_path).is_claimed
    with results.RunFolder(tmp_path).claimed():
        pass
