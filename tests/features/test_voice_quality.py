"""Voice quality of pulses whose source is known, of silence, noise, and real speech."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from glottis import RATE, VOWELS, Pulse, voice
from hydra.utils import instantiate
from joblib import Parallel, delayed
from omegaconf import OmegaConf
from scipy.linalg import solve_toeplitz

from ser.corpora import audio
from ser.errors import UserError
from ser.features import glottal, voice_quality
from ser.features.voice_quality import VoiceQuality

ROOT = Path(__file__).parents[2]
CONFIG = OmegaConf.load(ROOT / "conf" / "features" / "voice_quality.yaml")
EXTRACTOR: VoiceQuality = instantiate(CONFIG)
F0, VUV, NAQ, H1H2, SLOPE = range(5)
# Not 100, 150, 200 Hz, so that hops of 10 ms are no multiple of the period.
PITCHES = (101.0, 151.0, 199.0)
SHAPES = (0.5, 1.0, 1.5, 2.0, 2.5)  # Rd, tense to breathy


class Measured(NamedTuple):
    vowel: str
    pulse: Pulse
    frames: np.ndarray  # (T, D)

    def errors(self) -> tuple[float, float]:
        """Mean absolute errors of NAQ and H1-H2."""
        quotient = self.frames[:, NAQ] - self.pulse.amplitude_quotient
        difference = self.frames[:, H1H2] - self.pulse.harmonic_difference
        return float(np.abs(quotient).mean()), float(np.abs(difference).mean())


@pytest.fixture(scope="module")
def measured() -> list[Measured]:
    return [
        Measured(vowel, Pulse(rd, f0), EXTRACTOR(voice(Pulse(rd, f0), vowel, 0.6), RATE))
        for vowel in VOWELS
        for f0 in PITCHES
        for rd in SHAPES
    ]


def test_pulses_have_the_properties_that_fant_states():
    for rd in SHAPES:
        pulse = Pulse(rd, 100.0)
        derivative = pulse(np.arange(16000) / 1.6e6)
        assert abs(derivative.mean()) < 1e-4  # the flow returns
        assert derivative.min() == pytest.approx(-1, abs=1e-3)
        assert pulse.amplitude_quotient == pytest.approx(0.11 * rd, rel=0.12)
        assert pulse.harmonic_difference == pytest.approx(-7.6 + 11.1 * rd, abs=3.0)


@pytest.mark.parametrize("rd", SHAPES)
@pytest.mark.parametrize("f0", PITCHES)
def test_measures_of_a_source_without_vocal_tract_are_accurate(rd: float, f0: float):
    """Without inverse filtering, only the errors of the measures themselves remain."""
    pulse = Pulse(rd, f0)
    signal = voice(pulse, None).astype(float)
    derivative = np.stack([signal[start : start + 800] for start in range(0, 9000, 77)])
    source = glottal.Source(derivative.cumsum(axis=1), derivative)
    period = np.full(len(derivative), RATE / f0)
    quotients = glottal.amplitude_quotient(source, period)
    np.testing.assert_allclose(quotients, pulse.amplitude_quotient, rtol=0.15)
    assert quotients.mean() == pytest.approx(
        pulse.amplitude_quotient, rel=0.12
    )  # a rate of 16 kHz smooths the fall
    differences = glottal.harmonic_difference(source.derivative, np.full(len(period), f0), RATE)
    np.testing.assert_allclose(differences, pulse.harmonic_difference, atol=0.2)
    assert (glottal.skewness(source.derivative) < 0).all()


def test_predictors_solve_the_normal_equations():
    frames = np.random.default_rng(0).normal(size=(5, 400)).cumsum(axis=1) * np.hanning(400)
    for frame, coefficients in zip(frames, glottal.predictors(frames, 12), strict=True):
        correlation = np.correlate(frame, frame, "full")[399:412]
        expected = solve_toeplitz(correlation[:-1], correlation[1:])
        np.testing.assert_allclose(coefficients, [1, *-expected], atol=1e-6)


def test_f0_and_voicing_of_pulses_are_accurate(measured: list[Measured]):
    for _, pulse, frames in measured:
        assert (frames[:, VUV] == 1).all()
        np.testing.assert_allclose(frames[:, F0], pulse.f0, rtol=0.002)


# Mean and worst error over five Rd, slightly above those in `ser.features.voice_quality`.
@pytest.mark.parametrize(
    ("vowel", "f0", "quotient", "worst_quotient", "difference", "worst_difference"),
    [
        ("a", 101.0, 0.012, 0.020, 1.0, 2.0),
        ("a", 151.0, 0.012, 0.020, 1.0, 2.0),
        ("a", 199.0, 0.012, 0.020, 2.0, 2.5),
        ("i", 101.0, 0.020, 0.060, 4.0, 6.5),
        ("i", 151.0, 0.020, 0.040, 6.5, 11.0),
        ("i", 199.0, 0.060, 0.160, 10.0, 14.0),
    ],
)
def test_errors_on_vowels_are_as_documented(
    measured: list[Measured], vowel, f0, quotient, worst_quotient, difference, worst_difference
):
    errors = [m.errors() for m in measured if (m.vowel, m.pulse.f0) == (vowel, f0)]
    quotients, differences = zip(*errors, strict=True)
    assert len(errors) == len(SHAPES)
    assert np.mean(quotients) < quotient
    assert max(quotients) < worst_quotient
    assert np.mean(differences) < difference
    assert max(differences) < worst_difference


def test_breathiness_increases_quotient_and_difference(measured: list[Measured]):
    def mean(column: int, rd: float, vowel: str) -> float:
        chosen = [m.frames[:, column] for m in measured if (m.pulse.rd, m.vowel) == (rd, vowel)]
        return float(np.concatenate(chosen).mean())

    for vowel in VOWELS:
        assert (np.diff([mean(NAQ, rd, vowel) for rd in SHAPES]) > 0).all()
    assert (np.diff([mean(H1H2, rd, "a") for rd in SHAPES]) > 0).all()


def test_breathiness_decreases_peak_slope(measured: list[Measured]):
    for vowel in VOWELS:
        for f0 in PITCHES:
            slopes = [
                m.frames[:, SLOPE].mean() for m in measured if (m.vowel, m.pulse.f0) == (vowel, f0)
            ]
            assert (np.diff(slopes) < 0).all()


def test_silence_and_noise_are_unvoiced():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 5 * RATE).astype(np.float32)
    for signal in (np.zeros(RATE, np.float32), noise):
        values = EXTRACTOR(signal, RATE)
        assert (values[:, [F0, VUV, NAQ, H1H2]] == 0).all()
    assert (EXTRACTOR(np.zeros(RATE, np.float32), RATE)[:, SLOPE] == 0).all()
    slopes = EXTRACTOR(noise, RATE)[:, SLOPE]
    # A wavelet of twice the length passes twice the power of white noise: half of log10(2).
    assert slopes.mean() == pytest.approx(-0.5 * np.log10(2), abs=0.05)


def test_voicing_has_the_times_of_the_voice_between_silence_and_noise():
    noise = np.random.default_rng(0).normal(0, 0.05, RATE // 2).astype(np.float32)
    parts = [np.zeros(RATE // 2, np.float32), voice(Pulse(1.0, 151.0), "a", 0.5), noise]
    voiced = EXTRACTOR(np.concatenate(parts), RATE)[:, VUV]
    middles = 0.025 + 0.01 * np.arange(len(voiced))
    assert (voiced[(middles > 0.53) & (middles < 0.97)] == 1).all()
    assert (voiced[(middles < 0.47) | (middles > 1.03)] == 0).all()


def test_polarity_and_loudness_do_not_matter():
    signal = voice(Pulse(1.5, 151.0), "a", 0.4)
    np.testing.assert_array_equal(EXTRACTOR(-signal, RATE), EXTRACTOR(signal, RATE))
    soft = EXTRACTOR(signal / 8, RATE)[:, [F0, NAQ, H1H2, SLOPE]]
    loud = EXTRACTOR(signal, RATE)[:, [F0, NAQ, H1H2, SLOPE]]
    np.testing.assert_allclose(soft, loud, rtol=1e-4, atol=1e-4)


def test_cepstrum_is_computed_from_the_bands_in_the_middle_of_each_frame():
    signal = np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32)
    values = EXTRACTOR(signal, RATE)
    assert len(values) == 1 + (3000 - 800) // 160
    bands = np.arange(40)
    for frame, row in enumerate(values):
        middle = signal[160 * frame + 200 : 160 * frame + 600]
        (mel,) = EXTRACTOR.mel(middle, RATE)
        waves = np.cos(np.pi * np.arange(25)[:, None] * (bands + 0.5) / 40) * np.sqrt(2 / 40)
        waves[0] /= np.sqrt(2)
        np.testing.assert_allclose(row[5:], waves @ mel, atol=1e-4)


def test_shape_level_and_columns():
    signal = voice(Pulse(1.0, 151.0), "a", 0.2)
    for samples, frames in ((800, 1), (959, 1), (960, 2)):
        values = EXTRACTOR(signal[:samples], RATE)
        assert values.dtype == np.float32
        assert values.shape == (frames, 30)
        assert (values[:, VUV] == 1).all()
    assert EXTRACTOR.level == "frame"
    assert EXTRACTOR.columns[:6] == ("F0", "VUV", "NAQ", "H1H2", "peakSlope", "MFCC_0")
    assert EXTRACTOR.columns[-1] == "MFCC_24"


def test_other_rates_are_resampled():
    pulse = Pulse(1.0, 151.0)
    signal = voice(pulse, "a", 0.4)
    twice = np.repeat(signal, 3)  # crude, but the same voice below 4 kHz
    values = EXTRACTOR(twice, 3 * RATE)
    assert values.shape == EXTRACTOR(signal, RATE).shape
    np.testing.assert_allclose(values[:, F0], 151.0, rtol=0.005)


def test_unusable_signals_are_errors_with_a_reason():
    with pytest.raises(UserError, match=r"too short for one frame of 0\.05 s: 0\.050 s"):
        EXTRACTOR(voice(Pulse(1.0, 151.0), "a", 0.1)[:799], RATE)
    with pytest.raises(UserError, match="not finite"):
        EXTRACTOR(np.full(4000, np.nan, np.float32), RATE)


@pytest.mark.slow
def test_bits_do_not_depend_on_threads_processes_or_blocks(monkeypatch):
    signals = [
        voice(Pulse(rd, f0), vowel, 0.5)
        for rd, f0, vowel in ((0.7, 101.0, "a"), (1.2, 151.0, "i"), (2.0, 199.0, "a")) * 3
    ]
    expected = [EXTRACTOR(signal, RATE) for signal in signals]
    with ThreadPoolExecutor(2) as executor:
        threads = list(executor.map(lambda signal: EXTRACTOR(signal, RATE), signals))
    tasks = (delayed(EXTRACTOR)(signal, RATE) for signal in signals[:3])
    processes = Parallel(2, backend="loky")(tasks)
    monkeypatch.setattr(voice_quality, "BLOCK", 7)
    blocks = [EXTRACTOR(signal, RATE) for signal in signals[:3]]
    for results in (threads, processes, blocks):
        for values, reference in zip(results, expected, strict=False):
            np.testing.assert_array_equal(values, reference)


def test_signature_depends_on_every_parameter_and_can_name_a_folder():
    changes: dict = {
        "dim": 31,
        "rate": 32000,
        "frame": 0.06,
        "hop": 0.02,
        "f0_low": 70.0,
        "f0_high": 400.0,
        "silence": 0.02,
        "voicing": 0.5,
        "highpass": 20.0,
        "periods": 2.5,
        "tract": 20,
        "glottis": 6,
        "leak": 0.98,
        "octaves": 6,
        "floor": 1e-6,
        "coefficients": 13,
    }
    others = []
    for name, value in changes.items():
        mel = {name: value} if name in ("rate", "hop") else {}
        others.append(replace(EXTRACTOR, **{name: value}, mel=replace(EXTRACTOR.mel, **mel)))
    others.append(replace(EXTRACTOR, mel=replace(EXTRACTOR.mel, window="hann")))
    signatures = {extractor.signature for extractor in (EXTRACTOR, *others)}
    assert len(signatures) == len(changes) + 2
    assert all("parselmouth-" in each and len(each) < 200 for each in signatures)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"level": "utterance"}, "level"),
        ({"hop": 0.0}, "hop"),
        ({"f0_low": 600.0}, "f0_low must be below f0_high"),
        ({"frame": 0.04}, r"at least 3 periods of f0_low: 0\.050 s"),
        ({"highpass": 80.0}, "highpass"),
        ({"periods": 4.0}, "periods"),
        ({"tract": 0}, "tract"),
        ({"leak": 1.0}, "leak"),
        ({"octaves": 1}, "octaves"),
        ({"floor": 0.0}, "floor"),
        ({"coefficients": 41}, "the 40 bands"),
        ({"hop": 0.02}, "same rate and hop"),
    ],
)
def test_a_wrong_config_is_an_error_that_names_the_right_value(wrong: dict, message: str):
    with pytest.raises(UserError, match=message):
        replace(EXTRACTOR, **wrong)


def test_a_wrong_dim_is_an_error_that_names_the_right_value():
    with pytest.raises(UserError, match="has 30 columns, but the config says dim: 29"):
        _ = replace(EXTRACTOR, dim=29).columns


def test_without_praat_the_error_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "parselmouth", None)
    extractor: VoiceQuality = instantiate(CONFIG)
    with pytest.raises(UserError, match=r'pip install -e "\.\[voice\]"'):
        _ = extractor.signature


def test_values_on_real_speech_are_plausible(emodb_root: Path):
    """Two sentences of each of EMO-DB's ten speakers."""
    women = {"08", "09", "13", "14", "16"}
    files: dict[str, list[Path]] = {}
    for file in sorted((emodb_root / "wav").glob("*.wav")):
        files.setdefault(file.name[:2], []).append(file)
    assert len(files) == 10
    for speaker, spoken in files.items():
        neutral = [file for file in spoken if file.name[5] == "N"][:2]
        values = np.concatenate([EXTRACTOR(*audio.read(file)) for file in neutral])
        assert np.isfinite(values).all()
        voiced = values[values[:, VUV] == 1]
        assert 0.3 < len(voiced) / len(values) < 0.9
        low, high = (145, 260) if speaker in women else (80, 165)
        assert low < np.median(voiced[:, F0]) < high
        assert 0.05 < np.median(voiced[:, NAQ]) < 0.3
        assert -0.6 < np.median(voiced[:, SLOPE]) < 0
        unvoiced = values[values[:, VUV] == 0]
        assert (unvoiced[:, [F0, NAQ, H1H2]] == 0).all()


def test_anger_is_tenser_than_sadness(emodb_root: Path):
    """A tense voice has a lower quotient and a flatter spectrum."""

    def medians(letter: str) -> np.ndarray:
        files = sorted((emodb_root / "wav").glob(f"*{letter}?.wav"))[::10]
        values = np.concatenate([EXTRACTOR(*audio.read(file)) for file in files])
        return np.median(values[values[:, VUV] == 1], axis=0)

    anger, sadness = medians("W"), medians("T")
    assert anger[NAQ] < sadness[NAQ] - 0.03
    assert anger[H1H2] < sadness[H1H2] - 3
    assert anger[SLOPE] > sadness[SLOPE] + 0.1
