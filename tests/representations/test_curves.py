"""Epochs of a representation in the loggers of the run that needs it."""

import csv
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from made import aae, classes_in, pca
from pytorch_lightning.loggers import Logger

from ser.training.phased import PhasedModel

X, Y = classes_in(6, 80)


class Kept(Logger):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []
        self.ended: list[str] = []

    @property
    def name(self) -> str:
        return "kept"

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
    """What `metrics.csv` says, as it is to be told."""
    (path,) = folder.glob("*/metrics.csv")
    with path.open(newline="") as file:
        rows = [
            {f"representation/{k}": float(v) for k, v in r.items()} for r in csv.DictReader(file)
        ]
    return [(int(row["representation/epoch"]), row) for row in rows]


def test_each_epoch_is_told_before_the_next_begins(tmp_path: Path) -> None:
    kept, known = Kept(), []
    begin = PhasedModel.on_train_epoch_start

    def beginning(self: PhasedModel) -> None:
        known.append(len(kept.rows))
        begin(self)

    with mock.patch.object(PhasedModel, "on_train_epoch_start", beginning):
        aae(tmp_path).fit(X, Y, 2, loggers=[kept])
    assert known == [0, 1, 2]
    assert kept.rows == recorded(tmp_path)
    assert "representation/train/reconstruction_loss" in kept.rows[0][1]
    assert kept.ended == []  # the recogniser is still to come


def test_what_is_found_ready_is_told_all_the_same(tmp_path: Path) -> None:
    aae(tmp_path).fit(X, Y, 2)
    kept = Kept()
    aae(tmp_path).fit(X, Y, 2, loggers=[kept])
    assert len(kept.rows) == 3
    assert kept.rows == recorded(tmp_path)


def test_a_fit_that_goes_on_is_told_from_its_beginning(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    step, seen = PhasedModel.training_step, []

    def killing(self: PhasedModel, batch: object, number: int) -> None:
        if len(seen) == 5:  # batches; in the second epoch
            raise Killed
        seen.append(number)
        step(self, batch, number)  # type: ignore[arg-type]

    first, second = Kept(), Kept()
    with mock.patch.object(PhasedModel, "training_step", killing), pytest.raises(Killed):
        aae(tmp_path).fit(X, Y, 2, loggers=[first])
    assert [step for step, _ in first.rows] == [0]
    assert first.ended == ["failed"]
    aae(tmp_path).fit(X, Y, 2, loggers=[second])
    assert second.rows == recorded(tmp_path)


def test_a_projection_has_no_epochs(tmp_path: Path) -> None:
    kept = Kept()
    pca(tmp_path).fit(X, Y, 2, loggers=[kept])
    assert kept.rows == []
