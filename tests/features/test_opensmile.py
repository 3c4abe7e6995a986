"""openSMILE itself, on real speech and on signals with a known fault."""

import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import opensmile
import pytest
import soxr

from ser.corpora import audio
from ser.errors import UserError
from ser.features import opensmile as ours
from ser.features.opensmile import CONFIGS, OpenSmile

RATE = 16000
FUNCTIONALS = OpenSmile("ComParE_2016", "func", "utterance", 6373, RATE)
DESCRIPTORS = OpenSmile("ComParE_2016", "lld", "frame", 65, RATE)
SETS = [
    ("ComParE_2016", 6373, 65),
    ("IS13", 6373, 65),
    ("IS10", 1582, 38),
    ("eGeMAPSv02", 88, 25),
]


def voice(seconds: float = 0.6, rate: int = RATE) -> np.ndarray:
    """A buzz with vibrato and noise: voiced enough for pitch, jitter and shimmer."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (140 * time + 3 * np.sin(2 * np.pi * 3 * time))
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    noise = np.random.default_rng(0).normal(size=len(time))
    return (0.2 * buzz + 0.005 * noise).astype(np.float32)


def alone(name: str, level: str, signal: np.ndarray) -> np.ndarray:
    """What the opensmile package gives: (D,) or (T, D)."""
    smile = opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel(level))
    values = smile(signal, RATE)[0].T
    return values[0] if level == "func" else values


def whole_levels(signal: np.ndarray) -> np.ndarray:
    """A signal whose samples lie on 16-bit levels, as those read from a PCM file do."""
    return (np.rint(signal * 32768) / 32768).astype(np.float32)


@pytest.mark.parametrize(("name", "functionals", "descriptors"), SETS)
def test_one_pass_gives_the_bits_of_the_package(name, functionals, descriptors):
    signal = whole_levels(voice())
    func = OpenSmile(name, "func", "utterance", functionals, RATE)
    lld = OpenSmile(name, "lld", "frame", descriptors, RATE)
    both = func.together(signal, RATE)
    assert list(both) == [func.signature, lld.signature]
    np.testing.assert_array_equal(both[func.signature], alone(name, "func", signal))
    np.testing.assert_array_equal(both[lld.signature], alone(name, "lld", signal))
    assert both[func.signature].dtype == np.float32
    assert both[lld.signature].shape[1] == descriptors


def test_real_speech_gives_the_bits_of_the_package(emodb_root: Path):
    for file in sorted((emodb_root / "wav").glob("*.wav"))[::90]:
        signal, rate = audio.read(file)
        np.testing.assert_array_equal(
            FUNCTIONALS(signal, rate), alone("ComParE_2016", "func", signal)
        )
        np.testing.assert_array_equal(
            DESCRIPTORS(signal, rate), alone("ComParE_2016", "lld", signal)
        )


def test_columns_are_those_of_the_package():
    for extractor, level in ((FUNCTIONALS, "func"), (DESCRIPTORS, "lld")):
        smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel(level))
        assert list(extractor.columns) == smile.feature_names


def test_threads_and_processes_give_the_same_bits():
    signals = [whole_levels(voice(0.3 + 0.05 * i)) for i in range(12)]
    expected = [FUNCTIONALS(signal, RATE) for signal in signals]
    rates = [RATE] * len(signals)
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(FUNCTIONALS, signals, rates))
        np.testing.assert_array_equal(found, expected)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        found = list(processes.map(FUNCTIONALS, signals, rates))
        np.testing.assert_array_equal(found, expected)


def test_deltas_and_a_config_file_by_its_path():
    signal = whole_levels(voice())
    deltas = OpenSmile("ComParE_2016", "lld_de", "frame", 65, RATE)
    np.testing.assert_array_equal(deltas(signal, RATE), alone("ComParE_2016", "lld_de", signal))
    path = CONFIGS / "compare" / "ComParE_2016.conf"
    by_path = OpenSmile(str(path), "func", "utterance", 6373, RATE)
    np.testing.assert_array_equal(by_path(signal, RATE), FUNCTIONALS(signal, RATE))
    assert by_path.signature != FUNCTIONALS.signature


def test_signature_of_a_config_file_follows_its_includes(tmp_path: Path):
    (tmp_path / "mine.conf").write_text("\\{part.conf.inc}\nwriter.dmLevel = func\n")
    signatures = set()
    for text in ("a", "b"):
        (tmp_path / "part.conf.inc").write_text(text)
        extractor = OpenSmile(str(tmp_path / "mine.conf"), "func", "utterance", 1, RATE)
        ours._set_signature.cache_clear()  # as in another process
        signatures.add(extractor.signature)
    assert len(signatures) == 2
    with pytest.raises(UserError, match=r"cannot read .*mine\.conf"):
        _ = extractor.columns


def test_signature_says_version_set_output_and_rate():
    assert opensmile.__version__ in FUNCTIONALS.signature
    others = [
        DESCRIPTORS,
        OpenSmile("IS13", "func", "utterance", 6373, RATE),
        OpenSmile("ComParE_2016", "func", "utterance", 6373, 8000),
    ]
    assert len({extractor.signature for extractor in (FUNCTIONALS, *others)}) == 4
    assert pickle.loads(pickle.dumps(FUNCTIONALS)).signature == FUNCTIONALS.signature


def test_full_scale_does_not_wrap_around():
    loud = whole_levels(voice())
    loud[::50] = 1.0  # -1.0 to openSMILE if merely cast
    almost = np.minimum(loud, 32767 / 32768).astype(np.float32)
    np.testing.assert_array_equal(FUNCTIONALS(loud, RATE), FUNCTIONALS(almost, RATE))


def test_other_rates_are_resampled():
    signal = voice(0.6, 48000)
    expected = FUNCTIONALS(soxr.resample(signal, 48000, RATE, quality="HQ"), RATE)
    np.testing.assert_array_equal(FUNCTIONALS(signal, 48000), expected)


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (voice(0.03), r"too short for openSMILE's ComParE_2016: 0\.030 s"),
        (np.zeros(0, np.float32), "no samples"),
        (np.where(np.arange(9600) == 4000, np.nan, voice()), "not finite"),
        (np.stack([voice(), voice()], axis=1), "mono"),
    ],
)
def test_unusable_signals_have_a_reason(signal: np.ndarray, reason: str):
    for extractor in (FUNCTIONALS, DESCRIPTORS):
        with pytest.raises(UserError, match=reason):
            extractor(signal.astype(np.float32), RATE)


@pytest.mark.parametrize(("name", "functionals", "descriptors"), SETS)
def test_odd_signals_give_finite_features(name, functionals, descriptors):
    extractor = OpenSmile(name, "func", "utterance", functionals, RATE)
    noise = np.random.default_rng(1).uniform(-1, 1, 8000).astype(np.float32)
    constant = np.full(8000, 0.5, np.float32)
    square = np.sign(np.sin(np.arange(8000) / 20)).astype(np.float32)
    for signal in (np.zeros(8000, np.float32), noise, constant, square):
        assert np.isfinite(extractor(signal, RATE)).all()


def test_wrong_config_says_what_is_right():
    with pytest.raises(UserError, match="has 6373 columns; config says dim: 6000"):
        _ = OpenSmile("ComParE_2016", "func", "utterance", 6000, RATE).columns
    with pytest.raises(UserError, match="did you mean ComParE_2016"):
        _ = OpenSmile("ComParE2016", "func", "utterance", 6373, RATE).columns
    with pytest.raises(UserError, match="does not exist"):
        _ = OpenSmile("/nowhere/mine.conf", "func", "utterance", 6373, RATE).columns
    with pytest.raises(UserError, match="level: frame is wrong"):
        OpenSmile("ComParE_2016", "func", "frame", 6373, RATE)
    with pytest.raises(UserError, match="eGeMAPSv02 has no lld_de; it writes .*lld"):
        _ = OpenSmile("eGeMAPSv02", "lld_de", "frame", 25, RATE).columns
