"""The benchmark that is run when a GPU can be had works without one."""

import json
import subprocess
from pathlib import Path

import warm

SCRIPT = warm.ROOT / "benchmarks" / "gpu.py"


def bench(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return warm.run([SCRIPT, "--small", "--device", "cpu", "--out", out, *options])


def test_sections_run_on_the_cpu_with_tiny_data(tmp_path: Path) -> None:
    system = ["--systems", "utterance_aae"]
    done = bench(tmp_path, *system, "--only", "losses", "resumed", "steps", "packed", "table")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "gpu.json").read_text())
    losses = results["losses"]["utterance_aae"]
    assert losses["equal_batches"]
    assert losses["epoch"] == 0 < losses["rounding"]
    assert set(results["resumed"]["utterance_aae"].values()) == {0}
    assert results["steps"]["utterance_aae"]["steps_per_epoch"] == 3
    assert results["packed"]["utterance_aae, 2 trainings, with graphs"]["shared_s"] > 0
    assert results["table"]["one process"]["sum"] >= results["table"]["with packs"]["sum"] > 0


def test_a_section_that_fails_is_reported(tmp_path: Path) -> None:
    done = bench(tmp_path, "--only", "table")
    assert done.returncode == 1
    assert "table FAILED" in done.stdout
    assert "failed: table" in done.stdout
    assert "KeyError" in json.loads((tmp_path / "gpu.json").read_text())["errors"]["table"]
