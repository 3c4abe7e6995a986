import numpy as np
import pytest

from ser.audit.acoustics import measure

RATE = 16000


def tone(seconds: float, amplitude: float = 0.5) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)


def test_measurements_of_a_tone_between_silences() -> None:
    noise = 1e-3 * np.random.default_rng(0).normal(size=3 * RATE)
    signal = noise + np.pad(tone(2), (round(0.3 * RATE), round(0.7 * RATE)))
    measured = measure(signal, RATE, "mono")
    assert measured.duration == pytest.approx(3)
    assert measured.level == pytest.approx(-9.03, abs=0.2)  # 0.5 / sqrt(2)
    assert measured.peak == pytest.approx(-6.02, abs=0.1)
    assert measured.noise == pytest.approx(-60, abs=1)
    assert measured.noise_high > measured.noise_low  # 7 of the 8 kHz of white noise
    assert measured.silence_start == pytest.approx(0.3, abs=0.02)
    assert measured.silence_end == pytest.approx(0.7, abs=0.03)
    assert measured.format == "16000 Hz, mono"


def test_bandwidth_is_that_of_the_content() -> None:
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=RATE))
    spectrum[3400:] = 0
    signal = np.fft.irfft(spectrum)
    assert measure(signal, RATE, "").bandwidth == pytest.approx(3400, abs=150)


@pytest.mark.parametrize("signal", [np.zeros(RATE), np.ones(1), np.zeros(1)])
def test_silence_and_one_sample_have_finite_measurements(signal: np.ndarray) -> None:
    measured = measure(signal, RATE, "")
    numbers = [value for value in vars(measured).values() if isinstance(value, float)]
    assert np.isfinite(numbers).all()
