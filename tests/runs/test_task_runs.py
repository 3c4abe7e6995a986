"""A run of several tasks, from the corpus to the console."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from small import SHORT

from ser import console, results
from ser.errors import UserError
from ser.results.verify import inconsistencies
from ser.runs.run import run
from ser.training.phased import PhasedModel

TASKS = ["target=attributes", "target.names=[activation,emotion]", *SHORT]
BYTES = (results.PREDICTIONS, results.RESULT, results.METRICS)


@pytest.fixture(scope="module")
def whole(
    few: list[str], composed: Callable, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Folder of a run on speech of ten speakers, and what it has printed."""
    folder = tmp_path_factory.mktemp("tasks")
    cfg, names = composed(*few, *TASKS)
    with console.console.capture() as capture:
        run(cfg, folder, names)
    return folder, capture.get()


def test_each_task_has_predictions_and_scores(whole: tuple[Path, str]) -> None:
    folder, printed = whole
    result = json.loads((folder / results.RESULT).read_text())
    classes = ["anger", "happiness", "neutral", "sadness"]
    assert result["classes"] == []
    assert result["class_counts"] == {}
    assert result["tasks"] == {"activation": [], "emotion": classes}
    assert set(result["test"]["tasks"]["activation"]) == {"ccc", "pearson", "rmse", "mae"}
    assert 0 <= result["test"]["tasks"]["emotion"]["ua"] <= 1
    table = results.RunFolder(folder).read_predictions()
    for part in ("val", "test"):
        counts = table[table["part"] == part]["task"].value_counts()
        assert counts["activation"] == counts["emotion"] > 0
    record = pd.read_csv(folder / results.METRICS)
    val = result["val"]["tasks"]
    score = record["val/score"].iloc[result["best_epoch"]]
    assert score == record["val/score"].max()
    assert score == pytest.approx((val["activation"]["ccc"] + val["emotion"]["ua"]) / 2, abs=1e-6)
    assert list(inconsistencies(results.RunFolder(folder))) == []
    lines = [line.split() for line in printed.splitlines()]
    rows = [line[:2] for line in lines if line[:1] in (["activation"], ["emotion"])]
    assert ["activation", "test"] in rows
    assert ["emotion", "validation"] in rows


class Killed(BaseException):
    """Raised in place of a kill: not an `Exception`, so that nothing cleans up."""


def test_a_killed_run_continues_with_the_same_bytes(
    whole: tuple[Path, str],
    few: list[str],
    composed: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cfg, names = composed(*few, *TASKS, "trainer.checkpoint_seconds=0")
    step = PhasedModel.training_step

    def killed(self: PhasedModel, batch: object, batch_idx: int) -> None:
        if self.current_epoch == 3:
            raise Killed
        step(self, batch, batch_idx)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(PhasedModel, "training_step", killed)
        with pytest.raises(Killed):
            run(cfg, tmp_path, names)
    assert not (tmp_path / results.RESULT).exists()
    torch.rand(3)  # another process starts with another random state
    score = run(cfg, tmp_path, names, brief=True)
    for name in BYTES:
        assert (tmp_path / name).read_bytes() == (whole[0] / name).read_bytes(), name
    result = json.loads((tmp_path / results.RESULT).read_text())
    assert score == results.first_score(result["val"])
    line = capsys.readouterr().out.splitlines()[-1]
    assert "test activation CCC " in line
    assert ", emotion UA " in line


def test_a_corpus_without_one_of_the_tasks_is_refused(
    few: list[str], composed: Callable, tmp_path: Path
) -> None:
    cfg, names = composed(*few, "target=attributes", *SHORT)
    with pytest.raises(UserError, match="has no valence, dominance; its targets are emotion, act"):
        run(cfg, tmp_path, names)
