"""Spectrograms of noise, tones and silence, compared with numpy's Fourier transform."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from ser.corpora import audio
from ser.errors import UserError
from ser.features import Extractor
from ser.features.spectrogram import LogMel, LogSpectrum

ROOT = Path(__file__).parents[2]
RATE = 16000
NAMES = ("logmel80", "logmel40", "fft128", "fft513")


def configured(name: str) -> LogMel | LogSpectrum:
    return instantiate(OmegaConf.load(ROOT / "conf" / "features" / f"{name}.yaml"))


def tone(frequency: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def magnitude(signal: np.ndarray, frame: int) -> np.ndarray:
    """The definition in numpy: (T, 513) float64."""
    count = 1 + (len(signal) - frame) // 160
    frames = np.stack([signal[160 * t : 160 * t + frame] for t in range(count)])
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(frame) / frame)
    return np.abs(np.fft.rfft(frames * window, 1024))


@pytest.mark.parametrize(("name", "frame"), [("fft513", 320), ("fft128", 320)])
def test_spectrum_equals_the_definition(name: str, frame: int):
    signal = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    extractor = configured(name)
    logarithm = np.log(magnitude(signal, frame))
    at = np.geomspace(15.625, 8000, extractor.dim)
    expected = np.array([np.interp(at, np.arange(513) * 15.625, row) for row in logarithm])
    np.testing.assert_allclose(extractor(signal, RATE), expected, atol=5e-3)


@pytest.mark.parametrize(("name", "frame"), [("logmel80", 400), ("logmel40", 320)])
def test_bands_equal_the_definition(name: str, frame: int):
    signal = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    extractor = configured(name)
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), extractor.dim + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.arange(513) * 15.625
    triangles = np.stack(
        [
            np.interp(bins, edges[band : band + 3], [0, 1, 0], left=0, right=0)
            for band in range(extractor.dim)
        ],
        axis=1,
    )
    expected = np.log(magnitude(signal, frame) ** 2 @ triangles)
    np.testing.assert_allclose(extractor(signal, RATE), expected, atol=5e-3)
    assert np.linalg.matrix_rank(triangles) == extractor.dim  # no band depends on others


@pytest.mark.parametrize("name", NAMES)
def test_shape_level_and_columns(name: str):
    extractor = configured(name)
    frame = round(extractor.frame * RATE)
    for samples, frames in ((frame, 1), (frame + 159, 1), (frame + 160, 2), (16000, None)):
        values = extractor(tone(300)[:1].repeat(samples) + 0.1, RATE)
        assert values.dtype == np.float32
        assert values.shape == (frames or 1 + (samples - frame) // 160, extractor.dim)
    assert extractor.level == "frame"
    assert len(set(extractor.columns)) == extractor.dim


@pytest.mark.parametrize("axis", ["log", "linear"])
def test_a_tone_has_its_peak_at_its_frequency(axis):
    extractor = replace(configured("fft128"), axis=axis)
    for frequency in (250.0, 1000.0, 4000.0):
        peak = extractor(tone(frequency), RATE).mean(axis=0).argmax()
        nearest = np.abs(np.log(extractor.frequencies / frequency)).argmin()
        assert abs(int(peak) - int(nearest)) <= 1


def test_a_linear_axis_of_all_points_is_the_spectrum():
    plain = replace(configured("fft513"), axis="linear", low=0.0)
    signal = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    expected = np.log(magnitude(signal, 320))
    np.testing.assert_allclose(plain(signal, RATE), expected, atol=5e-3)


@pytest.mark.parametrize("name", NAMES)
def test_silence_gives_the_log_of_the_floor(name: str):
    extractor = configured(name)
    values = extractor(np.zeros(4000, np.float32), RATE)
    np.testing.assert_allclose(values, np.log(extractor.floor), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_bits_do_not_depend_on_the_number_of_threads(name: str, emodb_root: Path):
    extractor = configured(name)
    signal, rate = audio.read(min((emodb_root / "wav").glob("*.wav")))
    before = torch.get_num_threads()
    try:
        values = []
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            values.append(extractor(signal, rate))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_array_equal(values[0], values[2])
    assert np.isfinite(values[0]).all()


def test_other_rates_are_resampled():
    low, high = (configured("logmel40")(tone(500, 0.5, rate), rate) for rate in (RATE, 48000))
    assert low.shape == high.shape
    assert np.abs(low[5:-5, 5:15] - high[5:-5, 5:15]).max() < 0.05  # around the tone


@pytest.mark.parametrize("name", NAMES)
def test_unusable_signals_are_errors_with_a_reason(name: str):
    extractor: Extractor = configured(name)
    with pytest.raises(UserError, match=r"too short for one frame of 0\.02"):
        extractor(tone(300)[:319], RATE)
    with pytest.raises(UserError, match="not finite"):
        extractor(np.full(4000, np.nan, np.float32), RATE)


def test_signature_changes_with_every_parameter():
    one = configured("fft128")
    others = [
        replace(one, dim=129),
        replace(one, window="hann"),
        replace(one, frame=0.025),
        replace(one, hop=0.005),
        replace(one, points=2048),
        replace(one, low=50.0),
        replace(one, high=7000.0),
        replace(one, floor=1e-6),
        replace(one, axis="linear"),
        replace(one, rate=32000),
    ]
    signatures = {extractor.signature for extractor in (one, *others)}
    assert len(signatures) == len(others) + 1
    assert torch.__version__.split("+")[0] in one.signature


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"level": "utterance"}, "level"),
        ({"window": "kaiser"}, "hamming or hann"),
        ({"points": 256}, r"frame must have 1 to 256 samples \(points\), not 320"),
        ({"high": 9000.0}, "between 0 and 8000 Hz"),
        ({"low": 0.0}, "above 0 Hz"),
        ({"floor": 0.0}, "floor"),
        ({"hop": 0.0}, "hop"),
        ({"axis": "bark"}, "log or linear"),
        ({"dim": 0}, "dim"),
    ],
)
def test_a_wrong_config_is_an_error_that_names_the_right_value(wrong: dict, message: str):
    with pytest.raises(UserError, match=message):
        replace(configured("fft128"), **wrong)


def test_reading_stored_features_imports_no_torch():
    """Neither does creating an extractor or asking for its signature and columns."""
    code = (
        "import sys, ser.features.store, ser.features.opensmile, ser.features.spectrogram as s;"
        "e = s.LogMel('frame', 80, 16000, 'hamming', .025, .01, 512, 0., 8000., 1e-10);"
        "e.signature, e.columns; sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0
