"""Sweeps on real clusters of Slurm and Ray: jobs and nodes are lost, and the sweeps continued."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import raycluster
import slurm
import warm
from processes import process_with_open_file, processes_with_open_files
from slurm import Cluster, wait_until

from ser import results

# A second or two of training, in which a job can be cancelled.
GRID = [
    "grid=demo", "model=mlp", "fold=session_swap", "fold.index=0", "model.encoder.hidden=[32]",
    "trainer.max_epochs=100",
]  # fmt: skip
LAUNCHER = [
    "hydra/launcher=submitit_slurm", "hydra.launcher.partition=short",
    "hydra.launcher.timeout_min=30",
]  # fmt: skip
SAME = (results.PREDICTIONS, results.RESULT, results.METRICS, results.UTTERANCES)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    if reason := slurm.missing():
        pytest.skip(reason)
    with slurm.cluster() as started:
        yield started


@pytest.fixture(scope="session")
def serial(few: list[str], once: Callable[..., Path]) -> Path:
    """Folder of the runs of the grid, made one after the other; read-only."""

    def make(folder: Path) -> None:
        warm.run(command(folder, *few, "hydra/launcher=basic"), check=True)

    return once("cluster_runs", make)


def command(folder: Path, *overrides: str) -> list[str | Path]:
    folders = [f"hydra.sweep.dir={folder}", f"fitted={folder}-fitted"]
    return [warm.TRAIN, *GRID, *overrides, *folders]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.name in SAME
    }


def first_run(folder: Path, name: str) -> Path:
    """A file of the run with seed 0, or one that does not exist."""
    return next(folder.glob(f"**/seed-0-*/{name}"), folder / "none")


def log_of_first_run(folder: Path) -> str:
    file = first_run(folder, "train.log")
    return file.read_text() if file.exists() else ""


@pytest.mark.slow
def test_sweep_continues_after_a_cancelled_job_and_a_drained_node(
    cluster: Cluster, serial: Path, few: list[str], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    arguments = command(runs, *few, *LAUNCHER)
    cluster.drain("node2")
    with warm.Process(arguments, env=cluster.env) as process:
        wait_until(lambda: process.poll() is not None or "RUNNING" in cluster.states().values())
        assert cluster.states() == {"1_0": "RUNNING", "1_1": "PENDING"}, process.result()
        cluster.resume("node2")
        wait_until(lambda: process.poll() is not None or first_run(runs, results.METRICS).exists())
        cluster.call("scancel", "1_0")
        wait_until(lambda: "SIGTERM" in log_of_first_run(runs))
        # Slurm kills the job a second or two later. So short a training would be finished by then.
        os.kill(process_with_open_file(first_run(runs, results.LOCK)), signal.SIGSTOP)
        text = process.result().stdout
    assert "jobs: 1 pending: resources, 1 running" in text
    assert "job 1_0 (seed=0): its job was cancelled; the same command continues it; see" in text
    assert "2 runs: 1 completed, 0 already finished, 1 failed\n  1 x its job was" in text
    assert process.returncode == 1
    assert (
        process.result().stderr.strip() == "error: 1 failed; repeat the command to try them again"
    )
    status = warm.run(["-m", "ser", "status", *command(runs, *few)[1:]])
    assert re.search(r"mlp +1 +· +· +1 ", status.stdout), status.stdout  # done and stopped

    again = warm.run(arguments, env=cluster.env, check=True)
    assert "srun" not in again.stderr
    assert "2 runs: 1 completed, 1 already finished, 0 failed" in again.stdout
    assert contents(runs) == contents(serial)
    log = log_of_first_run(runs)
    saved = re.search(r"SIGTERM in epoch (\d+): checkpoint saved", log)
    continued = re.search(r"continuing from .* in epoch (\d+)", log)
    assert saved, log
    assert continued, log
    assert int(continued[1]) in (int(saved[1]), int(saved[1]) + 1)


def test_what_slurm_refuses_is_an_error_of_one_line(
    cluster: Cluster, few: list[str], tmp_path: Path
) -> None:
    options = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=long"]
    refused = warm.run(command(tmp_path, *few, *options), env=cluster.env)
    assert refused.returncode == 1
    assert refused.stderr.endswith(
        "\nerror: hydra/launcher=submitit_slurm: sbatch: error: Batch job submission failed: "
        "Invalid partition name specified\n"
    )
    assert "Traceback" not in refused.stderr


def test_launcher_without_slurm_is_an_error_of_one_line(
    few: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refused = warm.run(command(tmp_path, *few, "hydra/launcher=submitit_slurm"))
    assert refused.stderr.strip() == (
        'error: hydra/launcher=submitit_slurm: Could not detect "srun", are you indeed on a slurm '
        "cluster?"
    )


@pytest.mark.slow
def test_sweep_on_ray_continues_when_a_node_is_killed(
    serial: Path, few: list[str], tmp_path: Path
) -> None:
    """Ray makes the run of the node on the other one, as soon as that has finished its own."""
    runs = tmp_path / "runs"
    with raycluster.cluster() as cluster:
        address = f"hydra.launcher.ray.init.address={cluster.address}"
        arguments = command(runs, *few, "hydra/launcher=ray", address)
        with warm.Process(arguments, env=cluster.env) as process:

            def is_at_work() -> bool:
                locks = [file.with_name(results.LOCK) for file in runs.rglob(results.METRICS)]
                return any(map(cluster.is_on_node, processes_with_open_files(locks)))

            wait_until(lambda: process.poll() is not None or is_at_work())
            cluster.kill_node()
            killed = process.result()
        assert "2 runs: 2 completed, 0 already finished, 0 failed" in killed.stdout, killed
        assert contents(runs) == contents(serial)
        starts = [log.read_text().count("chance level") for log in runs.rglob("train.log")]
        assert sorted(starts) == [1, 2]
    again = warm.run(arguments, env=cluster.env, check=True)
    assert "2 runs: 0 completed, 2 already finished, 0 failed" in again.stdout
