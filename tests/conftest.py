"""Fixtures that several test packages share.

What is slow to import is imported inside functions: the process that distributes tests to others
reads this file, too, and the others start after it.
"""

import gc
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

# One thread per process, as in runs: tests run in parallel, and threads slow each other down on
# busy cores. The libraries read these variables when they are imported.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Compiled modules are kept, or each process would compile torch and its other imports again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import pytest
from filelock import FileLock
from processes import exit_codes, fork

if TYPE_CHECKING:
    from small import Composed


# Modules of tests that take more than ten seconds each. They come first: at the end, a process
# would wait for the other.
LONG = {
    "test_clusters.py",
    "test_commands_run.py",
    "test_fuzz_commands.py",
    "test_sweep.py",
    "test_wheel.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_collection_finish() -> None:
    """Exempt all that is imported from garbage collection, which takes 0.3 s after each run."""
    import torch

    import ser.runs.estimator
    import ser.runs.run  # noqa: F401  # no test that limits its time should wait for it

    torch.set_num_threads(1)
    gc.freeze()


Once = Callable[[str, Callable[[Path], object]], Path]


def _root_in(variable: str, content: str) -> Path:
    root = os.environ.get(variable)
    if not root:
        if os.environ.get("CI"):
            pytest.fail(f"{variable} is not set: in CI no test may be skipped")
        pytest.skip(f"needs {content}: set {variable} to its folder")
    return Path(root)


@pytest.fixture(scope="session")
def emodb_root() -> Path:
    """Real speech: EMO-DB at $SER_EMODB_ROOT."""
    return _root_in("SER_EMODB_ROOT", "EMO-DB")


@pytest.fixture(scope="session")
def emotale_root() -> Path:
    """Real speech in two languages with three raters: EmoTale at $SER_EMOTALE_ROOT."""
    return _root_in("SER_EMOTALE_ROOT", "EmoTale")


@pytest.fixture(scope="session")
def encoder_root() -> Path:
    """A real pretrained encoder at $SER_ENCODER_ROOT."""
    return _root_in("SER_ENCODER_ROOT", "an encoder")


@pytest.fixture(scope="session")
def tiny_encoders(once: Once) -> Path:
    """Folder of randomly initialised encoders of two blocks: wav2vec2, hubert, wavlm, whisper."""
    from encoders import save_tiny

    return once("encoders", save_tiny)


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """Parse every yaml once; Hydra parses about 30 files for each composition."""
    from hydra._internal.sources_registry import SourcesRegistry
    from hydra.core.plugins import Plugins

    Plugins.instance()  # registers the source of files
    source_class = SourcesRegistry.instance().resolve("file")
    load = source_class.load_config
    results: dict[tuple[str, str], bytes] = {}

    def load_once(source: Any, config_path: str) -> object:
        key = (source.path, config_path)
        if key not in results:
            results[key] = pickle.dumps(load(source, config_path))
        return pickle.loads(results[key])  # faster than a deep copy

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_class, "load_config", load_once)
        yield


@cache
def _composed(*overrides: str) -> bytes:
    from hydra import compose, initialize_config_dir

    from ser.config import CONF
    from ser.config.run_key import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", list(overrides), return_hydra_config=True)
    names = dict(cfg.hydra.runtime.choices)
    del cfg.hydra  # as Hydra hands it to the application
    return pickle.dumps((cfg, names))


@pytest.fixture(scope="session")
def composed() -> "Callable[..., Composed]":
    """Compose `train.yaml` with overrides, as train.py does; each combination once."""
    from ser.config.run_key import register_resolvers

    def compose_with(*overrides: str) -> "Composed":
        register_resolvers()  # a test may have cleared them
        return pickle.loads(_composed(*overrides))

    return compose_with


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Create the content of a folder once per test session, for all worker processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, complete = shared / f"shared-{name}", shared / f"shared-{name}.complete"
        with FileLock(shared / f"shared-{name}.lock"):
            if not complete.exists():
                shutil.rmtree(folder, ignore_errors=True)  # left by a process that failed
                folder.mkdir()
                make(folder)
                complete.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def emodb(emodb_root: Path, composed: "Callable[..., Composed]", once: Once) -> list[str]:
    """Overrides for half of EMO-DB and a store with its functionals and descriptors.

    All speakers have utterances of all emotions but a few.
    """
    from ser.config import build

    def options(folder: Path) -> list[str]:
        return ["corpus=emodb", f"corpus.root={folder}", f"store.root={folder}/store"]

    def fill(folder: Path) -> None:
        (folder / "wav").mkdir()
        for file in sorted((emodb_root / "wav").glob("*.wav"))[::2]:
            (folder / "wav" / file.name).symlink_to(file)
        cfg, _ = composed(*options(folder))
        build(cfg.store).fill(build(cfg.corpus).table, [build(cfg.features)])

    return options(once("emodb", fill))


@pytest.fixture(scope="session")
def finished(emodb: list[str], composed: "Callable[..., Composed]", once: Once) -> Path:
    """Folder of a finished run on EMO-DB with the options `SHORT`; read-only."""
    from small import SHORT

    from ser.runs.run import run

    def train(folder: Path) -> None:
        cfg, names = composed(*emodb, *SHORT)
        run(cfg, folder, names)

    return once("finished", train)


ACTIVATION = {"anger": 4.5, "happiness": 4.0, "neutral": 2.9, "sadness": 1.5}


@pytest.fixture(scope="session")
def few(emodb_root: Path, once: Once) -> list[str]:
    """Overrides for a part of EMO-DB (ten speakers, an utterance per emotion) and its store."""
    from ser.corpora.emodb import emodb as read_emodb

    def write(folder: Path) -> None:
        table = read_emodb(emodb_root).table
        table = table[table["emotion"].isin(ACTIVATION)]
        table = table.groupby(["speaker", "emotion"]).head(1).copy()
        table["activation"] = table["emotion"].map(ACTIVATION)
        columns = ["file", "speaker", "gender", "session", "emotion", "activation"]
        table[columns].to_csv(folder / "few.csv", index=False)

    folder = once("few", write)
    return ["corpus=manifest", f"corpus.root={folder}/few.csv", f"store.root={folder}/store"]


@pytest.fixture(scope="session")
def demo_root(once: Once) -> Path:
    """The demo corpus, created by two processes that request it at the same time."""

    def create(folder: Path) -> None:
        processes = [fork(_require_demo, folder / "demo") for _ in range(2)]
        assert exit_codes(*processes, seconds=300) == [0, 0]

    return once("demo", create) / "demo"


def _require_demo(root: Path) -> None:
    from ser.corpora.demo import demo

    assert len(demo(root).table) == 420
