"""Corruptions of speech do what they say, and the same to the same signal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from ser.errors import UserError
from ser.features.augmentation import Augmentation, Corrupted
from ser.features.corruptions import Corruption, Gain, Noise, OneOf, Reverb, Speed, Telephone
from ser.features.opensmile import OpenSmile
from ser.features.spectrogram import LogMel
from ser.features.store import Store

RATE = 16000
BANDS = LogMel("frame", 40, RATE, "hamming", 0.02, 0.01, 1024, 0.0, 8000.0, 1e-10)


def tone(hertz: float, seconds: float = 1.0, level: float = 0.1, rate: int = RATE) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def power(signal: np.ndarray) -> float:
    return float(np.mean(np.square(signal, dtype=np.float64)))


def band_power(signal: np.ndarray, low: float, high: float, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    frequencies = np.fft.rfftfreq(len(signal), 1 / rate)
    return float(spectrum[(frequencies >= low) & (frequencies < high)].sum())


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Two recordings, of another rate, one of them shorter than a second."""
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "hum.wav", tone(1000, 3.0, rate=8000), 8000)
    soundfile.write(tmp_path / "music" / "beep.flac", tone(1000, 0.3, rate=8000), 8000)
    (tmp_path / "readme.txt").touch()
    return tmp_path


@pytest.mark.parametrize("snr", [-5.0, 10.0])
@pytest.mark.parametrize("colour", ["white", "pink", "recorded"])
def test_noise_has_the_ratio_and_the_colour(colour: str, snr: float, recordings: Path) -> None:
    is_recorded = colour == "recorded"
    noise = Noise([snr, snr], "white", str(recordings)) if is_recorded else Noise(
        [snr, snr], colour, None  # type: ignore[arg-type]
    )  # fmt: skip
    signal = tone(440)
    noisy = noise(signal, RATE, random())
    assert noisy.dtype == np.float32
    added = noisy - signal
    assert 10 * np.log10(power(signal) / power(added)) == pytest.approx(snr, abs=0.01)
    octaves = [band_power(added, f, 2 * f) for f in (500, 1000, 2000, 4000)]
    if is_recorded:
        assert band_power(added, 950, 1050) > 0.9 * band_power(added, 0, 8000)
    elif colour == "pink":  # octaves of equal power
        np.testing.assert_allclose(octaves / np.mean(octaves), 1, atol=0.2)
    else:
        np.testing.assert_allclose(np.diff(np.log2(octaves)), 1, atol=0.2)


def test_ranges_are_drawn_and_loud_results_are_scaled_not_clipped() -> None:
    ratios = []
    for seed in range(40):
        noisy = Noise([0, 20], "white", None)(tone(440), RATE, random(seed))
        ratios.append(10 * np.log10(power(tone(440)) / power(noisy - tone(440))))
    assert min(ratios) < 3
    assert max(ratios) > 17
    loud = Noise([0, 0], "white", None)(tone(440, level=0.9), RATE, random())
    assert np.abs(loud).max() == 1.0
    assert (np.abs(loud) == 1.0).sum() == 1
    silence = np.zeros(1000, np.float32)
    for corruption in (Noise([0, 0], "white", None), Reverb([0.5, 0.5], [0, 0], None)):
        np.testing.assert_array_equal(corruption(silence, RATE, random()), silence)


def test_gain_and_speed() -> None:
    quiet = Gain([-20, -20])(tone(440), RATE, random())
    np.testing.assert_allclose(quiet, tone(440) / 10, rtol=1e-5)
    assert np.abs(Gain([40, 40])(tone(440), RATE, random())).max() == 1.0
    fast = Speed([1.25, 1.25])(tone(440), RATE, random())
    assert len(fast) == pytest.approx(RATE / 1.25, abs=1)
    peak = np.abs(np.fft.rfft(fast)).argmax() * RATE / len(fast)
    assert peak == pytest.approx(550, abs=2)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_telephone_passes_its_band_alone(rate: int) -> None:
    telephone = Telephone(300, 3400)
    for hertz, kept in ((1000, True), (60, False), (3900, False)):
        line = telephone(tone(hertz, rate=rate), rate, random())
        assert len(line) == rate
        share = band_power(line, 0.9 * hertz, 1.1 * hertz, rate)
        share /= band_power(tone(hertz, rate=rate), 0.9 * hertz, 1.1 * hertz, rate)
        assert (share > 0.9) if kept else (share < 0.05)
    wide = telephone(random().normal(0, 0.1, 44100).astype(np.float32), 44100, random())
    assert band_power(wide, 4200, 22050, 44100) < 1e-4 * band_power(wide, 0, 22050, 44100)


