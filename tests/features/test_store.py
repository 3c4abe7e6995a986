"""The store: filled by openSMILE, loaded, killed, damaged, shared by processes, read-only."""

import io
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import soundfile
import warm
from hydra.utils import instantiate
from omegaconf import OmegaConf
from processes import exit_codes, fork
from rich.console import Console

from ser.corpora import audio
from ser.errors import UserError
from ser.features.opensmile import OpenSmile
from ser.features.spectrogram import LogMel
from ser.features.store import Store

ROOT = Path(__file__).parents[2]
# The fastest set that gives functionals and descriptors in one pass.
FUNCTIONALS = OpenSmile("IS09", "func", "utterance", 384, 16000)
DESCRIPTORS = OpenSmile("IS09", "lld", "frame", 16, 16000)
BANDS = LogMel("frame", 40, 16000, "hamming", 0.02, 0.01, 1024, 0.0, 8000.0, 1e-10)
FRAME = 4 * DESCRIPTORS.dim  # bytes
NOBODY = 65534  # user and group without permissions


def table_of(files: list[Path]) -> pd.DataFrame:
    index = pd.Index([file.stem for file in files], name="utterance")
    columns = {"file": [str(f) for f in files], "start": np.nan, "end": np.nan, "speaker": "a"}
    return pd.DataFrame(columns, index=index)


def quiet(root: Path, workers: int | None = None) -> Store:
    return Store(root, workers, Console(quiet=True))


def entries_of(root: Path) -> list[Path]:
    return [
        file
        for file in root.rglob("*")
        if file.is_file()
        and file.parent.name not in ("packed", "unfinished")
        and file.name != "digests.json"
    ]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pd.DataFrame:
    """Eight short utterances of unequal length, none in the order of their digests."""
    folder = tmp_path_factory.mktemp("speech")
    rng = np.random.default_rng(0)
    files = []
    for i in range(8):
        files.append(folder / f"u{i}.wav")
        wave = np.sin(np.arange(6000 + 800 * i) * (0.05 + 0.01 * i)) * 0.3
        soundfile.write(files[-1], wave + rng.normal(0, 0.01, len(wave)), 16000)
    return table_of(files)


