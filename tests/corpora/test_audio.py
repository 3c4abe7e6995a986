import math
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.corpora import audio

RATE = 16000


@pytest.fixture
def signal() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, RATE)


@pytest.fixture
def file(tmp_path: Path, signal: np.ndarray) -> Path:
    """One second of noise, PCM16 mono."""
    soundfile.write(tmp_path / "noise.wav", signal, RATE, subtype="PCM_16")
    return tmp_path / "noise.wav"


def test_read_returns_the_samples_that_were_written(file: Path, signal: np.ndarray) -> None:
    samples, rate = audio.read(file)
    assert rate == RATE
    assert samples.dtype == np.float32
    assert samples.shape == (RATE,)
    np.testing.assert_allclose(samples, signal, atol=1 / 32768)


def test_channels_are_averaged(tmp_path: Path, signal: np.ndarray) -> None:
    stereo = np.stack([signal, -0.5 * signal], axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 48000, subtype="FLOAT")
    samples, rate = audio.read(tmp_path / "stereo.wav")
    assert rate == 48000
    np.testing.assert_allclose(samples, 0.25 * signal, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, slice(0, 16000)),
        (math.nan, math.nan, slice(0, 16000)),
        (0.25, None, slice(4000, 16000)),
        (math.nan, 0.25, slice(0, 4000)),
        (0.25, 0.5, slice(4000, 8000)),
        (0.25, 1.004, slice(4000, 16000)),  # as if rounded to hundredths by an annotator
    ],
)
def test_start_and_end_select_samples(
    file: Path, start: float | None, end: float | None, expected: slice
) -> None:
    whole, _ = audio.read(file)
    part, _ = audio.read(file, start, end)
    assert np.array_equal(part, whole[expected])


@pytest.mark.parametrize(
    ("start", "end"),
    [(-0.1, None), (0.5, 0.5), (0.6, 0.5), (1.0, None), (None, 1.1), (2.0, 3.0), (0, math.inf)],
)
def test_times_outside_the_file_are_an_error(
    file: Path, start: float | None, end: float | None
) -> None:
    with pytest.raises(audio.AudioError, match=r"noise\.wav: start .* are not within its 1 s"):
        audio.read(file, start, end)


def test_a_part_shorter_than_a_sample_is_an_error(file: Path) -> None:
    with pytest.raises(audio.AudioError, match="empty: no sample from start"):
        audio.read(file, 0.5, 0.500001)


@pytest.mark.parametrize("absent", [1, 2, 20000])
def test_a_truncated_file_is_an_error_although_soundfile_reads_it(file: Path, absent: int) -> None:
    file.write_bytes(file.read_bytes()[:-absent])
    assert len(soundfile.read(file)[0]) < RATE  # no error there
    for times in ((None, None), (0.0, 0.1)):
        with pytest.raises(
            audio.AudioError, match=rf"noise\.wav: truncated: {absent} bytes fewer than"
        ):
            audio.read(file, *times)


def test_other_chunks_of_a_wav_file_are_skipped(file: Path) -> None:
    expected, _ = audio.read(file)
    content = file.read_bytes()
    odd = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"  # padded to an even length
    body = content[12:36] + odd + content[36:] + odd
    file.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body)
    assert np.array_equal(audio.read(file)[0], expected)
    file.write_bytes(file.read_bytes()[: -len(odd) - 2])
    with pytest.raises(audio.AudioError, match="truncated: 2 bytes"):
        audio.read(file)


def test_a_streamed_wav_of_unknown_length_is_complete(file: Path) -> None:
    content = file.read_bytes()
    assert content[36:40] == b"data"
    file.write_bytes(content[:40] + struct.pack("<I", 0xFFFFFFFF) + content[44:])
    assert len(audio.read(file)[0]) == RATE


