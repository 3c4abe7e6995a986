"""Embeddings of other programs: one file per utterance, or one table."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from rich.console import Console

from ser.config.checks import check
from ser.data.fingerprint import RunKeys
from ser.data.prepare import prepare
from ser.errors import UserError
from ser.features.files import Files
from ser.features.store import Store

NAN = float("nan")
DIM = 4
IDS = ("u0", "u1", "u2")


def files(root: Path, level: str = "utterance", **options: object) -> Files:
    return Files(level, options.get("dim"), str(root), options.get("hop"))  # type: ignore[arg-type]


def values_of(number: int, level: str) -> np.ndarray:
    shape = (20 + number, DIM) if level == "frame" else (1, DIM)
    return np.random.default_rng(number).normal(size=shape)


def long_table(level: str) -> pd.DataFrame:
    """Rows of all utterances, not in the order of their ids."""
    parts = {name: values_of(n, level) for n, name in enumerate(IDS)}
    values = np.concatenate([parts[name] for name in reversed(IDS)])
    names = np.repeat(list(reversed(IDS)), [len(parts[name]) for name in reversed(IDS)])
    frame = pd.DataFrame(values, columns=["pitch", "energy", "rate", "tilt"])
    frame.insert(1, "utterance", names)
    return frame


def write(root: Path, kind: str, level: str) -> Path:
    """Write the features of the three utterances in one of the forms that can be read."""
    if kind.startswith("folder"):
        root.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(IDS):
            values = values_of(number, level)
            match kind.partition(" ")[2]:
                case "npy":
                    array = values if level == "frame" else values[0]
                    np.save(root / f"{name}.npy", array)
                case "npz":
                    np.savez(root / f"{name}.npz", values)
                case "parquet":
                    frame = pd.DataFrame(values, columns=list("abcd"))
                    frame.to_parquet(root / f"{name}.parquet")
        return root
    file = root.with_suffix("." + kind.partition(" ")[0])
    frame = long_table(level)
    values = frame.drop(columns="utterance").to_numpy()
    match kind:
        case "csv":
            frame.to_csv(file, index=False)
        case "parquet":
            frame.to_parquet(file)
        case "parquet vectors":
            vectors = {"utterance": frame["utterance"], "embedding": list(values)}
            pd.DataFrame(vectors).to_parquet(file)
        case "npz":
            np.savez(file, utterance=frame["utterance"].to_numpy(str), embedding=values)
        case "npz by name":
            np.savez(file, **{name: values_of(n, level) for n, name in enumerate(IDS)})
    return file


KINDS = ("folder npy", "folder npz", "folder parquet", "csv", "parquet", "parquet vectors")
KINDS += ("npz", "npz by name")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("speech")
    for number, name in enumerate(IDS):
        samples = np.random.default_rng(number).normal(0, 0.1, 8000)
        soundfile.write(folder / f"{name}.wav", samples, 16000)
    columns = {"file": [str(folder / f"{name}.wav") for name in IDS], "start": NAN, "end": NAN}
    return pd.DataFrame(columns, index=pd.Index(IDS, name="utterance"))


def store(folder: Path) -> Store:
    return Store(folder / "store", 1, Console(quiet=True))


@pytest.mark.parametrize("level", ["utterance", "frame"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_form_gives_the_same_values(
    table: pd.DataFrame, tmp_path: Path, kind: str, level: str
) -> None:
    source = files(write(tmp_path / "own", kind, level), level)
    features = store(tmp_path).load(table.iloc[[2, 0]], source, in_memory=True)
    expected = np.concatenate([values_of(2, level), values_of(0, level)]).astype(np.float32)
    np.testing.assert_array_equal(features.values, expected)
    assert source.dim == DIM
    named = {"csv": "pitch", "parquet": "pitch", "folder parquet": "a"}.get(kind, "embedding_0")
    assert features.columns[0] == named
    if level == "frame":
        assert list(features.offsets) == [0, 22, 42]


def test_an_utterance_is_found_by_its_id_or_the_path_of_its_audio(tmp_path: Path) -> None:
    for name in ("id_7", "DC/a01", "b02"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", np.ones(DIM))
    source = files(tmp_path)
    for utterance, audio, name in (
        ("id_7", "/data/savee/JE/a01.wav", "id_7"),
        ("x", "/data/savee/DC/a01.wav", "DC/a01"),
        ("DC/a01", "/data/savee/DC/a01.wav", "DC/a01"),
        ("x", "/data/b02.wav", "b02"),
    ):
        assert source.locate(utterance, Path(audio)).file == tmp_path / f"{name}.npy"
    with pytest.raises(UserError, match=r"no features of utterance x: .* has none of it"):
        source.locate("x", Path("/data/savee/JE/a01.wav"))
    np.savez(tmp_path / "b02.npz", np.ones(DIM))
    with pytest.raises(UserError, match=r"several of it: .*b02.npy, .*b02.npz"):
        files(tmp_path).locate("x", Path("/data/b02.wav"))


def test_one_file_is_not_taken_for_two_recordings_of_one_name(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "a01.wav" for folder in ("DC", "JE")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        soundfile.write(path, np.full(800, 0.1 * (1 + number)), 16000)
    (tmp_path / "own").mkdir()
    np.save(tmp_path / "own" / "a01.npy", np.ones(DIM))
    table = pd.DataFrame({"file": list(map(str, paths)), "start": NAN, "end": NAN}, ["1", "2"])
    with pytest.raises(UserError, match=r"1 of 2 utterances .*\n.*JE/a01.wav: its features are"):
        store(tmp_path).load(table, files(tmp_path / "own"), in_memory=True)


def test_start_and_end_select_frames_of_a_recording(tmp_path: Path) -> None:
    audio = tmp_path / "talk.wav"
    soundfile.write(audio, np.full(16000, 0.1), 16000)
    values = np.random.default_rng(0).normal(size=(50, DIM)).astype(np.float32)
    np.save(tmp_path / "talk.npy", values)
    np.save(tmp_path / "third.npy", values[:7])
    times = {"file": str(audio), "start": [0.1, 0.5, 0.9], "end": [0.3, NAN, 1.0]}
    table = pd.DataFrame(times, ["first", "second", "third"])
    source = files(tmp_path, "frame", hop=0.02)
    features = store(tmp_path).load(table, source, in_memory=True)
    # The file named by the utterance is of the utterance alone.
    expected = np.concatenate([values[5:15], values[25:], values[:7]])
    np.testing.assert_array_equal(features.values, expected)
    for options, reason in (
        ({}, "features.hop=0.02"),
        ({"hop": 0.002}, "has 50 frames, 0.1 s with features.hop=0.002, but .* ends at 0.3 s"),
    ):
        with pytest.raises(UserError, match=reason):
            store(tmp_path).load(table, files(tmp_path, "frame", **options), in_memory=True)
    np.save(tmp_path / "talk.npy", values[0])
    with pytest.raises(UserError, match="name the files by utterance id"):
        store(tmp_path).load(table, files(tmp_path), in_memory=True)


@pytest.mark.parametrize(
    ("array", "level", "reason"),
    [
        (np.ones(DIM + 1), "utterance", "has 5 values per row; expected 4"),
        (np.ones((3, DIM)), "utterance", "has 3 rows; .*features.level=frame"),
        (np.array([1.0, NAN, 1.0, 1.0]), "utterance", "not finite: embedding_1"),
        (np.array([1e300, 1.0, 1.0, 1.0]), "utterance", "not finite: embedding_0"),
        (np.array(list("abcd")), "utterance", "values of type <U1; expected numbers"),
        (np.array([None, 1, 2, 3]), "utterance", "Python objects, which are not unpickled"),
        (np.ones((2, 2, DIM)), "frame", r"shape \(2, 2, 4\)"),
        (np.empty((0, DIM)), "frame", r"shape \(0, 4\)"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_names_the_file(
    table: pd.DataFrame, tmp_path: Path, array: np.ndarray, level: str, reason: str
) -> None:
    root = write(tmp_path / "own", "folder npy", level)
    np.save(root / "u1.npy", array, allow_pickle=True)
    (root / "u2.npy").unlink()
    with pytest.raises(UserError) as error:
        store(tmp_path).load(table, files(root, level), in_memory=True)
    assert "1 of 3 utterances" in str(error.value)  # missing ones are listed before any is read
    assert "u2.wav: no features of utterance u2" in str(error.value)
    with pytest.raises(UserError, match=rf"u1.npy: .*{reason}"):
        store(tmp_path).load(table.iloc[:2], files(root, level), in_memory=True)


def test_a_table_must_have_names_and_numbers(table: pd.DataFrame, tmp_path: Path) -> None:
    frame = long_table("utterance")
    cases = {
        "no names": (frame.drop(columns="utterance"), "has no column utterance; .* pitch"),
        "text": (frame.assign(speaker="x"), "columns without numbers: speaker"),
        "none": (frame[["utterance"]], "no columns of features"),
        "twice": (pd.concat([frame, frame]), "twice.csv: u0: has 2 rows"),
    }
    for name, (content, reason) in cases.items():
        content.to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(UserError, match=f"(?s){reason}") as error:
            store(tmp_path).load(table, files(tmp_path / f"{name}.csv"), in_memory=True)
        assert f"{name}.csv" in str(error.value)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"cut.parquet: unreadable as a .parquet file"):
        _ = files(tmp_path / "cut.parquet").columns
    for root, reason in (
        (tmp_path / "nowhere", "nowhere: does not exist; expected a folder with one .npy"),
        (tmp_path / "cut.txt", "not a table"),
        (tmp_path / "empty", "has no file; expected"),
    ):
        (tmp_path / "cut.txt").touch()
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=reason):
            _ = files(root).columns
    with pytest.raises(UserError, match="features.root is not set"):
        Files("utterance", None, None, None)
    with pytest.raises(UserError, match="level must be utterance or frame, not segment"):
        files(tmp_path, "segment")


def test_the_run_key_depends_on_the_content_but_not_on_the_folder(
    few: list[str], composed: Callable, tmp_path: Path
) -> None:
    table = pd.read_csv(few[1].partition("=")[2])
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(len(table), 3)), columns=list("abc"))
    frame.insert(0, "utterance", [Path(file).stem for file in table["file"]])
    frame.to_csv(tmp_path / "own.csv", index=False)
    options = [*few, f"store.root={tmp_path}/store", "features=files", "fold=session"]

    def config(name: str):
        cfg, _ = composed(*options, f"features.root={tmp_path}/{name}")
        check(cfg)
        return cfg

    prepared = prepare(config("own.csv"))
    assert prepared.data.task.inputs == 3
    assert prepared.run_key == RunKeys()(config("own.csv"))
    (tmp_path / "own.csv").rename(tmp_path / "moved.csv")
    assert RunKeys()(config("moved.csv")) == prepared.run_key
    frame.loc[0, "a"] += 1
    frame.to_csv(tmp_path / "moved.csv", index=False)
    assert RunKeys()(config("moved.csv")) != prepared.run_key


def test_other_processes_get_no_content_of_files(tmp_path: Path) -> None:
    source = files(write(tmp_path / "own", "csv", "utterance"))
    columns = source.columns
    copy = pickle.loads(pickle.dumps(source))
    assert not {"_first", "_by_name"} & set(vars(copy))
    assert copy.columns == columns
    assert copy.signature == source.signature