@pytest.fixture(scope="module")
def filled(table, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("filled") / "store"
    quiet(root).fill(table, [FUNCTIONALS, DESCRIPTORS, BANDS])
    return root


@pytest.fixture
def copy(filled, tmp_path) -> Path:
    """A filled store without packed files, to be damaged."""
    return Path(
        shutil.copytree(filled, tmp_path / "store", ignore=shutil.ignore_patterns("packed"))
    )


@dataclass
class Refusing:
    """An extractor whose features are all stored, so that extraction is an error."""

    like: OpenSmile | LogMel

    def __getattr__(self, name: str):
        if name == "all_outputs":
            raise AssertionError("extracted although the features are stored")
        return getattr(self.like, name)

    def __call__(self, signal, rate):
        raise AssertionError("extracted although the features are stored")


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("extractor", [FUNCTIONALS, DESCRIPTORS, BANDS], ids=["func", "lld", "mel"])
def test_load_returns_the_extractors_output_in_the_order_of_the_table(
    filled, table, extractor, in_memory
):
    shuffled = table.iloc[[5, 0, 7, 3, 3, 1]]  # one utterance twice
    features = quiet(filled).load(shuffled, Refusing(extractor), in_memory)
    expected = [extractor(*audio.read(Path(file))) for file in shuffled["file"]]
    assert list(features.utterances) == list(shuffled.index)
    assert features.columns == extractor.columns
    assert features.level == extractor.level
    assert features.values.dtype == np.float32
    if extractor.level == "utterance":
        assert features.offsets is None
        np.testing.assert_array_equal(features.values, np.stack(expected))
    else:
        lengths = [len(values) for values in expected]
        np.testing.assert_array_equal(features.offsets, np.cumsum([0, *lengths]))
        np.testing.assert_array_equal(features.values, np.concatenate(expected))
    assert features.values.flags.writeable == in_memory


@pytest.mark.parametrize(
    "file",
    # Precomputed features and encoders: see test_covarep, test_files and test_encoder.
    sorted(
        f
        for f in (ROOT / "conf" / "features").glob("*.yaml")
        if f.stem not in ("covarep", "files") and "dim: " in f.read_text()
    ),
    ids=lambda f: f.stem,
)
def test_every_configured_extractor_has_the_level_and_dim_of_its_config(file, table, tmp_path):
    extractor = instantiate(OmegaConf.load(file))
    features = quiet(tmp_path).load(table.iloc[:2], extractor, in_memory=True)
    config = OmegaConf.load(file)
    assert features.level == config.level
    assert features.values.shape[1] == config.dim == len(features.columns)


def test_descriptors_are_stored_with_functionals(table, tmp_path):
    store = quiet(tmp_path)
    (report,) = store.fill(table, [FUNCTIONALS])
    assert (report.extracted, report.present, report.failures) == (8, 0, ())
    store.load(table, Refusing(DESCRIPTORS), in_memory=True)
    reports = store.fill(table, [DESCRIPTORS, BANDS])
    assert [(each.extracted, each.present) for each in reports] == [(0, 8), (8, 0)]


def test_fill_prints_a_report(table, tmp_path):
    console = Console(record=True, file=io.StringIO(), width=200)
    Store(tmp_path, console=console).fill(table, [FUNCTIONALS])
    assert (
        f"8 extracted, 0 already stored, 0 failed: {FUNCTIONALS.signature}" in console.export_text()
    )


def test_equal_audio_shares_one_entry_and_each_part_of_a_file_has_its_own(table, tmp_path):
    twice = pd.concat([table.iloc[:2], table.iloc[:1].rename(index={"u0": "again"})])
    parts = table.iloc[[7, 7]].assign(start=[0.1, np.nan], end=[0.5, 0.4])
    store = quiet(tmp_path / "store")
    store.fill(pd.concat([twice, parts]), [BANDS])
    assert len(entries_of(store.root)) == 4
    features = store.load(parts, Refusing(BANDS), in_memory=True)
    file = Path(parts["file"].iloc[0])
    np.testing.assert_array_equal(
        features.values,
        np.concatenate([BANDS(*audio.read(file, 0.1, 0.5)), BANDS(*audio.read(file, None, 0.4))]),
    )


@pytest.mark.parametrize("damage", ["cut", "longer", "flipped", "emptied", "deleted", "swapped"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_damaged_entries_are_detected_and_extracted_again(copy, table, damage, in_memory):
    intact = quiet(copy).load(table, DESCRIPTORS, in_memory=True).values.copy()
    names = sorted(entries_of(copy / DESCRIPTORS.signature), key=lambda f: f.stat().st_size)
    victim, other = names[2], names[5]
    content = victim.read_bytes()
    match damage:
        case "cut":
            victim.write_bytes(content[:-FRAME])  # still a whole number of frames
        case "longer":
            victim.write_bytes(content + b"\0" * FRAME)
        case "flipped":
            victim.write_bytes(content[:999] + bytes([content[999] ^ 1]) + content[1000:])
        case "emptied":
            victim.write_bytes(b"")
        case "deleted":
            victim.unlink()
        case "swapped":
            victim.write_bytes(other.read_bytes())
    values = quiet(copy).load(table, DESCRIPTORS, in_memory).values
    np.testing.assert_array_equal(values, intact)
    assert victim.read_bytes() == content
    (report,) = quiet(copy).fill(table, [DESCRIPTORS])
    assert (report.extracted, report.present) == (0, 8)


def test_fill_detects_damage(copy, table):
    victim = entries_of(copy / FUNCTIONALS.signature)[0]
    victim.write_bytes(victim.read_bytes()[:-4] + b"\0\0\0\0")
    (report,) = quiet(copy).fill(table, [FUNCTIONALS])
    assert (report.extracted, report.present) == (1, 7)


@pytest.mark.parametrize("place", [1000, -1, -100])  # rows, footer, offsets
def test_damaged_packed_file_is_written_again(copy, table, place):
    intact = quiet(copy).load(table, DESCRIPTORS, in_memory=False).values.copy()
    (file,) = (copy / DESCRIPTORS.signature / "packed").iterdir()
    content = bytearray(file.read_bytes())
    before = bytes(content)
    content[place] ^= 1
    file.write_bytes(content)
    values = quiet(copy).load(table, DESCRIPTORS, in_memory=False).values
    np.testing.assert_array_equal(values, intact)
    shutil.copy(file, tmp := file.with_name("copy"))  # another modification time, but intact
    os.replace(tmp, file)
    inode = file.stat().st_ino
    quiet(copy).load(table, DESCRIPTORS, in_memory=False)
    assert file.stat().st_ino == inode
    assert len(before) == file.stat().st_size


def test_changed_audio_is_detected(table, tmp_path):
    file = tmp_path / "a.wav"
    shutil.copy(table["file"].iloc[0], file)
    one, store = table_of([file]), quiet(tmp_path / "store")
    first = store.load(one, BANDS, in_memory=True).values
    (content,) = store.contents(one)
    signal, rate = soundfile.read(file)
    times = os.stat(file)
    soundfile.write(file, signal[::-1], rate)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # same size, same time
    assert not np.array_equal(store.load(one, BANDS, in_memory=True).values, first)
    assert [*store.contents(one)] != [content]


def test_contents_identify_audio_independently_of_its_path(table, tmp_path):
    store = quiet(tmp_path / "store")
    moved = [Path(shutil.copy(file, tmp_path)) for file in table["file"]]
    contents = [*store.contents(table)]
    assert [*store.contents(table_of(moved))] == contents
    assert len(set(contents)) == len(table)
    known = json.loads((tmp_path / "store" / "digests.json").read_text())
    assert set(known) == {str(file) for file in (*moved, *table["file"])}
    (tmp_path / "store" / "digests.json").write_text("{ cut sho")
    assert [*store.contents(table_of(moved))] == contents


def test_failures_are_reported_by_file_with_their_reason(table, tmp_path):
    files = {name: tmp_path / f"{name}.wav" for name in ("short", "nan", "text", "gone")}
    soundfile.write(files["short"], np.zeros(300), 16000)
    soundfile.write(files["nan"], np.full(9000, np.nan, np.float32), 16000, subtype="FLOAT")
    files["text"].write_text("not audio")
    bad = pd.concat([table.iloc[:2], table_of(list(files.values()))])
    store = quiet(tmp_path / "store")
    with pytest.raises(UserError, match="4 of 6 utterances have no features") as error:
        store.fill(bad, [FUNCTIONALS])
    for file in files.values():
        assert str(file) in str(error.value)
    console = Console(record=True, file=io.StringIO(), width=200)
    (report,) = Store(store.root, console=console).fill(bad, [FUNCTIONALS], skip=True)
    assert f"{files['short']}: too short" in console.export_text()
    assert (report.extracted, report.present) == (0, 2)
    reasons = {problem.file.stem: problem.reason for problem in report.failures}
    assert list(reasons) == list(files)
    assert "too short" in reasons["short"]
    assert "not finite" in reasons["nan"]
    assert "unreadable" in reasons["text"]
    assert "no such file" in reasons["gone"]
    for in_memory in (True, False):
        with pytest.raises(UserError, match="have no features"):
            store.load(bad, FUNCTIONALS, in_memory)
        features = store.load(bad, FUNCTIONALS, in_memory, skip=True)
        assert list(features.utterances) == ["u0", "u1"]
        assert features.values.shape == (2, 384)


def test_features_that_are_not_finite_are_rejected(table, tmp_path):
    class Infinite(LogMel):
        def __call__(self, signal, rate):
            return np.full((3, self.dim), np.inf, np.float32)

    extractor = Infinite(**asdict(BANDS))
    with pytest.raises(UserError, match=r"not finite: mel0, mel1, mel2 and 37 more"):
        quiet(tmp_path).fill(table.iloc[:1], [extractor])
    assert entries_of(tmp_path / extractor.signature) == []


def test_stereo_at_48_khz_and_full_scale_is_converted(tmp_path):
    seconds = np.arange(24000) / 48000
    left = np.where(np.sin(2 * np.pi * 200 * seconds) > 0, 1.0, -1.0)
    stereo = np.stack([left, left], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 48000, subtype="FLOAT")
    values = quiet(tmp_path / "store").load(
        table_of([tmp_path / "a.wav"]), DESCRIPTORS, in_memory=True
    )
    frames = DESCRIPTORS(left.astype(np.float32), 48000)
    np.testing.assert_array_equal(values.values, frames)
    assert 40 <= len(frames) <= 50  # half a second


def test_processes_and_threads_write_the_same_entries(table, tmp_path):
    with joblib.parallel_config(backend="loky", n_jobs=2):
        quiet(tmp_path / "processes").fill(table, [FUNCTIONALS, DESCRIPTORS])
    quiet(tmp_path / "threads", 2).fill(table, [FUNCTIONALS, DESCRIPTORS])
    threads, processes = ({f.relative_to(tmp_path / kind): f.read_bytes() for f in entries_of(
        tmp_path / kind)} for kind in ("threads", "processes"))  # fmt: skip
    assert threads == processes
    assert len(threads) == 16


def fill(root: Path, files: list[Path]) -> None:
    quiet(root, 1).fill(table_of(files), [FUNCTIONALS, DESCRIPTORS])


def test_two_processes_can_fill_one_store(emodb_root, tmp_path):
    root = tmp_path / "store"
    files = sorted((emodb_root / "wav").glob("*.wav"))[:16]
    assert exit_codes(*(fork(fill, root, files) for _ in range(2))) == [0, 0]
    features = quiet(root).load(table_of(files), Refusing(FUNCTIONALS), in_memory=True)
    for row, file in list(zip(features.values, files, strict=True))[::4]:
        np.testing.assert_array_equal(row, FUNCTIONALS(*audio.read(file)))
    assert len(entries_of(root)) == 32
    assert [file.name for file in (root / "unfinished").iterdir()] == ["probe"]


def test_fill_continues_after_a_killed_process(emodb_root, tmp_path):
    root = tmp_path / "store"
    files = sorted((emodb_root / "wav").glob("*.wav"))[:30]
    process = fork(fill, root, files)
    deadline = time.monotonic() + 60
    while len(entries_of(root)) < 10 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert exit_codes(process) == [-signal.SIGKILL]
    kept = len(entries_of(root / FUNCTIONALS.signature))
    assert 4 <= kept < 30
    (report,) = quiet(root).fill(table_of(files), [FUNCTIONALS])
    assert (report.extracted, report.present) == (30 - kept, kept)  # none was truncated
    fresh = quiet(tmp_path / "fresh")
    np.testing.assert_array_equal(
        quiet(root).load(table_of(files[:10]), FUNCTIONALS, in_memory=True).values,
        fresh.load(table_of(files[:10]), FUNCTIONALS, in_memory=True).values,
    )


def test_old_unfinished_files_are_removed(copy, table):
    old, new = copy / "unfinished" / "1-old", copy / "unfinished" / "2-new"
    for file in (old, new):
        file.write_bytes(b"part")
    os.utime(old, (0, 0))
    entries_of(copy / BANDS.signature)[0].unlink()
    quiet(copy).fill(table, [BANDS])
    assert not old.exists()
    assert new.exists()  # another process may be writing it


def use_read_only_store(table: pd.DataFrame, root: Path, messages: Path) -> None:
    """Load stored features as a user who may not write, and record the errors for others."""
    stream = messages.open("w")
    if os.geteuid() == 0:  # permissions do not restrict the superuser
        os.setgid(NOBODY), os.setuid(NOBODY)
    assert not os.access(root, os.W_OK)
    store = quiet(root)
    assert store.load(table, Refusing(FUNCTIONALS), True).values.shape == (8, 384)
    assert store.load(table, Refusing(DESCRIPTORS), False).values.shape[1] == 16
    reports = store.fill(table, [FUNCTIONALS, DESCRIPTORS])
    assert [report.present for report in reports] == [8, 8]
    for attempt in (
        lambda: store.load(table, FUNCTIONALS, False),
        lambda: store.fill(table, [BANDS]),
    ):
        with pytest.raises(UserError) as error:
            attempt()
        print(error.value, file=stream, flush=True)


def test_read_only_store(copy, table, tmp_path):
    quiet(copy).load(table, DESCRIPTORS, in_memory=False)
    shutil.rmtree(copy / BANDS.signature)
    _ = FUNCTIONALS.columns, DESCRIPTORS.columns, BANDS.columns  # read from openSMILE's files
    folders = [copy, *(folder for folder in copy.rglob("*") if folder.is_dir())]
    above = [
        folder
        # The store, the audio, this code and its libraries: the other user must be able to read
        # them.
        for place in (copy, Path(table["file"].iloc[0]), Path(__file__), Path(np.__file__))
        for folder in place.parents
        if folder.stat().st_uid == os.geteuid()
    ]
    modes = {folder: folder.stat().st_mode for folder in above}
    try:
        for folder in above:
            folder.chmod(modes[folder] | 0o055)
        for folder in folders:
            folder.chmod(0o555)
        codes = exit_codes(fork(use_read_only_store, table, copy, tmp_path / "messages.txt"))
    finally:
        for folder in folders:
            folder.chmod(0o755)
        for folder, mode in modes.items():
            folder.chmod(mode)
    assert codes == [0]
    packed, lacking = (tmp_path / "messages.txt").read_text().strip().splitlines()
    for message in (packed, lacking):
        assert f"the store {copy} cannot be written (Permission denied)" in message
        assert "choose another folder" in message
    assert "it has no packed file of these 8 utterances" in packed
    assert "8 utterances are not in it" in lacking


def test_a_store_below_a_file_is_an_error(table, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"the store .*file/store cannot be written"):
        quiet(tmp_path / "file" / "store").load(table, BANDS, in_memory=True)


def fill_with_small_files(table: pd.DataFrame, root: Path, messages: Path) -> None:
    """Fill a store where files may not grow beyond 300 bytes, less than an entry."""
    with messages.open("w") as stream:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
        with pytest.raises(UserError) as error:
            quiet(root).fill(table, [FUNCTIONALS])
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # for the message
        print(error.value, file=stream)


def test_an_entry_that_is_written_half_way_is_not_kept(table, tmp_path):
    """A limit of the file size has the effect of a full disk."""
    root, messages = tmp_path / "store", tmp_path / "messages.txt"
    assert exit_codes(fork(fill_with_small_files, table, root, messages)) == [0]
    message = messages.read_text()
    assert f"the store {root} cannot be written (File too large)" in message
    assert "free space on its disk" in message
    assert entries_of(root / FUNCTIONALS.signature) == []
    assert [file.name for file in (root / "unfinished").iterdir()] == ["probe"]


FULL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
from ser.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_ends_a_command_in_one_line_while_threads_extract(emodb_root, tmp_path):
    corpus = ["corpus=emodb", f"corpus.root={emodb_root}", f"store.root={tmp_path}/store"]
    done = warm.run(["-c", FULL, "extract", *corpus])
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: the store")
    assert "free space on its disk" in line


@pytest.mark.parametrize("damage", ["null", "swapped", "path", "shape", "list"])
def test_altered_digests_are_not_used(damage, table, tmp_path):
    store = quiet(tmp_path / "store")
    contents = store.contents(table)
    file = tmp_path / "store" / "digests.json"
    known = json.loads(file.read_text())
    one, two, *_ = known
    digest = 3
    if damage == "swapped":
        known[one][digest], known[two][digest] = known[two][digest], known[one][digest]
    elif damage == "path":
        known[one][digest] = "../../x"
    else:
        known[one] = {"null": None, "shape": [1, 2], "list": [[], [], [], [], []]}[damage]
    file.write_text(json.dumps(known))
    assert store.contents(table).equals(contents)
    assert json.loads(file.read_text())[one][digest] == contents.iloc[0]


def test_files_of_killed_processes_are_removed_before_others_are_written(table, tmp_path):
    store, folder = quiet(tmp_path / "store"), tmp_path / "store" / "unfinished"
    folder.mkdir(parents=True)
    host = platform.node().replace("-", "_")
    ended = subprocess.Popen(["true"])
    ended.wait()
    names = [f"{host}-{ended.pid}-0", f"{host}-{os.getpid()}-1", f"another-{ended.pid}-2"]
    for name in names:
        (folder / name).touch()
    store.fill(table.head(1), [BANDS])
    assert sorted(file.name for file in folder.iterdir()) == sorted(["probe", *names[1:]])


def test_a_wrong_dim_is_an_error_before_any_work(table, tmp_path):
    wrong = OpenSmile("IS09", "lld", "frame", 15, 16000)
    for attempt in (
        lambda: quiet(tmp_path / "store").fill(table, [wrong]),
        lambda: quiet(tmp_path / "store").load(table, wrong, in_memory=True),
    ):
        with pytest.raises(UserError, match="has 16 columns, but the config says dim: 15"):
            attempt()
    assert not (tmp_path / "store").exists()
