"""COVAREP's files, as its script and other programs write them."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console
from scipy.io import savemat

from ser.config import build
from ser.data.fingerprint import RunKeys
from ser.data.prepare import prepare
from ser.errors import UserError
from ser.features.covarep import NAMES, Covarep
from ser.features.spectrogram import LogMel
from ser.features.store import Store

CHOSEN = ["peakSlope", "F0", "MCEP_3"]
BANDS = LogMel("frame", 40, 16000, "hamming", 0.02, 0.01, 1024, 0.0, 8000.0, 1e-10)
NAN = float("nan")


def covarep(root: Path, names: list[str] = CHOSEN) -> Covarep:
    return Covarep(level="frame", dim=len(names), root=str(root), names=names, hop=0.01)


def random_values(frames: int = 50, seed: int = 0, columns: int = len(NAMES)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, columns))


def write_mat(file: Path, values: np.ndarray, names: tuple[str, ...] = NAMES) -> None:
    """As COVAREP's script: a matrix, and a row of cells with character arrays."""
    cells = np.empty((1, len(names)), object)
    cells[0] = names
    savemat(file, {"features": values, "names": cells}, do_compression=True)


def write_csv(file: Path, values: np.ndarray, names: tuple[str, ...] = NAMES) -> None:
    lines = [",".join(names)] if names else []
    file.write_text("\n".join(lines + [",".join(map(repr, row)) for row in values.tolist()]))


def quiet(root: Path) -> Store:
    return Store(root, 1, Console(quiet=True))


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    """Four utterances; `tmp_path/covarep` has COVAREP's files, of both kinds."""
    (tmp_path / "covarep").mkdir()
    (tmp_path / "speech").mkdir()
    files = []
    for number in range(4):
        files.append(tmp_path / "speech" / f"u{number}.wav")
        signal = np.random.default_rng(number).normal(0, 0.1, 8000)
        soundfile.write(files[-1], signal, 16000)
        write = (write_mat, write_csv)[number % 2]
        suffix = ("mat", "csv")[number % 2]
        write(tmp_path / "covarep" / f"u{number}.{suffix}", random_values(40 + number, number))
    index = pd.Index([file.stem for file in files], name="utterance")
    columns = {"file": [str(f) for f in files], "start": NAN, "end": NAN, "speaker": "a"}
    return pd.DataFrame(columns, index=index)


@pytest.mark.parametrize("suffix", ["mat", "csv"])
@pytest.mark.parametrize("names", [NAMES, NAMES[:36], ()], ids=["all", "older", "none"])
def test_columns_are_selected_by_name(tmp_path: Path, suffix: str, names: tuple[str, ...]):
    values = random_values(columns=len(names) or len(NAMES))
    file = tmp_path / f"a.{suffix}"
    {"mat": write_mat, "csv": write_csv}[suffix](file, values, names)
    values_read = covarep(tmp_path).read(file, NAN, NAN)
    assert values_read.dtype == np.float32
    expected = values[:, [NAMES.index(name) for name in CHOSEN]]
    np.testing.assert_array_equal(values_read, expected.astype(np.float32))


def test_a_file_of_one_frame_keeps_its_shape(tmp_path: Path):
    for write, suffix in ((write_mat, "mat"), (write_csv, "csv")):
        write(tmp_path / f"a.{suffix}", random_values(1))
        assert covarep(tmp_path).read(tmp_path / f"a.{suffix}", NAN, NAN).shape == (1, 3)


def test_values_that_are_not_finite_become_0(tmp_path: Path):
    values = random_values()
    values[3, NAMES.index("F0")] = np.nan
    values[4, NAMES.index("F0")] = -np.inf
    values[5, NAMES.index("F0")] = 1e300  # beyond float32
    for write, suffix in ((write_mat, "mat"), (write_csv, "csv")):
        write(tmp_path / f"a.{suffix}", values)
        values_read = covarep(tmp_path).read(tmp_path / f"a.{suffix}", NAN, NAN)
        assert (values_read[3:6, 1] == 0).all()
        assert (values_read[:3, 1] != 0).all()
        write(tmp_path / f"b.{suffix}", np.full((9, len(NAMES)), np.nan))
        with pytest.raises(UserError, match="no value that is finite"):
            covarep(tmp_path).read(tmp_path / f"b.{suffix}", NAN, NAN)


def test_start_and_end_select_frames(tmp_path: Path):
    write_mat(tmp_path / "a.mat", random_values())
    whole = covarep(tmp_path).read(tmp_path / "a.mat", NAN, NAN)
    for start, end, part in (
        (0.1, 0.3, whole[10:30]),
        (NAN, 0.2, whole[:20]),
        (0.45, NAN, whole[45:]),
    ):
        np.testing.assert_array_equal(covarep(tmp_path).read(tmp_path / "a.mat", start, end), part)
    with pytest.raises(UserError, match=r"no frame between .* 50 frames, 0\.5 s"):
        covarep(tmp_path).read(tmp_path / "a.mat", 0.6, 0.8)


