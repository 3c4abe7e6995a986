"""One run in several processes (gloo, on the CPU): nothing missing, nothing twice, none left."""

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import warm
from small import EPOCHS, fit, made_data, made_model
from torch import distributed

from ser import results
from ser.data.datamodule import DataModule
from ser.errors import UserError
from ser.runs.run import run
from ser.training import ranks
from ser.training.ddp import DDP, side_by_side
from ser.training.phased import PhasedModel

FORK = multiprocessing.get_context("fork")
ON_TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


def ranks_left() -> list[str]:
    """Processes of a run that are still there; other tests' workers may be, too."""
    children = multiprocessing.active_children()
    return [child.name for child in children if child.name.startswith("rank ")]


def fit_on(devices: int, data: DataModule, folder: Path, *overrides: str, **options: Any) -> Any:
    return fit(data, folder, *overrides, kind=DDP, devices=devices, **options)


@pytest.mark.parametrize(("name", "devices"), [("mlp", 2), ("mlp", 3), ("cnn", 2)])
def test_several_learn_what_one_would(name: str, devices: int, tmp_path: Path) -> None:
    """Without dropout and batch normalisation; shares of 13 and 14 utterances are not equal."""
    data = made_data("frame" if name == "cnn" else "utterance")
    data.batch_size = 13
    plain = ["model.encoder.dropout=0", "model.encoder.batch_norm=false"]
    one = fit(data, tmp_path / "one", *plain, name=name)
    several = fit_on(devices, data, tmp_path / "several", *plain, name=name)
    np.testing.assert_allclose(several, one, atol=1e-4)
    rows = [pd.read_csv(tmp_path / x / "metrics.csv") for x in ("one", "several")]
    assert list(rows[0]) == list(rows[1])
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-4)


@pytest.mark.parametrize("name", ["aae", "aae frames"])
def test_validation_is_of_every_utterance_once(name: str, tmp_path: Path) -> None:
    """Ten of them on three ranks: the record's row is that of one process with these weights."""
    data = made_data("frame" if name == "aae frames" else "utterance")
    fit_on(3, data, tmp_path, name=name)
    metrics = pd.read_csv(tmp_path / "metrics.csv")
    assert metrics["epoch"].tolist() == list(range(EPOCHS))
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    model = made_model(name, data)
    model.load_state_dict(best["weights"])
    model.eval()
    model.on_validation_epoch_start()
    with torch.inference_mode():
        for number, batch in enumerate(data.split_dataloader("val")):
            model.validation_step(batch, number)
    model.end_epoch()
    (row,) = model.record
    of_validation = [column for column in row if column.startswith("val/")]
    assert "val/r2_v" in of_validation
    found = metrics.iloc[best["epoch"]]
    told = [row[c] for c in of_validation]
    np.testing.assert_allclose(found[of_validation], told, rtol=1e-4, atol=1e-6)


