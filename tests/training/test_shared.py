"""A training that is shared by two folds has the results of two trainings."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from processes import exit_codes, fork
from small import OF_MODEL, made_data, made_model, training

from ser.data.datamodule import DataModule
from ser.models.classifier import Classifier
from ser.training.phased import PhasedModel
from ser.training.prediction import predictions
from ser.training.shared import SharedTraining

KEYS = ("run-0", "run-1")
FILES = ("metrics.csv", "checkpoints/best.ckpt", "test.npy")


class Killed(BaseException):
    """Raised in place of a kill: not an `Exception`, so that nothing cleans up."""


def folds(level: str, **options: Any) -> tuple[DataModule, DataModule]:
    """Two folds that exchange validation and test split."""
    data = made_data(level, **options)
    fold = data.fold
    other = made_data(level, **options)
    other.fold = replace(fold, index=1, val=fold.test, test=fold.val)
    return data, other


def shared(pair: tuple[DataModule, DataModule], number: int, root: Path) -> SharedTraining:
    other = 1 - number
    return SharedTraining(root / "key", KEYS[number], pair[other].fold, KEYS[other])


def run(
    name: str, pair: tuple[DataModule, DataModule], number: int, root: Path, *, alone: bool = False
) -> Path:
    """Train one of two folds, and return its folder."""
    data, folder = pair[number], root / KEYS[number]
    model = made_model(name, data)
    trained_by = training()
    where = folder / "checkpoints"
    if alone:
        trained_by.fit(model, data, where, [])
    else:
        shared(pair, number, root / "fitted").fit(trained_by, model, data, where, [])
    np.save(folder / "test.npy", predictions(model, data, "test").numpy())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module", params=["mlp", "aae frames"])
def alone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[dict[str, bytes]]]:
    """Name of a model, and the files of two folds that are trained separately."""
    folder = tmp_path_factory.mktemp("alone")
    name = request.param
    pair = folds(OF_MODEL[name])
    return name, [contents(run(name, pair, number, folder, alone=True)) for number in (0, 1)]


def counted(monkeypatch: pytest.MonkeyPatch, kill_at: int | None = None) -> list[int]:
    """Count training steps, and stop before one of them."""
    count = [0]
    step = PhasedModel.training_step

    def counting(self: PhasedModel, batch: object, batch_idx: int) -> None:
        if count[0] == kill_at:
            raise Killed
        count[0] += 1
        step(self, batch, batch_idx)  # type: ignore[arg-type]

    monkeypatch.setattr(PhasedModel, "training_step", counting)
    return count


def test_second_fold_takes_what_the_first_has_trained(
    tmp_path: Path,
    alone: tuple[str, list[dict[str, bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, expected = alone
    pair = folds(OF_MODEL[name])
    assert contents(run(name, pair, 0, tmp_path)) == expected[0]
    steps = counted(monkeypatch)
    assert contents(run(name, pair, 1, tmp_path)) == expected[1]
    assert steps == [0]
    for number in (0, 1):
        shared(pair, number, tmp_path / "fitted").discard()
    assert not list((tmp_path / "fitted").iterdir())


@pytest.mark.parametrize("kind", ["value", "tasks", "soft"])
def test_values_tasks_and_shares_of_raters_are_shared(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = folds("utterance", kind=kind)
    expected = [contents(run("mlp", pair, n, tmp_path / "alone", alone=True)) for n in (0, 1)]
    assert expected[0] != expected[1]
    assert contents(run("mlp", pair, 0, tmp_path)) == expected[0]
    steps = counted(monkeypatch)
    assert contents(run("mlp", pair, 1, tmp_path)) == expected[1]
    assert steps == [0]


# Within an epoch, and at the end of one.
@pytest.mark.parametrize(("at", "resumed"), [(4, 0), (6, 1)])
def test_killed_training_is_continued_by_either_fold(
    at: int,
    resumed: int,
    tmp_path: Path,
    alone: tuple[str, list[dict[str, bytes]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name, expected = alone
    pair = folds(OF_MODEL[name])
    with monkeypatch.context() as patch:
        counted(patch, kill_at=at)
        with pytest.raises(Killed):
            run(name, pair, 0, tmp_path)
    torch.rand(at)  # another process starts with another random state
    with monkeypatch.context() as patch:
        steps = counted(patch)
        for number in (resumed, 1 - resumed):
            assert contents(run(name, pair, number, tmp_path)) == expected[number]
        assert steps == [12 - at]


def test_selection_depends_on_no_test_split(tmp_path: Path) -> None:
    """If the test split of a fold is replaced by noise, its own selection is bit-identical."""
    pair, noisy = folds("utterance"), folds("utterance", test_value=1e6)
    a, b = (run("aae", each, 0, tmp_path / name) for name, each in (("a", pair), ("b", noisy)))
    for name in ("metrics.csv", "checkpoints/best.ckpt"):
        assert (a / name).read_bytes() == (b / name).read_bytes()
    others = [torch.load(tmp_path / x / "fitted" / "key" / "run-1.ckpt") for x in "ab"]
    assert others[0]["record"] != others[1]["record"]


def test_folds_with_other_training_or_the_same_validation_are_refused(tmp_path: Path) -> None:
    pair = folds("utterance")
    pair[1].fold = replace(pair[1].fold, val=pair[0].fold.val)
    with pytest.raises(AssertionError):
        run("mlp", pair, 0, tmp_path)
    fold = pair[0].fold
    pair[1].fold = replace(fold, train=fold.train[1:], fit=fold.fit[1:], val=fold.test)
    with pytest.raises(AssertionError):
        run("mlp", pair, 0, tmp_path)


def test_validation_that_draws_random_numbers_is_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate: Callable = Classifier.validation_step

    def drawing(self: Classifier, batch: object, batch_idx: int) -> None:
        torch.rand(7)
        validate(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "validation_step", drawing, raising=False)
    pair = folds("utterance")
    for number in (0, 1):
        expected = contents(run("mlp", pair, number, tmp_path / "alone", alone=True))
        assert contents(run("mlp", pair, number, tmp_path)) == expected


def test_damaged_or_foreign_files_are_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = folds("utterance")
    expected = contents(run("mlp", pair, 1, tmp_path / "alone", alone=True))
    run("mlp", pair, 0, tmp_path)
    folder = tmp_path / "fitted" / "key"
    own = folder / "run-1.ckpt"
    own.write_bytes((folder / "run-0.ckpt").read_bytes())
    assert contents(run("mlp", pair, 1, tmp_path)) == expected
    assert "run-1.ckpt is of another run; it is trained again" in caplog.text
    own.write_bytes(own.read_bytes()[:-100])
    assert contents(run("mlp", pair, 1, tmp_path)) == expected
    assert "is damaged" in caplog.text


def test_training_of_one_fold_that_was_begun_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = folds("utterance")
    expected = contents(run("mlp", pair, 0, tmp_path / "alone", alone=True))
    with monkeypatch.context() as patch:
        counted(patch, kill_at=7)
        with pytest.raises(Killed):
            run("mlp", pair, 0, tmp_path, alone=True)
    steps = counted(monkeypatch)
    assert contents(run("mlp", pair, 0, tmp_path)) == expected
    assert steps == [5]
    assert not (tmp_path / "fitted").exists()


def test_two_processes_train_once(tmp_path: Path) -> None:
    pair = folds("utterance")
    processes = [fork(run_and_count, pair, number, tmp_path) for number in (0, 1)]
    assert exit_codes(*processes) == [0, 0]
    assert sorted((tmp_path / f"{number}.steps").read_text() for number in (0, 1)) == ["0", "12"]
    for number in (0, 1):
        expected = contents(run("mlp", pair, number, tmp_path / "alone", alone=True))
        assert contents(tmp_path / KEYS[number]) == expected


def run_and_count(pair: tuple[DataModule, DataModule], number: int, root: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        steps = counted(patch)
        run("mlp", pair, number, root)
    (root / f"{number}.steps").write_text(str(steps[0]))