def damaged(file: Path, how: str) -> None:
    values = random_values()
    match how:
        case "other":
            savemat(file, {"egg": values})
        case "text":
            savemat(file, {"features": "none"})
        case "short names":
            write_mat(file, values, NAMES[:70])
        case "no names":
            savemat(file, {"features": values[:, :35]})
        case "cut":
            write_mat(file, values)
            file.write_bytes(file.read_bytes()[:3000])
        case "no mat":
            file.write_bytes(b"not MATLAB's at all" * 20)
        case "empty":
            file.write_bytes(b"")
        case "7.3":  # MATLAB's own header of such a file, then HDF5
            header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
            file.write_bytes(header + bytes(384) + b"\x89HDF\r\n\x1a\n" + bytes(100))


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("other", "no matrix of numbers called features"),
        ("text", "no matrix of numbers called features"),
        ("short names", "74 columns and 70 names"),
        ("no names", "35 columns and 0 names; .*74 columns"),
        ("cut", "unreadable as a .mat file"),
        ("no mat", "unreadable as a .mat file"),
        ("empty", "unreadable as a .mat file"),
        ("7.3", "version 7.3; save it again: .*'-v7'"),
    ],
)
def test_mat_files_of_another_form_are_errors_with_a_reason(tmp_path: Path, how: str, reason: str):
    damaged(tmp_path / "a.mat", how)
    with pytest.raises(UserError, match=reason):
        covarep(tmp_path).read(tmp_path / "a.mat", NAN, NAN)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("F0,peakSlope,MCEP_3\n1,2,3\n1,x,3", "table of numbers .*'x'"),
        ("F0,peakSlope,MCEP_3\n1,2,3\n1,2", "table of numbers"),
        ("F0,peakSlope,MCEP_3\n1,2", "2 columns and 3 names"),
        ("F0,peakSlope,MCEP_3", "no frame"),
        ("1,2,3", "3 columns and 0 names"),
        (
            "F0,NAQ\n1,2",
            "no column peakSlope, MCEP_3; its columns are F0, NAQ. Choose others: features.names",
        ),
        ("", "0 columns and 0 names"),
    ],
)
def test_csv_files_of_another_form_are_errors_with_a_reason(tmp_path: Path, text: str, reason: str):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UserError, match=reason):
        covarep(tmp_path).read(tmp_path / "a.csv", NAN, NAN)


@pytest.mark.parametrize("in_memory", [True, False])
def test_store_keeps_precomputed_and_extracted_features(table, tmp_path, in_memory):
    source, store = covarep(tmp_path / "covarep"), quiet(tmp_path / "store")
    reports = store.fill(table, [source, BANDS])
    assert [(each.extracted, each.present, each.failures) for each in reports] == [(4, 0, ())] * 2
    assert [(each.extracted, each.present) for each in store.fill(table, [source, BANDS])] == [
        (0, 4)
    ] * 2
    features = store.load(table.iloc[[2, 0, 2]], source, in_memory)
    files = [source.locate(f"u{i}", Path(f"u{i}.wav")).file for i in (2, 0, 2)]
    expected = [source.read(file, NAN, NAN) for file in files]
    np.testing.assert_array_equal(features.values, np.concatenate(expected))
    assert features.columns == tuple(CHOSEN)
    assert list(features.offsets) == [0, 42, 82, 124]


def test_processes_can_read_the_files(table, tmp_path):
    source = covarep(tmp_path / "covarep")
    store = Store(tmp_path / "store", None, Console(quiet=True))
    with joblib.parallel_config(backend="loky", n_jobs=2):
        (report,) = store.fill(table, [source])
    assert report.extracted == 4


def test_a_changed_file_is_read_again_and_changes_the_signature(table, tmp_path):
    source, store = covarep(tmp_path / "covarep"), quiet(tmp_path / "store")
    first, signature = store.load(table, source, True), store.signature(table, source)
    assert store.signature(table, source) == signature
    write_mat(tmp_path / "covarep" / "u0.mat", random_values(40, seed=9))
    second = store.load(table, source, True)
    assert not np.array_equal(second.values[:40], first.values[:40])
    np.testing.assert_array_equal(second.values[40:], first.values[40:])
    assert store.signature(table, source) != signature
    (report,) = store.fill(table, [source])
    assert (report.extracted, report.present) == (0, 4)


