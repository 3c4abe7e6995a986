"""Epochs of a representation in the loggers of a run."""

import csv
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from made import aae, classes_in, pca
from pytorch_lightning.loggers import Logger

from ser.training.phased import PhasedModel

X, Y = classes_in(6, 80)


class StoringLogger(Logger):
    """Stores what it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []
        self.ended: list[str] = []

    @property
    def name(self) -> str:
        return "storing"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("the run's own")

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, metrics))

    def finalize(self, status: str) -> None:
        self.ended.append(status)


def recorded(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """The rows of `metrics.csv`, as they are to be logged."""
    (path,) = folder.glob("*/metrics.csv")
    with path.open(newline="") as file:
        rows = [
            {f"representation/{k}": float(v) for k, v in r.items()} for r in csv.DictReader(file)
        ]
    return [(int(row["representation/epoch"]), row) for row in rows]


def test_each_epoch_is_logged_before_the_next_starts(tmp_path: Path) -> None:
    logger, before = StoringLogger(), []
    begin = PhasedModel.on_train_epoch_start

    def beginning(self: PhasedModel) -> None:
        before.append(len(logger.rows))
        begin(self)

    with mock.patch.object(PhasedModel, "on_train_epoch_start", beginning):
        aae(tmp_path).fit(X, Y, 2, loggers=[logger])
    assert before == [0, 1, 2]
    assert logger.rows == recorded(tmp_path)
    assert "representation/train/reconstruction_loss" in logger.rows[0][1]
    assert logger.ended == []  # the recogniser is trained next


def test_earlier_fit_is_logged(tmp_path: Path) -> None:
    aae(tmp_path).fit(X, Y, 2)
    logger = StoringLogger()
    aae(tmp_path).fit(X, Y, 2, loggers=[logger])
    assert len(logger.rows) == 3
    assert logger.rows == recorded(tmp_path)


def test_resumed_fit_is_logged_from_its_first_epoch(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    step, seen = PhasedModel.training_step, []

    def killing(self: PhasedModel, batch: object, number: int) -> None:
        if len(seen) == 5:  # batches; in the second epoch
            raise Killed
        seen.append(number)
        step(self, batch, number)  # type: ignore[arg-type]

    first, second = StoringLogger(), StoringLogger()
    with mock.patch.object(PhasedModel, "training_step", killing), pytest.raises(Killed):
        aae(tmp_path).fit(X, Y, 2, loggers=[first])
    assert [step for step, _ in first.rows] == [0]
    assert first.ended == ["failed"]
    aae(tmp_path).fit(X, Y, 2, loggers=[second])
    assert second.rows == recorded(tmp_path)


def test_projection_has_no_epochs(tmp_path: Path) -> None:
    logger = StoringLogger()
    pca(tmp_path).fit(X, Y, 2, loggers=[logger])
    assert logger.rows == []
