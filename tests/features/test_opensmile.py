"""openSMILE on real speech and on unusual signals, compared with the `opensmile` package."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import opensmile
import pytest
import soxr
from joblib import Parallel, delayed

from ser.corpora import audio
from ser.errors import UserError
from ser.features import opensmile_engine
from ser.features.opensmile import OpenSmile
from ser.features.opensmile_engine import CONFIGS

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
    """A buzz with vibrato and noise, voiced, so that pitch, jitter and shimmer are defined."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (140 * time + 3 * np.sin(2 * np.pi * 3 * time))
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    noise = np.random.default_rng(0).normal(size=len(time))
    return (0.2 * buzz + 0.005 * noise).astype(np.float32)


def package(name: str, level: str, signal: np.ndarray) -> np.ndarray:
    """Output of the opensmile package: (D,) or (T, D)."""
    smile = opensmile.Smile(opensmile.FeatureSet[name], opensmile.FeatureLevel(level))
    values = smile(signal, RATE)[0].T
    return values[0] if level == "func" else values


def quantised(signal: np.ndarray) -> np.ndarray:
    """A signal rounded to 16-bit levels, as if it were read from a PCM file."""
    return (np.rint(signal * 32768) / 32768).astype(np.float32)


@pytest.mark.parametrize(("name", "functionals", "descriptors"), SETS)
def test_one_pass_equals_the_package(name, functionals, descriptors):
    signal = quantised(voice())
    func = OpenSmile(name, "func", "utterance", functionals, RATE)
    lld = OpenSmile(name, "lld", "frame", descriptors, RATE)
    both = func.all_outputs(signal, RATE)
    assert list(both) == [func.signature, lld.signature]
    np.testing.assert_array_equal(both[func.signature], package(name, "func", signal))
    np.testing.assert_array_equal(both[lld.signature], package(name, "lld", signal))
    assert both[func.signature].dtype == np.float32
    assert both[lld.signature].shape[1] == descriptors


def test_one_pass_equals_the_package_on_real_speech(emodb_root: Path):
    for file in sorted((emodb_root / "wav").glob("*.wav"))[::90]:
        signal, rate = audio.read(file)
        np.testing.assert_array_equal(
            FUNCTIONALS(signal, rate), package("ComParE_2016", "func", signal)
        )
        np.testing.assert_array_equal(
            DESCRIPTORS(signal, rate), package("ComParE_2016", "lld", signal)
        )


def test_columns_equal_those_of_the_package():
    for extractor, level in ((FUNCTIONALS, "func"), (DESCRIPTORS, "lld")):
        smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel(level))
        assert list(extractor.columns) == smile.feature_names


def test_threads_and_processes_return_the_same_bits():
    signals = [quantised(voice(0.3 + 0.05 * i)) for i in range(12)]
    expected = [FUNCTIONALS(signal, RATE) for signal in signals]
    rates = [RATE] * len(signals)
    with ThreadPoolExecutor(6) as threads:
        np.testing.assert_array_equal(list(threads.map(FUNCTIONALS, signals, rates)), expected)
    processes = Parallel(2, backend="loky")(delayed(FUNCTIONALS)(s, RATE) for s in signals)
    np.testing.assert_array_equal(processes, expected)


def test_deltas_and_config_files_equal_the_package():
    signal = quantised(voice())
    deltas = OpenSmile("ComParE_2016", "lld_de", "frame", 65, RATE)
    np.testing.assert_array_equal(deltas(signal, RATE), package("ComParE_2016", "lld_de", signal))
    path = CONFIGS / "compare" / "ComParE_2016.conf"
    by_path = OpenSmile(str(path), "func", "utterance", 6373, RATE)
    np.testing.assert_array_equal(by_path(signal, RATE), FUNCTIONALS(signal, RATE))
    assert by_path.signature != FUNCTIONALS.signature


def test_signature_of_a_config_file_depends_on_its_includes(tmp_path: Path):
    (tmp_path / "mine.conf").write_text("\\{part.conf.inc}\nwriter.dmLevel = func\n")
    signatures = set()
    for text in ("a", "b"):
        (tmp_path / "part.conf.inc").write_text(text)
        extractor = OpenSmile(str(tmp_path / "mine.conf"), "func", "utterance", 1, RATE)
        opensmile_engine.set_signature.cache_clear()  # a new process has no cache
        signatures.add(extractor.signature)
    assert len(signatures) == 2
    with pytest.raises(UserError, match=r"cannot read .*mine\.conf"):
        _ = extractor.columns


def test_signature_depends_on_version_set_output_and_rate():
    assert opensmile.__version__ in FUNCTIONALS.signature
    others = [
        DESCRIPTORS,
        OpenSmile("IS13", "func", "utterance", 6373, RATE),
        OpenSmile("ComParE_2016", "func", "utterance", 6373, 8000),
    ]
    assert len({extractor.signature for extractor in (FUNCTIONALS, *others)}) == 4
    assert pickle.loads(pickle.dumps(FUNCTIONALS)).signature == FUNCTIONALS.signature


def test_full_scale_does_not_overflow():
    loud = quantised(voice())
    loud[::50] = 1.0  # would be -1.0 without clipping
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
def test_unusable_signals_are_errors_with_a_reason(signal: np.ndarray, reason: str):
    for extractor in (FUNCTIONALS, DESCRIPTORS):
        with pytest.raises(UserError, match=reason):
            extractor(signal.astype(np.float32), RATE)


@pytest.mark.parametrize(("name", "functionals", "descriptors"), SETS)
def test_unusual_signals_give_finite_features(name, functionals, descriptors):
    extractor = OpenSmile(name, "func", "utterance", functionals, RATE)
    noise = np.random.default_rng(1).uniform(-1, 1, 8000).astype(np.float32)
    constant = np.full(8000, 0.5, np.float32)
    square = np.sign(np.sin(np.arange(8000) / 20)).astype(np.float32)
    for signal in (np.zeros(8000, np.float32), noise, constant, square):
        assert np.isfinite(extractor(signal, RATE)).all()


def test_a_wrong_config_is_an_error_that_names_the_right_value():
    with pytest.raises(UserError, match="has 6373 columns, but the config says dim: 6000"):
        _ = OpenSmile("ComParE_2016", "func", "utterance", 6000, RATE).columns
    with pytest.raises(UserError, match="did you mean ComParE_2016"):
        _ = OpenSmile("ComParE2016", "func", "utterance", 6373, RATE).columns
    with pytest.raises(UserError, match="does not exist"):
        _ = OpenSmile("/nowhere/mine.conf", "func", "utterance", 6373, RATE).columns
    with pytest.raises(UserError, match="level: frame is wrong"):
        OpenSmile("ComParE_2016", "func", "frame", 6373, RATE)
    with pytest.raises(UserError, match="eGeMAPSv02 has no lld_de; its outputs are .*lld"):
        _ = OpenSmile("eGeMAPSv02", "lld_de", "frame", 25, RATE).columns
