"""Whole runs on real speech."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skops.io
import warm
from omegaconf import OmegaConf
from small import SHORT

from ser import metrics, results
from ser.config import build
from ser.data.prepare import prepare
from ser.errors import UserError
from ser.inference.restore import restore
from ser.runs.run import run

RESULTS = (results.PREDICTIONS, results.RESULT, results.METRICS)


def command(folder: Path, *overrides: str) -> list[str | Path]:
    return [warm.TRAIN, *overrides, f"hydra.run.dir={folder}"]


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished run to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))


def test_a_run_leaves_what_it_says(finished: Path) -> None:
    result = json.loads((finished / "result.json").read_text())
    table = results.RunFolder(finished).read_predictions()
    assert list(table) == [
        "utterance", "part", "truth", "prediction", *(f"p_{c}" for c in result["classes"])
    ]  # fmt: skip
    assert set(table["part"]) == {"val", "test"}
    assert result["speaker_independent"] is True
    assert not set(result["speakers"]["test"]) & {
        *result["speakers"]["train"], *result["speakers"]["val"]
    }  # fmt: skip
    probabilities = table.filter(like="p_").to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    most = np.asarray(result["classes"])[probabilities.argmax(axis=1)]
    assert (most == table["prediction"]).all()
    # Speaker 08 has no disgust: out of the mean, not 0.
    assert result["test"]["recall"]["disgust"] is None
    rows = table[table["part"] == "test"]
    recalls = (rows["prediction"] == rows["truth"]).groupby(rows["truth"]).mean()
    assert result["test"]["ua"] == pytest.approx(recalls.mean())
    trained = sum(result["class_counts"]["train"].values())
    assert result["fitted_on"] == {"splits": ["train"], "utterances": trained}
    assert len(pd.read_csv(finished / "metrics.csv")) == 6
    assert {p.name for p in (finished / "checkpoints").iterdir()} == {
        "best.ckpt", "recogniser.json", "standardiser.npz", "training_audio.txt",
        "training_range.npz",
    }  # fmt: skip
    assert not (finished / results.UNFINISHED).exists()


@pytest.mark.slow
def test_killed_again_and_again_it_ends_in_the_same_bytes(
    finished: Path, emodb: list[str], tmp_path: Path
) -> None:
    """Real processes, really killed: at the start, in the midst of epochs, near the end."""
    resumed = command(tmp_path, *emodb, *SHORT, "trainer.checkpoint_seconds=0")
    for rows in (0, 2, 4):
        with warm.Process(resumed) as process:
            deadline = time.monotonic() + 120
            while _rows(tmp_path) <= rows and process.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            assert process.poll() is None, process.result()
            os.kill(process.pid, signal.SIGKILL)
        assert not (tmp_path / "result.json").exists()
    told = warm.run(resumed, check=True).stdout
    assert "continuing from" in told
    for name in RESULTS:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes(), name


def _rows(folder: Path) -> int:
    try:
        return len((folder / "metrics.csv").read_text().splitlines())
    except FileNotFoundError:
        return 0


def test_a_finished_run_is_not_trained_again_unless_forced(
    copied: Path, emodb: list[str], composed: Callable
) -> None:
    cfg, names = composed(*emodb, *SHORT)
    before = {name: (copied / name).stat().st_mtime_ns for name in RESULTS}
    content = {name: (copied / name).read_bytes() for name in RESULTS}
    score = json.loads(content["result.json"])["val"]["ua"]
    assert run(cfg, copied, names) == score
    assert {name: (copied / name).stat().st_mtime_ns for name in RESULTS} == before
    forced, names = composed(*emodb, *SHORT, "force=true")
    assert run(forced, copied, names) == score
    assert (copied / "predictions.csv").stat().st_mtime_ns > before["predictions.csv"]
    assert {name: (copied / name).read_bytes() for name in RESULTS} == content


def test_a_checkpoint_of_another_config_is_not_continued(
    finished: Path, emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    """The same folder, another seed: what the first left must not leak into the second."""
    cfg, names = composed(*emodb, *SHORT, "seed=1")
    run(cfg, tmp_path / "alone", names)
    first = command(tmp_path / "shared", *emodb, *SHORT, "trainer.checkpoint_seconds=0")
    with warm.Process(first) as process:
        while _rows(tmp_path / "shared") < 4:
            assert process.poll() is None
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    assert (tmp_path / "shared" / "checkpoints" / "last.ckpt").exists()
    run(cfg, tmp_path / "shared", names)
    for name in RESULTS:
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()


# Executes a script with no room for a file above 200 kB.
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_full_disk_is_told_and_nothing_is_lost(
    finished: Path, emodb: list[str], tmp_path: Path
) -> None:
    """No file above 200 kB: no checkpoint fits. With room, the same command finishes."""
    full = command(tmp_path, *emodb, *SHORT, "trainer.checkpoint_seconds=0")
    told = warm.run(["-c", LIMITED, *full])
    assert told.returncode == 1
    assert "error: " in told.stderr
    assert "the same command continues" in told.stderr
    assert "Traceback" not in told.stderr
    warm.run(full, check=True)
    for name in RESULTS:
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.parametrize("model", [SHORT, ["model=cnn", "features=lld", "trainer.max_epochs=1"]])
def test_memory_mapped_features_give_the_same_bytes(
    model: list[str], emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    for kind in ("true", "false"):
        cfg, names = composed(*emodb, *model, f"in_memory={kind}")
        assert prepare(cfg).data.features.mapped is (kind == "false")
        run(cfg, tmp_path / kind, names)
    for name in RESULTS:
        assert (tmp_path / "true" / name).read_bytes() == (tmp_path / "false" / name).read_bytes()


def test_restored_it_gives_the_same_probabilities(
    copied: Path, emodb: list[str], composed: Callable
) -> None:
    cfg, _ = composed(*emodb, *SHORT)
    results.write_text(results.RunFolder(copied).config_file, OmegaConf.to_yaml(cfg))
    prepared, model = restore(copied)
    (batch,) = prepared.data.split_dataloader("test")
    table = results.RunFolder(copied).read_predictions()
    stored = table[table["part"] == "test"].filter(like="p_").to_numpy()
    np.testing.assert_allclose(model.predictions(batch).detach(), stored, rtol=1e-6)


@pytest.mark.slow
def test_svm_learns_emotions_and_not_shuffled_ones(
    emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    """Labels shuffled over the corpus must score near chance: else the test part leaked."""
    one_cost = ["model=svm", "fold=session", "model.leave_out=session", "model.grid.C=[0.001]"]
    cfg, names = composed(*emodb, *one_cost)
    run(cfg, tmp_path / "true", names)
    result = json.loads((tmp_path / "true" / "result.json").read_text())
    assert result["test"]["ua"] > 0.6
    assert result["chosen"] == {"classifier__C": 0.001}
    seen = sum(sum(result["class_counts"][split].values()) for split in ("train", "val"))
    assert result["fitted_on"] == {"splits": ["train", "val"], "utterances": seen}
    stored = tmp_path / "true" / "checkpoints" / "best.skops"
    skops.io.load(stored, trusted=skops.io.get_untrusted_types(file=stored))

    table = build(cfg.corpus).table[::2].copy()
    rng = np.random.default_rng(0)
    table["emotion"] = rng.permutation(table["emotion"].to_numpy())
    table.reset_index().to_csv(tmp_path / "shuffled.csv", index=False)
    confusion = 0
    for fold in range(5):
        shuffled, names = composed(
            *emodb, *one_cost, "corpus=manifest", f"corpus.root={tmp_path / 'shuffled.csv'}",
            f"fold.index={fold}",
        )  # fmt: skip
        run(shuffled, tmp_path / f"{fold}", names)
        found = results.RunFolder(tmp_path / f"{fold}").read_predictions()
        classes = json.loads((tmp_path / f"{fold}" / "result.json").read_text())["classes"]
        confusion = confusion + results.confusion(found, "test", classes)
    assert confusion.sum() == len(table) == 134
    assert metrics.unweighted_accuracy(confusion) < 0.2  # chance 0.143


def test_random_folds_and_speaker_statistics_are_marked(
    emodb: list[str], composed: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg, names = composed(*emodb, *SHORT, "fold=random", "data.standardise=speaker")
    run(cfg, tmp_path, names)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["speaker_independent"] is False
    assert [remark.split(":")[0] for remark in result["remarks"]] == [
        "speaker dependent", "transductive"
    ]  # fmt: skip
    told = capsys.readouterr().out
    assert told.count("speaker dependent") == 2  # beside the data, beside the score
    assert told.count("transductive") == 2


def test_a_result_of_a_gpu_says_so(
    emodb: list[str],
    finished: Path,
    composed: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trained on the CPU, because tests run without GPU."""
    monkeypatch.setattr("ser.runs.begun.trains_on_gpu", lambda cfg: True)
    monkeypatch.setattr("ser.runs.begun.used_gpu", lambda: "NVIDIA H100")
    cfg, names = composed(*emodb, *SHORT, "trainer.max_epochs=1")
    run(cfg, tmp_path, names)
    result, of_cpu = (json.loads((f / "result.json").read_text()) for f in (tmp_path, finished))
    assert result["device"] == {"kind": "gpu", "bit_identical": False}
    assert json.loads((tmp_path / "cost.json").read_text())["gpu"] == "NVIDIA H100"
    assert "device" not in of_cpu
    assert "gpu" not in json.loads((finished / "cost.json").read_text())


