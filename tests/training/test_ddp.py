"""One run in several processes (gloo, on the CPU): complete results, and no process left over."""

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
import warm
from small import EPOCHS, OF_MODEL, fit, made_data, made_model, training
from torch import distributed

from ser import results
from ser.data.datamodule import DataModule, View
from ser.errors import UserError
from ser.runs.run import run
from ser.training import ranks
from ser.training.ddp import DDP, run_ranks
from ser.training.phased import PhasedModel
from ser.training.trainer import Training

FORK = multiprocessing.get_context("fork")
ON_TWO = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu"]


def ranks_left() -> list[str]:
    """Names of this run's processes that are alive; other tests may have workers, too."""
    children = multiprocessing.active_children()
    return [child.name for child in children if child.name.startswith("rank ")]


def fit_on(devices: int, data: DataModule, folder: Path, *overrides: str, **options: Any) -> Any:
    return fit(data, folder, *overrides, kind=DDP, devices=devices, **options)


@pytest.mark.parametrize(("name", "devices"), [("mlp", 2), ("mlp", 3), ("cnn", 2)])
def test_several_ranks_have_the_result_of_one(name: str, devices: int, tmp_path: Path) -> None:
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


class Noting(torch.optim.SGD):
    """Notes the gradients of every step, and leaves the weights as they are."""

    notes: ClassVar[list[torch.Tensor]] = []

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        parameters = self.param_groups[0]["params"]
        self.notes.append(torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]))


