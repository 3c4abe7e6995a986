"""What loggers are told, read back from what they leave on disk."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import warm
from offline import read, run_info
from small import SHORT

from ser import results
from ser.runs.loggers import RunInfo, Wandb, finish, tensorboard, wandb
from ser.runs.run import run

CLASSES = ["anger", "fear", "joy"]


def begun(run: RunInfo, **options: Any) -> Wandb:
    logger = wandb(run, **{"project": "ser", "group": None, "mode": None, "tags": [], **options})
    logger.log_metrics({"epoch": 0, "val/ua": 0.3}, step=0)
    return logger


def result_and_predictions() -> tuple[dict[str, Any], pd.DataFrame]:
    """A made-up run: nobody is afraid in its test part."""
    rng = np.random.default_rng(0)
    truth = {"val": ["anger", "fear", "joy", "joy"], "test": ["anger", "anger", "joy", "joy"]}
    table = pd.concat(
        results.predictions(part, pd.Series(names), rng.random((4, 3)), CLASSES)
        for part, names in truth.items()
    )
    scored = {part: results.split_scores(table, part, CLASSES) for part in truth}
    return {"best_epoch": 1, "speaker_independent": True, **scored}, table


def test_a_run_of_a_grid_is_grouped_tagged_and_summed_up(tmp_path: Path) -> None:
    about = run_info(tmp_path, grid="table1", experiment="parthasarathy2019/utterance_aae")
    about = RunInfo(**(vars(about) | {"paper": "parthasarathy2019"}))
    logger = begun(about, tags=["mine", "x" * 65, "fold 3"])
    logger.log_metrics({"epoch": 1, "val/ua": 0.9}, step=1)
    logger.log_metrics({"epoch": 2, "val/ua": 0.1}, step=2)
    result, table = result_and_predictions()
    finish(logger, result, table)

    found = read(tmp_path)
    assert found.about.run_id == about.run_key
    assert found.about.run_group == "table1"
    assert found.about.job_type == "utterance_aae"
    assert sorted(found.about.tags) == sorted(
        [
            "parthasarathy2019", "emodb", "emotion", "lld", "session_swap", "fold 3", "seed 2",
            "mine", "x" * 63 + "…",
        ]
    )  # fmt: skip
    assert found.axes["*"] == "epoch"
    assert [(row["_step"], row["epoch"], row["val/ua"]) for row in found.rows] == [
        (0, 0, 0.3), (1, 1, 0.9), (2, 2, 0.1)
    ]  # fmt: skip
    assert found.exit_code == 0

    # The summary is the result's, not the last epoch's.
    for part in ("val", "test"):
        for score in ("ua", "wa", "f1", "chance_ua", "majority_wa"):
            assert found.summary[f"{part}/{score}"] == result[part][score]
        assert found.summary[f"{part}/confusion_counts"] == result[part]["confusion"]
    assert found.summary["classes"] == CLASSES
    assert found.summary["best_epoch"] == 1
    assert found.summary["test/recall/joy"] == result["test"]["recall"]["joy"]
    assert "test/recall/fear" not in found.summary


def test_a_failed_run_is_not_continued_by_the_next_of_its_process(tmp_path: Path) -> None:
    begun(run_info(tmp_path / "training")).finalize("failed")
    begun(run_info(tmp_path / "beside"))  # fails where no one tells the logger
    logger = begun(run_info(tmp_path / "next", search="aae"))
    finish(logger, *result_and_predictions())
    codes = {name: read(tmp_path / name).exit_code for name in ("training", "beside", "next")}
    assert codes == {"training": 1, "beside": 1, "next": 0}
    found = read(tmp_path / "next")
    assert found.about.run_group == "emodb emotion lld"
    assert found.about.job_type == "aae"
    assert "search aae" in found.about.tags


@pytest.mark.parametrize("continued", [3, None])
def test_a_process_that_continues_a_run_logs_all_of_it(
    continued: int | None, tmp_path: Path
) -> None:
    """Also where it has nothing left to train, only to test."""
    curve = [0.1, 0.2, 1 / 3, 0.4]
    rows = [{"epoch": epoch, "val/ua": ua} for epoch, ua in enumerate(curve)]
    pd.DataFrame(rows).to_csv(tmp_path / "metrics.csv", index=False)
    logger = wandb(run_info(tmp_path), project="ser", group=None, mode=None, tags=[])
    if continued is not None:
        logger.log_metrics(rows[continued], step=continued)
    finish(logger, *result_and_predictions())
    assert [(row["_step"], row["val/ua"]) for row in read(tmp_path).rows] == list(enumerate(curve))


@pytest.mark.slow
def test_killed_and_continued_it_is_one_run_of_all_epochs(
    finished: Path, emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "logged"
    overrides = [*emodb, *SHORT, "logger=wandb", "trainer.checkpoint_seconds=0"]
    command = [warm.TRAIN, *overrides, f"hydra.run.dir={folder}"]
    # Its own writer, not one that outlives it here.
    env = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    with warm.Process(command, env=env) as process:
        deadline = time.monotonic() + 120
        while _epochs(folder) < 3 and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert process.poll() is None, process.result()
        os.kill(process.pid, signal.SIGKILL)
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    cfg, names = composed(*overrides)
    run(cfg, folder, names)

    found = read(folder)
    result = json.loads((folder / "result.json").read_text())
    assert found.about.run_id == result["run_key"]
    assert found.about.run_group == "emodb emotion functionals"
    assert found.about.job_type == "mlp"
    curves = pd.read_csv(folder / "metrics.csv")
    assert [row["_step"] for row in found.rows] == list(range(6))
    for column in curves:
        logged = [row[column] for row in found.rows]
        assert logged == pytest.approx(curves[column].tolist(), rel=1e-12), column
    assert "test/confusion_table/path" in found.rows[-1]
    assert found.summary["test/ua"] == result["test"]["ua"]
    assert found.summary["val/ua"] == result["val"]["ua"]

    # Who watches changes nothing.
    for name in (results.PREDICTIONS, results.RESULT, results.METRICS):
        assert (folder / name).read_bytes() == (finished / name).read_bytes()


def _epochs(folder: Path) -> int:
    try:
        return len((folder / "metrics.csv").read_text().splitlines()) - 1
    except FileNotFoundError:
        return 0


def test_tensorboard_has_events(tmp_path: Path) -> None:
    logger = tensorboard(run_info(tmp_path))
    logger.log_metrics({"val/ua": 0.5}, step=0)
    finish(logger, *result_and_predictions())
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
