"""Copies under another name are found; other takes of a sentence are not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from ser.audit.copies import candidates, correlate, find_copies
from ser.audit.fingerprint import landmarks, narrow
from ser.corpora import audio
from ser.corpora.emodb import emodb as read_emodb

RATE = 16000
Alter = Callable[[np.ndarray], np.ndarray]


def through_mp3(signal: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    soundfile.write(stream, signal, RATE, format="MP3", subtype="MPEG_LAYER_III")
    stream.seek(0)
    return soundfile.read(stream, dtype="float32")[0]


def through_8_khz(signal: np.ndarray) -> np.ndarray:
    return soxr.resample(soxr.resample(signal, RATE, 8000), 8000, RATE)


ALTERED: dict[str, Alter] = {
    "gain": lambda signal: 0.5 * signal,
    "inverted": lambda signal: -signal,
    "resampled": through_8_khz,
    "cut": lambda signal: signal[round(0.3 * RATE) :],
    "cut between frames": lambda signal: signal[4871:],
    "trailing silence": lambda signal: np.pad(signal, (0, RATE)),
    "lossy": through_mp3,
    "all": lambda signal: 0.5 * through_mp3(through_8_khz(signal)[4871:]),
}


@pytest.fixture(scope="module")
def takes(emodb_root: Path) -> pd.DataFrame:
    """All utterances of two speakers: sentences in several takes and emotions."""
    table = read_emodb(emodb_root).table
    return table[table["speaker"].isin(["03", "16"])]


def copies_of(table: pd.DataFrame) -> list:
    read = [narrow(*audio.read(Path(file))) for file in table["file"]]
    lengths = [len(signal) / 8000 for signal in read]
    recordings = pd.Series(
        [audio.sample_digest(Path(file)) for file in table["file"]], index=table.index
    )
    return find_copies(
        table.assign(duration=lengths), recordings, [landmarks(signal) for signal in read]
    )


def test_other_takes_of_a_sentence_are_no_copies(takes: pd.DataFrame) -> None:
    assert takes.groupby(["speaker", "text"]).size().max() > 5
    assert copies_of(takes) == []


@pytest.mark.parametrize("how", ALTERED)
def test_altered_copies_are_found(how: str, takes: pd.DataFrame, tmp_path: Path) -> None:
    signal, _ = audio.read(Path(takes.at["03a01Fa", "file"]))
    file = tmp_path / "copy.wav"
    soundfile.write(file, np.clip(ALTERED[how](signal), -1, 1), RATE, subtype="PCM_16")
    near = takes[takes["speaker"] == "03"].head(12)
    row = near.loc[["03a01Fa"]].assign(file=str(file)).rename({"03a01Fa": "copy"})
    (copy,) = copies_of(pd.concat([near, row]))
    assert copy.pair == ("03a01Fa", "copy")
    assert not copy.identical
    if "cut" in how:
        assert copy.shift == pytest.approx(0.3, abs=0.01)
    if how == "gain":
        assert copy.gain == pytest.approx(-6.02, abs=0.05)


def test_identical_samples_are_found_in_another_container(
    takes: pd.DataFrame, tmp_path: Path
) -> None:
    few = takes.head(3)
    samples, rate = soundfile.read(few.at[few.index[1], "file"], dtype="int16")
    soundfile.write(tmp_path / "same.flac", samples, rate)
    row = few.iloc[[1]].assign(file=str(tmp_path / "same.flac")).rename({few.index[1]: "same"})
    (copy,) = copies_of(pd.concat([few, row]))
    assert copy.identical
    assert copy.pair == (few.index[1], "same")
    assert copy.difference == "identical"


def test_excerpts_are_copies_only_if_they_overlap(takes: pd.DataFrame) -> None:
    file = takes.at["03a01Fa", "file"]
    index = pd.Index(["a", "b", "c"], name="utterance")
    table = pd.DataFrame(
        {
            "file": file,
            "start": [0.0, 0.5, 1.0],
            "end": [1.0, 1.5, 1.8],
            "duration": [1.0, 1.0, 0.8],
        },
        index=index,
    )
    recordings = pd.Series("same", index=index)
    empty = [np.empty((0, 2), np.int64)] * 3
    pairs = {copy.pair: copy.share for copy in find_copies(table, recordings, empty)}
    assert pairs == {("a", "b"): pytest.approx(0.5), ("b", "c"): pytest.approx(0.5)}


def test_correlation_of_shifted_signals() -> None:
    signal = np.random.default_rng(0).normal(size=4000)
    assert correlate(signal, -0.1 * signal[700:])[0] == 700
    assert correlate(signal, -0.1 * signal[700:])[1] == pytest.approx(-1)
    assert correlate(signal[700:], signal)[0] == -700
    assert abs(correlate(signal, np.random.default_rng(1).normal(size=4000))[1]) < 0.2
    assert correlate(signal, np.zeros(4000)) == (pytest.approx(0, abs=4000), 0.0)


def test_silence_and_short_signals_have_no_candidates() -> None:
    marks = [landmarks(np.zeros(8000, np.float32)), landmarks(np.ones(3, np.float32))]
    assert all(each.shape[1] == 2 for each in marks)
    assert candidates(marks) == []
    assert candidates([]) == []