@pytest.mark.parametrize(
    ("name", "fraction", "weights"),
    [("aae", 0.4, "balanced"), ("aae frames", 0.4, None), ("cnn", 1.0, "balanced")],
)
def test_gradients_of_several_ranks_are_those_of_one(
    name: str, fraction: float, weights: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each phase's loss is divided by its own number: of utterances, labelled ones, or frames.

    Ranks draw different samples of the priors, so the phases that use them are left out.
    """
    data = made_data("utterance" if name == "aae" else "frame")
    data = DataModule(
        data.features,
        replace(data.target, labelled_fraction=fraction),
        data.fold,
        data.speakers,
        data.seed,
        View(unlabelled=name != "cnn"),
        **{option: getattr(data, option) for option in ("max_frames", "standardise", "clip")},
        batch_size=13,
        class_weights=weights,
    )
    plain = ["model.encoder.dropout=0", "model.encoder.batch_norm=false"]
    if name != "cnn":
        encoder = f"networks.{OF_MODEL[name]}.encoder"
        plain = [f"{encoder}.dropout=0", "model.batch_norm=false"]
        plain += ["model.phases=[reconstruction,classification]"]
    one, several = gradients_of(name, data, plain, tmp_path, monkeypatch)
    assert len(one) == len(several) == 3 * (1 if name == "cnn" else 2)
    for expected, actual in zip(one, several, strict=True):
        assert (actual - expected).norm() < 1e-5 * expected.norm()


def gradients_of(
    name: str, data: DataModule, plain: list[str], folder: Path, patch: pytest.MonkeyPatch
) -> list[list[torch.Tensor]]:
    """Gradients of every step of an epoch, of one process and of two ranks."""
    patch.setattr(
        PhasedModel,
        "on_train_end",
        lambda self: torch.save(Noting.notes, folder / f"{self.global_rank}.pt"),
    )
    gradients = []
    for kind, devices in ((Training, 1), (DDP, 2)):
        Noting.notes.clear()
        model = made_model(name, data, *plain)
        model.optimiser = partial(Noting, lr=0.0)
        trainer = training(kind, devices=devices, max_epochs=1)
        trainer.fit(model, data, folder / f"{devices}" / "checkpoints", [])
        gradients.append(torch.load(folder / "0.pt", weights_only=True))
    return gradients


@pytest.mark.parametrize("kind", ["value", "tasks", "soft"])
def test_losses_of_values_and_tasks_are_those_of_the_whole_batch(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CCC of all values, and the mean over the labels of each task, whatever rank has them."""
    data = made_data("utterance", kind=kind)
    data.batch_size = 13
    plain = ["model.encoder.dropout=0", "model.encoder.batch_norm=false"]
    one, several = gradients_of("mlp", data, plain, tmp_path, monkeypatch)
    assert len(one) == len(several) == 3
    for expected, actual in zip(one, several, strict=True):
        assert (actual - expected).norm() < 1e-5 * expected.norm()
    first, second = (pd.read_csv(tmp_path / each / "metrics.csv") for each in "12")
    np.testing.assert_allclose(second, first, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aae", "aae frames"])
def test_each_utterance_is_validated_once(name: str, tmp_path: Path) -> None:
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
    recorded = metrics.iloc[best["epoch"]]
    expected = [row[c] for c in of_validation]
    np.testing.assert_allclose(recorded[of_validation], expected, rtol=1e-4, atol=1e-6)


def test_ranks_have_different_random_numbers_and_the_same_weights(
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
    expected = fit_on(2, made_data("utterance"), folder, name="aae")
    return expected, (folder / "metrics.csv").read_text()


# Within epochs, at their ends, and right after.
@pytest.mark.parametrize("at", [2, 3, 4, 11])
def test_run_with_a_killed_rank_resumes_with_the_same_result(
    at: int, tmp_path: Path, whole: tuple[np.ndarray, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, (expected, metrics) = made_data("utterance"), whole
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
    assert np.array_equal(fit_on(2, data, tmp_path, name="aae"), expected)
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


@pytest.mark.slow
def test_killed_run_resumes_with_byte_identical_results(
    emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    """Resumed by `train.py` itself: Hydra runs once, and each message is printed once."""
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
    process = warm.run([warm.TRAIN, *short, f"hydra.run.dir={killed}"], check=True)
    assert process.stdout.count("continuing from") == 1
    assert process.stdout.count("parameters") == 1
    assert process.stderr == ""
    for name in (results.PREDICTIONS, results.RESULT, results.METRICS):
        assert (killed / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    table = results.RunFolder(killed).read_predictions()
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


def test_infinite_loss_raises_the_same_error_as_on_one_device(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train/classification_loss.* not finite.*learning rate"):
        fit_on(2, made_data("utterance"), tmp_path, "model.optimiser.lr=1e30", max_epochs=50)
    assert not ranks_left()


class Rows(pl.loggers.CSVLogger):
    """Stores the rows that it receives, and the process."""

    def __init__(self) -> None:
        self.given: list[tuple[int, dict[str, float]]] = []
        self.ended = ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.given.append((os.getpid(), metrics))

    def finalize(self, status: str) -> None:
        self.ended = status


def test_loggers_and_record_have_each_epoch_once(tmp_path: Path) -> None:
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
    ("options", "message"),
    [
        ({"devices": 1}, "trainer=ddp needs trainer.devices=2"),
        ({"threads": 2}, "trainer.threads=2: trainer=ddp needs 1 per device"),
        ({"accelerator": "gpu"}, "trainer.devices=2: torch sees no GPU"),
        ({"devices": 9}, r"9 devices need .* at least 18 .* one has 16"),
    ],
)
def test_impossible_devices_raise_errors(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=message):
        fit(made_data("utterance"), tmp_path, **{"kind": DDP, "devices": 2, **options})
    assert not ranks_left()


def test_process_that_has_used_a_gpu_is_not_forked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ser.config.machine._has_driver", lambda: True)
    for name, answer in (("is_available", True), ("device_count", 2), ("is_initialized", True)):
        monkeypatch.setattr(torch.cuda, name, lambda answer=answer: answer)
    with pytest.raises(UserError, match="start it separately from runs with trainer=gpu"):
        fit_on(2, made_data("utterance"), tmp_path, accelerator="auto")


def test_counting_gpus_does_not_initialise_cuda() -> None:
    """Lightning sets it; otherwise torch would initialise CUDA, and the process could not fork."""
    assert os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] == "1"


def test_each_rank_returns_and_sends() -> None:
    def square(rank: int, send: Callable) -> int:
        send(f"from {rank}")
        return rank * rank

    received: list[str] = []
    assert run_ranks(square, 3, received.append) == [0, 1, 4]
    assert sorted(received) == ["from 0", "from 1", "from 2"]


def test_errors_of_ranks_are_raised() -> None:
    def failing(error: BaseException) -> Callable:
        def work(rank: int, send: Callable) -> None:
            if rank:
                raise error
            time.sleep(60)

        return work

    with pytest.raises(UserError, match="^in plain words$"):
        run_ranks(failing(UserError("in plain words")), 2, print)
    with pytest.raises(OSError, match="No space") as full:
        run_ranks(failing(OSError(errno.ENOSPC, "No space", "/disk")), 2, print)
    assert (full.value.errno, full.value.filename) == (errno.ENOSPC, "/disk")
    with pytest.raises(RuntimeError, match=r"rank 1:\nTraceback[\s\S]*ZeroDivisionError: why"):
        run_ranks(failing(ZeroDivisionError("why")), 2, print)
    with pytest.raises(RuntimeError, match="rank 1 of this run ended with status 3"):
        run_ranks(lambda rank, send: os._exit(3) if rank else time.sleep(60), 2, print)
    assert not ranks_left()


def test_killed_rank_is_named_when_another_rank_fails() -> None:
    def work(rank: int, send: Callable) -> None:
        distributed.init_process_group("gloo", rank=rank, world_size=2)
        if rank:
            os.kill(os.getpid(), signal.SIGKILL)
        distributed.barrier()

    with pytest.raises(UserError, match="rank 1 of this run was killed"):
        run_ranks(work, 2, print)


def test_collectives_over_ranks() -> None:
    def work(rank: int, send: Callable) -> Any:
        distributed.init_process_group("gloo", rank=rank, world_size=3)
        weights = ranks.weights([rank + 1, torch.tensor(0), None], torch.device("cpu"))
        own = torch.tensor([1.0, rank])
        results = ranks.count(), ranks.every(rank), ranks.total(own).tolist(), weights.tolist()
        assert own.tolist() == [1.0, rank]
        distributed.destroy_process_group()
        return results

    shared = (3, [0, 1, 2], [3.0, 3.0])
    expected = [(*shared, [weight, 0.0, 3.0]) for weight in (0.5, 1.0, 1.5)]
    assert run_ranks(work, 3, print) == expected
    alone = torch.tensor([1.0])
    assert (ranks.count(), ranks.every("it"), ranks.total(alone)) == (1, ["it"], alone)
