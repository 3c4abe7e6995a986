"""The same samples are found in another container and under another name."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from ser.corpora import audio
from ser.features.store import Store


def test_recordings_are_identified_by_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, (2, 800)).astype(np.int16)
    for name, signal, rate in (
        ("a.wav", noise[0], 16000),
        ("b.flac", noise[0], 16000),
        ("c.wav", np.stack([noise[0]] * 2, axis=1), 16000),
        ("other.wav", noise[1], 16000),
        ("rate.wav", noise[0], 8000),
    ):
        soundfile.write(tmp_path / name, signal, rate)
    (tmp_path / "empty.wav").touch()
    files = sorted(str(file) for file in tmp_path.iterdir())
    table = pd.DataFrame({"file": files, "start": np.nan, "end": np.nan})
    table.index = pd.Index([Path(file).name for file in files])
    store = Store(tmp_path / "store")
    first = store.recordings(table)
    assert sorted(first.index) == ["a.wav", "b.flac", "c.wav", "other.wav", "rate.wav"]
    assert first["a.wav"] == first["b.flac"] == first["c.wav"]
    assert first.nunique() == 3
    cache = tmp_path / "store" / "samples.json"
    entries = json.loads(cache.read_text())
    with monkeypatch.context() as patch:
        patch.setattr(audio, "sample_digest", lambda file: pytest.fail(f"{file} is decoded again"))
        assert store.recordings(table.drop("empty.wav")).equals(first)
    for content in entries:
        entries[content][0] = "0" * 32
    for damaged in (json.dumps(entries), "", "[]", "{}", '{"a": null}'):
        cache.write_text(damaged)
        assert store.recordings(table).equals(first)