def test_nobody_tested_scores_validation(
    emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    cfg, names = composed(*emodb, *SHORT, "fold=speakers")
    score = run(cfg, tmp_path, names)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["test"] is None
    assert result["val"]["ua"] == score
    assert len(result["speakers"]["val"]) == 3


def test_faulty_audio_stops_a_run_by_name_or_is_left_out_when_told(
    emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    cfg, _ = composed(*emodb)
    table = build(cfg.corpus).table
    whole = Path(table["file"].iloc[0]).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    table.loc[table.index[0], "file"] = str(tmp_path / "cut.wav")
    table.reset_index().to_csv(tmp_path / "corpus.csv", index=False)
    manifest = [*emodb, *SHORT, "corpus=manifest", f"corpus.root={tmp_path / 'corpus.csv'}"]
    cfg, names = composed(*manifest)
    with pytest.raises(UserError, match=r"cut\.wav.*truncated"):
        run(cfg, tmp_path / "run", names)
    cfg, names = composed(*manifest, "skip_faulty=true")
    run(cfg, tmp_path / "run", names)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert sum(sum(part.values()) for part in result["class_counts"].values()) == len(table) - 1
    assert "1 faulty" in " ".join(result["remarks"])


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["model=mpl"], "did you mean model=mlp"),
        (["trainer.max_epoch=3"], "did you mean trainer.max_epochs"),
        (["corpus=emodb", "corpus.root=nowhere"], "nowhere does not exist"),
        (["model=mlp", "features=lld"], "needs utterance-level features"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    overrides: list[str], told: str, tmp_path: Path
) -> None:
    found = warm.run(command(tmp_path, *overrides))
    assert found.returncode == 1
    assert told in found.stderr
    assert "Traceback" not in found.stderr


def test_help_and_completion_wait_for_nothing_heavy() -> None:
    code = "import sys, train; print([m for m in ('torch', 'pandas', 'numpy') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=warm.ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