def test_ranks_draw_apart_and_learn_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(self: PhasedModel) -> None:
        weights = {name: p.detach() for name, p in self.named_parameters()}
        left = {"weights": weights, "record": self.record, "drawn": torch.rand(3)}
        torch.save(left, tmp_path / f"{self.global_rank}.pt")

    monkeypatch.setattr(PhasedModel, "on_train_end", leave)
    fit_on(2, made_data("utterance"), tmp_path, name="aae")
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert one["record"] == other["record"]
    assert all(torch.equal(w, other["weights"][name]) for name, w in one["weights"].items())
    assert not torch.equal(one["drawn"], other["drawn"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, str]:
    folder = tmp_path_factory.mktemp("whole")
    found = fit_on(2, made_data("utterance"), folder, name="aae")
    return found, (folder / "metrics.csv").read_text()


# Within epochs, at their ends, and right after.
@pytest.mark.parametrize("at", [2, 3, 4, 11])
def test_a_rank_killed_before_a_batch_and_the_run_continued(
    at: int, tmp_path: Path, whole: tuple[np.ndarray, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, (found, metrics) = made_data("utterance"), whole
    step, steps = PhasedModel.training_step, [0]

    def dying(self: PhasedModel, batch: Any, batch_idx: int) -> None:
        if steps[0] == at and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        steps[0] += 1
        step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(PhasedModel, "training_step", dying)
        with pytest.raises(UserError, match="rank 1 of this run was killed"):
            fit_on(2, data, tmp_path, name="aae")
    assert not ranks_left()
    assert np.array_equal(fit_on(2, data, tmp_path, name="aae"), found)
    assert (tmp_path / "metrics.csv").read_text() == metrics


def in_a_group_of_its_own(work: Callable[[], object]) -> Any:
    def alone() -> None:
        os.setsid()
        work()

    process = FORK.Process(target=alone)
    process.start()
    return process


def wait_for(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_killed_as_a_group_and_continued_a_run_ends_in_the_same_bytes(
    emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    """Continued by `train.py` itself: Hydra runs once, and what is told is told once."""
    short = [*emodb, *ON_TWO, "trainer.max_epochs=5", "model.encoder.hidden=[32, 32]"]
    cfg, names = composed(*short)
    run(cfg, tmp_path / "whole", names)
    often, names = composed(*short, "trainer.checkpoint_seconds=0")
    killed = tmp_path / "killed"
    process = in_a_group_of_its_own(lambda: run(often, killed, names))
    wait_for(lambda: lines(killed / "metrics.csv") > 2 or not process.is_alive())
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    assert not (killed / results.RESULT).exists()
    assert (killed / "checkpoints" / "last.ckpt").exists()
    told = warm.run([warm.TRAIN, *short, f"hydra.run.dir={killed}"], check=True)
    assert told.stdout.count("continuing from") == 1
    assert told.stdout.count("parameters") == 1
    assert told.stderr == ""
    for name in (results.PREDICTIONS, results.RESULT, results.METRICS):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    table = results.read_predictions(killed)
    counts = results.read_json(killed / results.RESULT)["class_counts"]
    assert table["utterance"].is_unique
    for part in ("val", "test"):
        assert (table["part"] == part).sum() == sum(counts[part].values())


def test_ranks_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    data = made_data("utterance")
    process = in_a_group_of_its_own(lambda: fit_on(2, data, tmp_path, max_epochs=10_000))
    wait_for(lambda: lines(tmp_path / "metrics.csv") > 1)
    group = process.pid
    process.kill()
    process.join()

    def none_left() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(none_left)


def test_a_loss_that_is_not_finite_is_told_as_on_one_device(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train/classification_loss.* not finite.*learning rate"):
        fit_on(2, made_data("utterance"), tmp_path, "model.optimiser.lr=1e30", max_epochs=50)
    assert not ranks_left()


class Rows(pl.loggers.CSVLogger):
    """Remembers what it is given, and by which process."""

    def __init__(self) -> None:
        self.given: list[tuple[int, dict[str, float]]] = []
        self.ended = ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.given.append((os.getpid(), metrics))

    def finalize(self, status: str) -> None:
        self.ended = status


def test_loggers_and_the_record_are_here_and_have_each_epoch_once(tmp_path: Path) -> None:
    data = made_data("utterance")
    model, logger = made_model("mlp", data), Rows()
    training = DDP(
        max_epochs=EPOCHS, accelerator="cpu", devices=2, runs_per_gpu=1, precision="32-true",
        threads=1, checkpoint_seconds=0, deterministic=True, patience=None, stopping=None,
    )  # fmt: skip
    best = training.fit(model, data, tmp_path / "checkpoints", [logger])
    assert [row["epoch"] for row in model.record] == list(range(EPOCHS))
    assert logger.given == [(os.getpid(), row) for row in model.record]
    assert best.score == max(row["val/ua"] for row in model.record)
    assert all(torch.equal(model.state_dict()[k], w) for k, w in best.weights.items())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"devices": 1}, "trainer=ddp: how many devices"),
        ({"threads": 2}, "trainer.threads=2: with trainer=ddp, 1 a device"),
        ({"accelerator": "gpu"}, "trainer.devices=2, and torch sees no GPU"),
        ({"devices": 9}, r"9 devices share batches of 18 .* here is one of 16"),
    ],
)
def test_devices_that_cannot_be_are_told(
    options: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=told):
        fit(made_data("utterance"), tmp_path, **{"kind": DDP, "devices": 2, **options})
    assert not ranks_left()


def test_a_process_that_has_used_a_gpu_is_not_forked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, answer in (("is_available", True), ("device_count", 2), ("is_initialized", True)):
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    with pytest.raises(UserError, match="run it apart from trainer=gpu"):
        fit_on(2, made_data("utterance"), tmp_path, accelerator="auto")


def test_asking_for_gpus_does_not_touch_them() -> None:
    """Lightning sets it; without it torch would ask CUDA itself, after which nothing can fork."""
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"


def test_each_rank_does_its_work_and_is_heard() -> None:
    def work(rank: int, tell: Callable) -> int:
        tell(f"from {rank}")
        return rank * rank

    heard: list[str] = []
    assert side_by_side(work, 3, heard.append) == [0, 1, 4]
    assert sorted(heard) == ["from 0", "from 1", "from 2"]


def test_what_goes_wrong_in_a_rank_is_raised_here() -> None:
    def failing(error: BaseException) -> Callable:
        def work(rank: int, tell: Callable) -> None:
            if rank:
                raise error
            time.sleep(60)

        return work

    with pytest.raises(UserError, match="^in plain words$"):
        side_by_side(failing(UserError("in plain words")), 2, print)
    with pytest.raises(OSError, match="No space") as full:
        side_by_side(failing(OSError(errno.ENOSPC, "No space", "/disk")), 2, print)
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, "/disk")
    with pytest.raises(RuntimeError, match=r"rank 1:\nTraceback[\s\S]*ZeroDivisionError: why"):
        side_by_side(failing(ZeroDivisionError("why")), 2, print)
    with pytest.raises(RuntimeError, match="rank 1 of this run ended with status 3"):
        side_by_side(lambda rank, tell: os._exit(3) if rank else time.sleep(60), 2, print)
    assert not ranks_left()


def test_a_rank_that_waits_for_a_killed_one_does_not_hide_why() -> None:
    def work(rank: int, tell: Callable) -> None:
        distributed.init_process_group("gloo", rank=rank, world_size=2)
        if rank:
            os.kill(os.getpid(), signal.SIGKILL)
        distributed.barrier()

    with pytest.raises(UserError, match="rank 1 of this run was killed"):
        side_by_side(work, 2, print)


def test_what_ranks_say_to_each_other() -> None:
    def work(rank: int, tell: Callable) -> Any:
        distributed.init_process_group("gloo", rank=rank, world_size=3)
        weight = ranks.weight(rank + 1, torch.device("cpu"))
        own = torch.tensor([1.0, rank])
        assert weight is not None
        told = ranks.count(), ranks.every(rank), ranks.total(own).tolist(), float(weight)
        assert own.tolist() == [1.0, rank]
        distributed.destroy_process_group()
        return told

    shared = (3, [0, 1, 2], [3.0, 3.0])
    assert side_by_side(work, 3, print) == [(*shared, 0.5), (*shared, 1.0), (*shared, 1.5)]
    alone = torch.tensor([1.0])
    assert (ranks.count(), ranks.every("it"), ranks.total(alone)) == (1, ["it"], alone)
    assert ranks.weight(5, torch.device("cpu")) is None
