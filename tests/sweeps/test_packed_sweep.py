"""Sweeps whose runs are trained in packs: folders, resumption and refusals."""

import json
import re
import time
from pathlib import Path

import pytest
import warm

from ser import results
from ser.errors import UserError
from ser.inference.loading import load
from ser.results import RunFolder

SHORT = ["trainer.max_epochs=2", "model.encoder.hidden=[32]", "fold=session_swap"]
LAUNCHER = "hydra/launcher=packed"


def command(folder: Path, *overrides: str) -> list[str | Path]:
    folders = [f"hydra.sweep.dir={folder}", f"fitted={folder}-fitted"]
    return [warm.TRAIN, "-m", *SHORT, *overrides, LAUNCHER, *folders]


def summary(output: str) -> tuple[int, ...]:
    counts = re.search(r"(\d+) runs: (\d+) completed, (\d+) already finished, (\d+) failed", output)
    assert counts, output
    return tuple(map(int, counts.groups()))


def test_runs_of_a_pack_have_all_files_and_are_skipped_afterwards(
    few: list[str], tmp_path: Path
) -> None:
    """Two packs of two runs, one of which fails: its fold does not exist."""
    overrides = [*few, "fold.index=0,1,17", "seed=0"]
    completed = warm.run(command(tmp_path, *overrides, "hydra.launcher.runs=1"))
    assert summary(completed.stdout) == (3, 2, 0, 1), completed.stdout + completed.stderr
    assert completed.stdout.count("training 1 runs together") == 2
    first = {path: run_bytes(path) for path in tmp_path.rglob(results.RESULT)}
    assert len(first) == 2

    completed = warm.run(command(tmp_path, *overrides, "seed=0,1"))
    assert summary(completed.stdout) == (6, 2, 2, 2)
    assert "training 2 runs together" in completed.stdout
    assert {path: run_bytes(path) for path in first} == first

    for file in tmp_path.rglob(results.RESULT):
        folder = RunFolder(file.parent)
        result = folder.require_result()
        assert result["packed"] is True
        assert folder.require_config().trainer.packed is True
        folder.require_intact(result, results.CHECKPOINTS)
        assert "epoch" in folder.metrics_file.read_text()
        assert "trained separately" in folder.log_file.read_text()
        overrides_file = folder.overrides_file.read_text()
        assert f"seed={result['seed']}" in overrides_file
        assert f"fold.index={result['fold_index']}" in overrides_file

    # The same run alone is the same run.
    (folder,) = (path.parent for path in first if "session_swap-0" in str(path))
    alone = tmp_path / "alone"
    single = [warm.TRAIN, *SHORT, *few, "seed=0", "fold.index=0", LAUNCHER]
    completed = warm.run([*single, f"hydra.run.dir={alone}"])
    assert completed.returncode == 0, completed.stdout + completed.stderr
    for name in (results.PREDICTIONS, results.RESULT, results.METRICS):
        assert (alone / name).read_bytes() == (folder / name).read_bytes()
    assert "packed" in load(alone).result


def run_bytes(path: Path) -> bytes:
    return b"".join((path.parent / name).read_bytes() for name in (results.RESULT, results.COST))


REFUSED = {
    "model=svm": "packs are of fully connected and convolutional networks: model=mlp|cnn|aae",
    "model=lstm features=lld": "packs are of fully connected and convolutional networks",
    "representation=pca representation.size=4": "representations are not packed",
    "data.mixup=0.2": "training data are not perturbed in packs",
    "augment=gain": "training data are not perturbed in packs",
    "model=cnn features=lld data.spec_augment.masks=2": "training data are not perturbed in packs",
    "target=activation target.bins=null": "a pack predicts the classes of one target",
    "in_memory=false": "features are kept in memory",
    "share_training=true": "runs of a pack share a training wherever they can",
    "trainer.precision=bf16-mixed": "a pack is trained on one device, not in mixed precision",
    "model.optimiser._target_=torch.optim.LBFGS": "model.optimiser=torch.optim.LBFGS: one of",
}


@pytest.mark.parametrize("overrides", REFUSED)
def test_what_a_pack_does_not_support_is_refused(overrides: str) -> None:
    from hydra import compose, initialize_config_dir

    from ser.config import CONF
    from ser.config.checks import check_values
    from ser.config.run_key import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [LAUNCHER, *overrides.split()])
    with pytest.raises(UserError) as refused:
        check_values(cfg)
    assert f"hydra/launcher=packed: {REFUSED[overrides]}" in str(refused.value)


def test_option_is_in_the_run_key_of_packed_runs_only() -> None:
    from hydra import compose, initialize_config_dir

    from ser.config import CONF
    from ser.config.run_key import register_resolvers, result_options

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        plain, packed, gpu = (
            result_options(compose("train", overrides))
            for overrides in ([], [LAUNCHER], [LAUNCHER, "trainer=gpu"])
        )
    assert "packed" not in plain["trainer"]
    assert packed["trainer"] == {**plain["trainer"], "packed": "SplitMix64, own steps"}
    assert gpu["trainer"] == {**packed["trainer"], "accelerator": "gpu"}
    assert {**packed, "trainer": None} == {**plain, "trainer": None}


@pytest.mark.slow
def test_killed_pack_begins_anew_and_finished_runs_stay(few: list[str], tmp_path: Path) -> None:
    options = [*few, "fold.index=0,1", "seed=0,1", "hydra.launcher.runs=2"]
    options += ["trainer.max_epochs=400"]
    process = warm.Process(command(tmp_path, *options))
    deadline = time.monotonic() + 200
    while len(list(tmp_path.rglob(results.RESULT))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    finished = {path: run_bytes(path) for path in tmp_path.rglob(results.RESULT)}
    assert 2 <= len(finished) < 4
    completed = warm.run(command(tmp_path, *options))
    assert summary(completed.stdout) == (4, 4 - len(finished), len(finished), 0)
    assert {path: run_bytes(path) for path in finished} == finished
    assert all(json.loads(path.read_text())["packed"] for path in tmp_path.rglob(results.RESULT))