def test_equal_signatures_with_other_files_have_other_features(table, tmp_path):
    (tmp_path / "other").mkdir()
    for number in range(4):
        write_mat(tmp_path / "other" / f"u{number}.mat", random_values(20, 50 + number))
    store = quiet(tmp_path / "store")
    one, other = covarep(tmp_path / "covarep"), covarep(tmp_path / "other")
    assert [each.extracted for each in store.fill(table, [one, other])] == [4, 4]
    assert len(store.load(table, one, True).values) == 40 + 41 + 42 + 43
    assert len(store.load(table, other, True).values) == 80
    assert store.signature(table, one) != store.signature(table, other)


def test_utterances_without_features_are_listed_with_the_reason(table, tmp_path):
    folder = tmp_path / "covarep"
    os.remove(folder / "u0.mat")
    write_mat(folder / "u1.mat", random_values())  # u1.csv exists too
    (folder / "u2.mat").write_bytes(b"cut")
    source, store = covarep(folder), quiet(tmp_path / "store")
    with pytest.raises(UserError, match="3 of 4 utterances have no features") as error:
        store.fill(table, [source])
    message = str(error.value)
    assert f"u0.wav: no features of COVAREP: {folder} has neither u0.mat nor u0.csv" in message
    assert f"u1.wav: no features of COVAREP: {folder} has both u1.mat and u1.csv" in message
    assert f"{folder / 'u2.mat'}: unreadable as a .mat file" in message
    assert "skip_faulty=true" in message
    with pytest.raises(UserError, match=r"u0.mat nor u0.csv"):
        store.load(table, source, True)
    assert list(store.load(table, source, True, skip=True).utterances) == ["u3"]
    (report,) = store.fill(table, [source], skip=True)
    assert (report.present, [p.file.stem for p in report.failures]) == (1, ["u0", "u1", "u2"])


def test_signature_depends_on_names_and_hop_but_not_on_the_folder(tmp_path):
    (tmp_path / "b").mkdir()
    one = covarep(tmp_path)
    others = [replace(one, names=[*CHOSEN[:2], "NAQ"]), replace(one, hop=0.02)]
    assert len({each.signature for each in (one, *others)}) == 3
    assert replace(one, root=str(tmp_path / "b")).signature == one.signature
    assert len(covarep(tmp_path, list(NAMES)).signature) < 100


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"level": "utterance"}, "level must be frame"),
        ({"hop": 0.0}, "hop"),
        ({"names": []}, "names"),
        ({"names": ["F0", "F0"]}, "each of them once"),
        ({"root": None}, r"features.root is not set: .*\.mat or \.csv"),
        ({"root": "/nowhere/at/all"}, "features.root=/nowhere/at/all: no such folder"),
    ],
)
def test_a_wrong_config_is_an_error_that_names_the_right_value(
    tmp_path: Path, wrong: dict, message: str
):
    with pytest.raises(UserError, match=message):
        replace(covarep(tmp_path), **wrong)
    with pytest.raises(UserError, match="has 3 columns, but the config says dim: 4"):
        _ = replace(covarep(tmp_path), dim=4).columns


def test_run_key_depends_on_the_files_but_not_on_their_folder(
    emodb_root: Path, composed: Callable, tmp_path: Path
) -> None:
    """On 30 files of EMO-DB; `RunKeys`, which sweeps use, computes the same hash as `prepare`."""
    files = sorted((emodb_root / "wav").glob("*.wav"))[::18]
    rows = [f"{file.name[:2]},{file},{file.name[5]}" for file in files]
    (tmp_path / "few.csv").write_text("\n".join(["speaker,file,emotion", *rows]) + "\n")
    folder = tmp_path / "covarep"
    folder.mkdir()
    for number, file in enumerate(files):
        write_mat(folder / f"{file.stem}.mat", random_values(30, number))
    cfg, _ = composed(
        f"store.root={tmp_path}/store", "corpus=manifest", f"corpus.root={tmp_path}/few.csv",
        "fold=random", "fold.count=3", "features=covarep", f"features.root={folder}", "model=cnn",
    )  # fmt: skip
    prepared = prepare(cfg)
    assert prepared.run_key == RunKeys()(cfg)
    assert build(cfg.features).columns[:2] == ("F0", "VUV")
    assert prepared.data.task.inputs == 30
    moved, _ = composed(
        f"store.root={tmp_path}/store", "corpus=manifest", f"corpus.root={tmp_path}/few.csv",
        "fold=random", "fold.count=3", "features=covarep", "model=cnn",
        f"features.root={folder.rename(tmp_path / 'elsewhere')}",
    )  # fmt: skip
    assert RunKeys()(moved) == prepared.run_key
    write_mat(tmp_path / "elsewhere" / f"{files[3].stem}.mat", random_values(30, 99))
    assert RunKeys()(moved) != prepared.run_key
