"""Damaged files of weights: discarded where training can begin anew, refused where it cannot."""

import logging
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small import fit, made_data

from ser.errors import UserError
from ser.training.checkpoints import LAST, load_checkpoint, save_atomically


def flip(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "flipped": lambda file: flip(file, file.stat().st_size // 2),
    "flipped pickle": lambda file: flip(file, file.read_bytes().index(b"weights")),
    "garbage": lambda file: file.write_bytes(bytes(range(256)) * 9),
    "pickle": lambda file: file.write_bytes(pickle.dumps({"weights": {}})),
    "other content": lambda file: save_atomically(file, {"weights": {}}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two epochs, whose last checkpoint is left."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    fit(made_data("utterance"), folder, max_epochs=2)
    return folder


@pytest.mark.parametrize("damage", [*DAMAGES, "swapped"])
def test_training_begins_anew_without_a_usable_checkpoint(
    damage: str, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = fit(made_data("utterance"), tmp_path / "whole", max_epochs=3)
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    last = run / "checkpoints" / LAST
    if damage == "swapped":
        shutil.copy(tmp_path / "whole" / "checkpoints" / LAST, last)
    else:
        DAMAGES[damage](last)
    with caplog.at_level(logging.WARNING):
        found = fit(made_data("utterance"), run, max_epochs=3)
    assert np.array_equal(found, expected)
    assert f"{last}" in caplog.text
    assert "training begins anew" in caplog.text


def test_a_checkpoint_of_the_same_training_is_continued(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    with caplog.at_level(logging.WARNING):
        fit(made_data("utterance"), run, max_epochs=3)
    assert "anew" not in caplog.text


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "other content"])
def test_damaged_weights_are_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    file = tmp_path / "best.ckpt"
    save_atomically(file, {"weights": {"a": torch.arange(2000.0)}})
    DAMAGES[damage](file)
    with pytest.raises(UserError, match=str(file)) as caught:
        load_checkpoint(file)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").mkdir()
    with pytest.raises(OSError, match="best"):
        save_atomically(tmp_path / "best.ckpt", {})
    assert [path.name for path in tmp_path.iterdir()] == ["best.ckpt"]