@pytest.mark.parametrize("kind", ["flac", "mp3"])
def test_other_formats_are_read_unless_truncated(
    tmp_path: Path, signal: np.ndarray, kind: str
) -> None:
    file = tmp_path / f"noise.{kind}"
    soundfile.write(file, signal, RATE)
    samples, _ = audio.read(file)
    assert samples.shape == (RATE,)
    assert np.abs(samples).max() <= 1
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(audio.AudioError, match=r"truncated|unreadable"):
        audio.read(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty: a file of 0 bytes"),
        (b"<html>not found</html>", "unreadable as audio"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", "unreadable as audio"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
    ],
)
def test_a_file_that_is_not_audio_is_an_error(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(audio.AudioError, match=rf"bad\.wav: {reason}"):
        audio.read(tmp_path / "bad.wav")


def test_an_empty_or_missing_file_or_a_folder_is_an_error(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    for name, reason in (("none.wav", "empty"), ("no.wav", "missing"), (".", "is a folder")):
        with pytest.raises(audio.AudioError, match=reason):
            audio.read(tmp_path / name)
    with pytest.raises(audio.AudioError, match=r"no\.wav: missing"):
        audio.digest(tmp_path / "no.wav")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_samples_that_are_not_finite_are_an_error(
    tmp_path: Path, signal: np.ndarray, bad: float
) -> None:
    signal[123] = bad
    soundfile.write(tmp_path / "bad.wav", signal, RATE, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match="not finite"):
        audio.read(tmp_path / "bad.wav")


def test_slight_overshoot_is_clipped_and_unscaled_samples_are_an_error(
    tmp_path: Path, signal: np.ndarray
) -> None:
    soundfile.write(tmp_path / "over.wav", 2.4 * signal, RATE, subtype="FLOAT")
    samples, _ = audio.read(tmp_path / "over.wav")
    np.testing.assert_allclose(samples, np.clip(2.4 * signal, -1, 1), atol=1e-6)
    soundfile.write(tmp_path / "raw.wav", 32768 * signal, RATE, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match="must be between -1 and 1"):
        audio.read(tmp_path / "raw.wav")


def test_digest_depends_on_the_content_only(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.wav"
    copy.write_bytes(file.read_bytes())
    assert audio.digest(copy) == audio.digest(file)
    assert len(audio.digest(file)) == 32
    copy.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    assert audio.digest(copy) != audio.digest(file)


def test_inspect_returns_the_properties_of_a_part(tmp_path: Path, signal: np.ndarray) -> None:
    stereo = np.stack([signal, np.zeros(RATE)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="FLOAT")
    info = audio.inspect(tmp_path / "a.wav", 0.25, 0.75)
    assert (info.rate, info.channels, info.duration) == (RATE, 2, 0.5)
    assert info.peak == pytest.approx(np.abs(signal[4000:12000]).max())
    assert not info.silent
    assert not info.clipped
    assert info.fault is None
    assert "missing" in (audio.inspect(tmp_path / "b.wav").fault or "")


@pytest.mark.parametrize(("run", "clipped"), [(2, False), (3, True)])
def test_clipped_means_consecutive_samples_at_full_scale_in_one_channel(
    tmp_path: Path, signal: np.ndarray, run: int, clipped: bool
) -> None:
    signal[100 : 100 + run] = 1.0
    signal[-run:] = -1.0
    stereo = np.stack([np.zeros(RATE), signal], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, subtype="PCM_16")
    assert audio.inspect(tmp_path / "a.wav").clipped == clipped


@pytest.mark.parametrize(("peak", "silent"), [(0.0, True), (0.0009, True), (0.0011, False)])
def test_silent_means_below_60_db(tmp_path: Path, peak: float, silent: bool) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(RATE, peak), RATE, subtype="FLOAT")
    assert audio.inspect(tmp_path / "a.wav").silent == silent


def test_an_error_can_be_pickled() -> None:
    error = audio.AudioError(Path("a.wav"), "truncated")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.file, copy.reason) == (str(error), error.file, error.reason)


def test_real_speech_is_read(emodb_root: Path) -> None:
    file = next(emodb_root.rglob("03a01Fa.wav"))
    samples, rate = audio.read(file)
    assert rate == RATE
    assert 1 < len(samples) / rate < 10
    assert 0.05 < np.abs(samples).max() <= 1


def test_duration_comes_from_the_header(tmp_path: Path) -> None:
    sound = tmp_path / "a.flac"
    soundfile.write(sound, np.zeros(8000 * 60), 8000)
    assert audio.duration(sound) == 60.0
    for name, content, reason in (
        ("empty.wav", b"", "0 bytes"),
        ("text.wav", b"no audio at all", "unreadable as audio"),
        ("raw.raw", bytes(100), "unreadable as audio"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(audio.AudioError, match=reason):
            audio.duration(tmp_path / name)
    with pytest.raises(audio.AudioError, match="missing"):
        audio.duration(tmp_path / "absent.wav")


def test_a_codec_without_seeking_can_be_read_in_parts(tmp_path: Path) -> None:
    signal = 0.3 * np.sin(np.arange(16000) / 10)
    soundfile.write(tmp_path / "gsm.wav", signal, 8000, "GSM610")
    whole, _ = audio.read(tmp_path / "gsm.wav")
    part, rate = audio.read(tmp_path / "gsm.wav", 0.5, 1.0)
    assert len(whole) >= 16000
    assert np.array_equal(part, whole[rate // 2 : rate])


def test_names_that_are_not_valid_text_can_be_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(10), 8000)
    name = tmp_path / os.fsdecode(b"latin-1 \xe4.wav")
    (tmp_path / "a.wav").rename(name)
    assert len(audio.read(name)[0]) == 10
