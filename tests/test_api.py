"""The Python API: `import ser`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from small import SMALL

import ser
from ser.__main__ import main
from ser.config import CONF

HEAVY = {"torch", "pandas", "numpy", "hydra", "omegaconf", "sklearn", "opensmile", "soundfile"}


@pytest.fixture(scope="module")
def runs(few: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[ser.Run]:
    """Two runs on a part of EMO-DB that differ in their seed."""
    folder = tmp_path_factory.mktemp("api")
    options = [*few, "features=egemaps", *SMALL["mlp"], "trainer.max_epochs=2", "fold=session"]
    return [
        ser.train(*options, f"seed={seed}", f"hydra.run.dir={folder}/runs/{seed}")
        for seed in range(2)
    ]


@pytest.fixture(scope="module")
def files(runs: list[ser.Run], emodb_root: Path) -> list[Path]:
    """The recordings of the test split."""
    table = ser.read_predictions(runs[0].folder)
    ids = table.loc[table["part"] == "test", "utterance"]
    return [emodb_root / "wav" / f"{Path(name).name}.wav" for name in ids]


def probabilities(table: pd.DataFrame) -> pd.DataFrame:
    return table.filter(like="p_").reset_index(drop=True)


def test_import_takes_no_library_along() -> None:
    code = "import sys, ser; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "ser" in loaded
    assert not loaded & HEAVY


def test_every_public_name_exists() -> None:
    assert set(ser.__all__) <= set(dir(ser))
    assert all(getattr(ser, name) is not None for name in ser.__all__)
    with pytest.raises(AttributeError, match="'ser' has no attribute 'lod'"):
        ser.lod  # noqa: B018


# ---- runs


def test_a_run_describes_itself(runs: list[ser.Run]) -> None:
    run = runs[0]
    assert run.classes == ("anger", "happiness", "neutral", "sadness")
    assert run.scores == run.result["test"]
    assert 0 <= run.scores["ua"] <= 1
    assert run.config.model.encoder.hidden == [16, 16]
    assert run.remarks == ()
    assert str(run.folder) in repr(run)
    assert (run.folder / ".hydra" / "overrides.yaml").exists()


def test_a_finished_run_is_not_trained_again(runs: list[ser.Run]) -> None:
    folder = runs[0].folder
    before = (folder / "cost.json").read_bytes()
    overrides = OmegaConf.load(folder / ".hydra" / "overrides.yaml")
    again = ser.train(*map(str, overrides), f"hydra.run.dir={folder}")
    assert again.result == runs[0].result
    assert (folder / "cost.json").read_bytes() == before


def test_probabilities_are_those_of_the_run_and_of_the_command(
    runs: list[ser.Run], files: list[Path], tmp_path: Path
) -> None:
    run = ser.load(runs[0].folder)
    table = run.predict(files)
    own = ser.read_predictions(run.folder)
    assert probabilities(table).equals(probabilities(own[own["part"] == "test"]))
    one = run.predict(files[3])
    out = tmp_path / "one.json"
    assert main(["predict", str(run.folder), str(files[3]), "--out", str(out)]) == 0
    row = pd.read_json(out, precise_float=True).iloc[0]
    assert one == {name: row[f"p_{name}"] for name in run.classes}
    assert list(table["prediction"]) == [run.classes[n] for n in np.argmax(probabilities(table), 1)]


def test_a_signal_is_predicted_as_its_file(runs: list[ser.Run], files: list[Path]) -> None:
    expected = runs[0].predict(str(files[0]))
    for kind in ("float32", "float64", "int16"):
        samples, rate = soundfile.read(files[0], dtype=kind)
        assert runs[0].predict(samples, rate) == expected
    stereo = np.stack([samples, samples], axis=1)
    assert runs[0].predict(stereo, rate) == expected


def test_several_runs_are_averaged(runs: list[ser.Run], files: list[Path]) -> None:
    both = ser.load(runs[0].folder.parent)
    assert [run.folder for run in both.runs] == [run.folder for run in runs]
    first, second, mean = (each.predict(files[0]) for each in (*runs, both))
    for name in both.classes:
        assert mean[name] == pytest.approx((first[name] + second[name]) / 2, abs=1e-9)
    with pytest.raises(ser.UserError, match="2 runs; `runs` has them one by one"):
        both.scores  # noqa: B018


def test_folders_and_windows_give_a_row_each(
    runs: list[ser.Run], files: list[Path], tmp_path: Path
) -> None:
    samples, rate = soundfile.read(files[0])
    soundfile.write(tmp_path / "a.wav", np.concatenate([samples, samples]), rate)
    (tmp_path / "b.wav").write_text("no audio")
    table = runs[0].predict([tmp_path], window=1.0)
    assert list(table["file"].unique()) == [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    assert "unreadable" in table["reason"].iloc[-1]
    assert table["speech"].iloc[0]
    assert np.isnan(table["p_anger"].iloc[-1])


def test_the_tables_of_several_runs(runs: list[ser.Run]) -> None:
    folder = runs[0].folder.parent
    table = ser.read_runs(folder)
    assert list(table["seed"]) == [0, 1]
    assert list(table["ua"]) == [run.scores["ua"] for run in runs]
    facts = table.loc[0, ["system", "features", "model", "fold", "representation"]]
    assert list(facts) == ["mlp", "egemaps", "mlp", "session", "identity"]
    predictions = ser.read_predictions(folder)
    assert predictions["folder"].nunique() == 2
    with pytest.raises(ser.UserError, match="no runs"):
        ser.read_runs(folder / "0" / "checkpoints")


# ---- corpora and features


def test_a_corpus_is_read_with_its_options(few: list[str]) -> None:
    manifest = few[1].partition("=")[2]
    corpus = ser.read_corpus("manifest", Path(manifest), name="mine")
    assert corpus.name == "mine"
    assert len(corpus.table) == 40


def test_features_of_a_file_a_signal_and_a_corpus_agree(few: list[str]) -> None:
    corpus = ser.read_corpus("manifest", few[1].partition("=")[2])
    store = few[2].partition("=")[2]
    whole = ser.extract(corpus, "egemaps", store=store)
    assert whole.shape == (40, 88)
    file = corpus.table["file"].iloc[5]
    alone = ser.extract(file, "egemaps")
    assert list(alone.index) == [file]
    assert np.array_equal(alone.iloc[0], whole.iloc[5])
    assert alone.columns.equals(whole.columns)
    samples, rate = soundfile.read(file)
    assert np.array_equal(ser.extract(samples, "egemaps", rate), alone)


def test_frames_are_rows(few: list[str]) -> None:
    files = list(ser.read_corpus("manifest", few[1].partition("=")[2]).table["file"].iloc[:2])
    one = ser.extract(files[1], "logmel40", points=2048)
    assert one.index.name == "frame"
    both = ser.extract(files, "logmel40", points=2048)
    assert both.index.names == ["file", "frame"]
    assert np.array_equal(both.loc[files[1]], one)


def test_hydra_of_the_caller_is_left_alone() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        outer = GlobalHydra.instance().hydra
        with pytest.raises(ser.UserError, match="did you mean model=aae"):
            ser.train("model=aea")
        assert GlobalHydra.instance().hydra is outer


# ---- errors

SAMPLES = np.zeros(16000, np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ser.load("absent"), "absent: no finished run"),
        (lambda: ser.read_predictions("absent"), "absent: no finished run"),
        (lambda: ser.read_corpus("emodbb"), "did you mean corpus=emodb"),
        (lambda: ser.read_corpus("emodb", "absent"), "corpus.root=.*absent does not exist"),
        (lambda: ser.read_corpus("emodb", foo=1), "corpus.foo: there is no such option"),
        (lambda: ser.extract("a.wav", "egemap"), "did you mean features=egemaps"),
        (lambda: ser.extract("absent.wav", "egemaps"), "absent.wav: missing"),
        (lambda: ser.extract(SAMPLES, "egemaps"), "rate=None: samples need their sampling rate"),
        (lambda: ser.extract("a.wav", "egemaps", 16000), "rate=16000: a.wav has its own rate"),
        (lambda: ser.extract("a.wav", "egemaps", dimm=3), "features.dimm: .* did you mean dim"),
        (lambda: ser.train("seed=0,1"), "several values are several runs"),
        (lambda: ser.train("grid=demo"), "grid=demo: several runs"),
        (lambda: ser.train("trainer.max_epochs=0"), "max_epochs=0: input should be greater"),
    ],
)
def test_errors_name_what_would_be_right(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ser.UserError, match=message):
        call()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((SAMPLES,), {}, "samples need their sampling rate"),
        ((SAMPLES[:50], 16000), {}, "too short for openSMILE"),
        ((SAMPLES[:0], 16000), {}, "the signal has no samples"),
        (
            (SAMPLES.reshape(2, -1), 16000),
            {},
            r"\(N, channels\), not \(2, 8000\)",
        ),
        ((SAMPLES + np.nan, 16000), {}, "not finite"),
        ((SAMPLES + 3, 16000), {}, "samples reach 3"),
        ((SAMPLES.astype("uint8"), 16000), {}, "not uint8"),
        (("absent.wav",), {}, "absent.wav: missing"),
        ((str(CONF),), {}, r"conf: a folder; a list of it, \[folder\]"),
        (([0.1, 0.2],), {}, "expected a file, a numpy array with its rate, or a list of files"),
        ((["a.wav"],), {"window": 0.0}, "window 0: at least 0.1 seconds"),
        (("a.wav",), {"window": 1.0}, "window, hop, one_speaker, workers: of a list"),
    ],
)
def test_what_cannot_be_predicted_is_an_error(
    runs: list[ser.Run], arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ser.UserError, match=message):
        runs[0].predict(*arguments, **options)