def test_reverberation_decays_as_asked(tmp_path: Path) -> None:
    click = np.zeros(RATE, np.float32)
    click[100] = 0.5
    wet = Reverb([0.4, 0.4], [5, 5], None)(click, RATE, random()).astype(np.float64)
    tail = wet[101:] ** 2
    assert 10 * np.log10(wet[100] ** 2 / tail.sum()) == pytest.approx(5, abs=0.1)
    # Power that remains after a time, by Schroeder: -60 dB after T60, so -30 dB after half of it.
    remains = 10 * np.log10(tail[round(0.2 * RATE) :].sum() / tail.sum())
    assert remains == pytest.approx(-30, abs=1.5)
    assert power(wet) == pytest.approx(power(click), rel=1e-5)
    assert np.abs(wet[:100]).max() < 1e-12
    response = np.zeros(800)
    response[[40, 440]] = 1.0, 0.5  # a delay before the direct sound, then an echo
    soundfile.write(tmp_path / "room.wav", response, RATE)
    echo = Reverb([0.4, 0.4], [5, 5], str(tmp_path))(click, RATE, random())
    assert np.flatnonzero(np.abs(echo) > 0.1).tolist() == [100, 500]


def kinds(folder: Path) -> list[Corruption]:
    return [
        Noise([5, 20], "white", None),
        Noise([5, 20], "pink", None),
        Noise([5, 20], "white", str(folder)),
        Gain([-10, 0]),
        Speed([0.9, 1.1]),
        Reverb([0.3, 0.9], [0, 10], None),
        Telephone(300, 3400),
    ]


def test_the_signature_identifies_the_options_and_the_recordings(recordings: Path) -> None:
    every = kinds(recordings)
    every += [OneOf(every[:2]), OneOf(every[1:3]), Noise([5, 21], "white", None)]
    signatures = [each.signature for each in every]
    assert len(set(signatures)) == len(every)
    assert max(map(len, signatures)) < 40
    again = Noise([5.0, 20], "pink", str(recordings)).signature
    assert again == Noise([5.0, 20], "white", str(recordings)).signature  # recorded
    (recordings / "hum.wav").rename(recordings / "other name.wav")
    assert Noise([5.0, 20], "white", str(recordings)).signature == again
    soundfile.write(recordings / "other name.wav", tone(1001, 3.0), RATE)
    assert Noise([5.0, 20], "white", str(recordings)).signature != again


def test_copies_depend_on_the_content_and_their_number_alone(recordings: Path) -> None:
    augmentation = Augmentation(2, **{f"kind_{n}": k for n, k in enumerate(kinds(recordings))})
    one, two = augmentation.extractors(BANDS)
    signal, other = tone(440), tone(441)
    first = one(signal, RATE)
    assert not np.array_equal(one(other, RATE), first)
    assert not np.array_equal(two(signal, RATE), first)
    np.testing.assert_array_equal(one(signal, RATE), first)  # whatever came before
    assert len({one.signature, two.signature, BANDS.signature}) == 3
    assert augmentation.signature != Augmentation(1, gain=Gain([-1, 0])).signature
    assert (one.level, one.dim, one.columns) == (BANDS.level, BANDS.dim, BANDS.columns)


def test_the_store_keeps_each_copy_of_each_output_of_a_pass(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(220, 0.8), RATE)
    columns = {"file": [str(tmp_path / "a.wav")], "start": np.nan, "end": np.nan}
    table = pd.DataFrame(columns, index=pd.Index(["a"]))
    functionals = OpenSmile("eGeMAPSv02", "func", "utterance", 88, RATE)
    frames = replace(functionals, output="lld", level="frame", dim=25)
    store = Store(tmp_path / "store", 1, Console(quiet=True))
    noise = Noise([0, 0], "white", None)
    first, again = (store.load(table, Corrupted(functionals, noise, 1), True) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)
    (report,) = store.fill(table, [Corrupted(frames, noise, 1)])
    assert (report.extracted, report.present) == (0, 1)  # of the pass for the functionals
    (report,) = store.fill(table, [Corrupted(frames, noise, 2)])
    assert report.extracted == 1
    clean = store.load(table, functionals, True)
    assert not np.array_equal(clean.values, first.values)


def test_wrong_options_are_errors(tmp_path: Path) -> None:
    for make, reason in (
        (lambda: Noise([20, 5], "white", None), r"snr=\[20, 5\]: must be \[lowest, highest\]"),
        (lambda: Speed([0.0, 1.0]), "factor=.*0.1 or more"),
        (lambda: Reverb([0.0, 1.0], [0, 1], None), "seconds=.*0.01 or more"),
        (lambda: Telephone(3400, 300), "low=3400 must be below high=300"),
        (lambda: Augmentation(0, gain=Gain([0, 0])), "one copy"),
        (lambda: Noise([0, 1], "white", "/nowhere").signature, "no such folder; .* of noise"),
        (lambda: Reverb([1, 1], [0, 1], str(tmp_path)).signature, "no recordings of impulse resp"),
    ):
        with pytest.raises(UserError, match=reason):
            make()
