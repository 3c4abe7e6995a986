"""The range of the training data: fitted on training and validation alone, and what it flags."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small import Composed, made_data

from ser.config import build
from ser.data.prepare import prepare
from ser.errors import UserError
from ser.inference.training_range import FILE, TrainingRange
from ser.results import RunFolder


@pytest.mark.parametrize("level", ["utterance", "frame"])
def test_it_does_not_depend_on_the_test_split(level: str, tmp_path: Path) -> None:
    for name, value in {"a": None, "b": 1e6}.items():
        TrainingRange.fit(made_data(level, test_value=value)).save(RunFolder(tmp_path / name))
    a, b = ((tmp_path / name / "checkpoints" / FILE).read_bytes() for name in "ab")
    assert a == b
    saved = TrainingRange.load(RunFolder(tmp_path / "a"))
    assert saved is not None
    assert len(saved.low) == {"utterance": 5, "frame": 10}[level]
    data = made_data(level, test_value=1e6)
    numbers = data.features.utterances.get_indexer(data.fold.test)
    offsets = data.features.offsets
    if offsets is None:
        assert (saved.distances(data.values[numbers], None) > 1).all()
    else:
        frames = data.values[offsets[numbers[0]] :]
        assert (saved.distances(frames, offsets[numbers[0] :] - offsets[numbers[0]]) > 1).all()


def test_the_range_follows_training_and_the_threshold_validation() -> None:
    data = made_data("utterance")
    fitted = TrainingRange.fit(data)
    train, val = data.values_of(data.fold.train), data.values_of(data.fold.val)
    assert (train.min(axis=0) <= fitted.low).all()
    assert (train.max(axis=0) >= fitted.high).all()
    # Ten utterances of validation: the threshold is their largest share.
    assert fitted.distances(val, None).max() <= 1
    data.features.values[data.features.utterances.get_indexer(data.fold.val)] *= 100
    moved = TrainingRange.fit(data)
    assert moved.threshold == 1
    np.testing.assert_array_equal(moved.low, fitted.low)
    # Without validation, training takes its place.
    data.fold = replace(data.fold, val=data.fold.val[:0])
    alone = TrainingRange.fit(data)
    assert 0 < (alone.distances(train, None) > 1).mean() <= 0.05 or alone.threshold >= 0.2
    np.testing.assert_array_equal(alone.low, fitted.low)


def test_constant_features_flag_what_differs() -> None:
    data = made_data("utterance")
    data.features.values[:] = 0.1
    fitted = TrainingRange.fit(data)
    assert fitted.threshold == 1 / 5
    assert list(fitted.distances(np.float32([[0.1] * 5, [0.2] * 5]), None)) == [0, 5]


def test_real_speech_of_other_speakers_is_near_and_noise_is_far(
    finished: Path, emodb: list[str], composed: Callable[..., Composed]
) -> None:
    saved = TrainingRange.load(RunFolder(finished))
    assert saved is not None
    cfg, _ = composed(*emodb)
    data = prepare(cfg).data
    flagged = {
        split: (saved.distances(data.values_of(ids), None) > 1).mean()
        for split, ids in data.fold.parts.items()
    }
    assert flagged["val"] <= 0.05
    assert flagged["train"] < 0.05
    assert flagged["test"] < 0.25  # one speaker
    rng, time = np.random.default_rng(0), np.arange(16000) / 16000
    sounds = (np.zeros(16000), rng.normal(0, 0.1, 16000), 0.5 * np.sin(2 * np.pi * 440 * time))
    extractor = build(cfg.features)
    values = np.stack([extractor(sound.astype(np.float32), 16000) for sound in sounds])
    assert (saved.distances(values, None) > 3).all()


def test_a_run_of_every_level_has_one(few: list[str], composed: Callable[..., Composed]) -> None:
    cfg, _ = composed(*few, "features=logmel40", "data.standardise=speaker", "fold=session")
    fitted = TrainingRange.fit(prepare(cfg).data)
    assert len(fitted.low) == 2 * build(cfg.features).dim
    assert 0 < fitted.threshold < 0.5


def test_a_damaged_file_is_one_line(finished: Path, tmp_path: Path) -> None:
    content = (finished / "checkpoints" / FILE).read_bytes()
    assert len(content) < 60_000
    folder = RunFolder(tmp_path)
    assert TrainingRange.load(folder) is None
    folder.checkpoints.mkdir()
    for damaged in (b"", content[: len(content) // 2], b"garbage", content.replace(b"low", b"LOW")):
        (folder.checkpoints / FILE).write_bytes(damaged)
        with pytest.raises(UserError, match="training_range.npz is damaged; train the run again"):
            TrainingRange.load(folder)
