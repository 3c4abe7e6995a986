"""The start of a run: what is refused leaves nothing, what is finished is not touched."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import warm

from ser.results import RunFolder

TINY = ["trainer.max_epochs=2", "model.encoder.hidden=[4]", "fold=random"]


def train(folder: Path, *overrides: str) -> CompletedProcess[str]:
    return warm.run([warm.TRAIN, *TINY, *overrides, f"hydra.run.dir={folder}"])


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of change and content of all files and folders below a folder."""
    return {
        str(path): (path.stat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
        for path in (folder, *folder.rglob("*"))
    }


@pytest.fixture(scope="session")
def made(few: list[str], once: Callable[..., Path]) -> Path:
    """Folder of a run that train.py has finished; read-only."""

    def make(folder: Path) -> None:
        assert train(folder, *few).returncode == 0

    return once("start", make)


def test_run_describes_itself(made: Path, few: list[str]) -> None:
    folder = RunFolder(made)
    assert folder.require_config().trainer.max_epochs == 2
    assert "max_epochs" in folder.overrides_file.read_text()
    assert "corpus: manifest" in folder.choices_file.read_text()
    assert "predictions" not in folder.log_file.read_text()


def test_finished_run_is_not_touched(made: Path, few: list[str]) -> None:
    before = state(made)
    done = train(made, *few, "trainer.runs_per_gpu=2", "logger=tensorboard")
    assert done.returncode == 0
    assert "is finished: test UA" in done.stdout
    assert state(made) == before


def test_finished_run_of_other_options_is_kept_unless_forced(made: Path, few: list[str]) -> None:
    before = state(made)
    done = train(made, *few, "seed=1")
    assert done.returncode == 1
    assert "force=true replaces it" in done.stderr
    assert state(made) == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=abc"], "seed=abc: input should be a valid integer"),
        (["corpus.root=nowhere.csv"], "nowhere.csv does not exist"),
        (["fold.index=99"], "fold.index must be from 0 to"),
        (["target=valence"], "has no valence; its targets are emotion, activation"),
        (["target.classes=[anger,boredom]"], "has class boredom"),
        (["model.lr=0.1"], "did you mean model.optimiser.lr?"),
        (["emodb"], "did you mean corpus=emodb?"),
        (["corpus=emodb,ravdess"], "python train.py -m corpus=emodb,ravdess"),
        (["features=lld"], "needs utterance-level features"),
        (["model=mpl"], "did you mean model=mlp?"),
        (["+model.kernl=rbf"], "model.kernl: there is no such option"),
    ],
)
def test_mistake_is_answered_in_one_line_and_leaves_nothing(
    overrides: list[str], message: str, few: list[str], tmp_path: Path
) -> None:
    done = train(tmp_path / "run", *few, *overrides)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "run").exists()


def test_folder_that_cannot_be_made_is_named(few: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder, reason in (
        (tmp_path / "file" / "run", "Not a directory"),
        (Path("/proc/run"), "No such file or directory"),
    ):
        done = train(folder, *few)
        assert done.returncode == 1
        assert done.stderr.strip() == (
            f"error: hydra.run.dir={folder}: {reason}; choose a folder that can be written"
        )


def test_second_corpus_is_read_before_training(few: list[str], tmp_path: Path) -> None:
    done = train(tmp_path / "run", *few, "test_corpus=emodb", "test_corpus.root=nowhere")
    assert done.returncode == 1
    assert "nowhere does not exist" in done.stderr
    assert not (tmp_path / "run").exists()


# Executes train.py with some arguments after others, and prints whether torch was imported.
SCRIPT = """
import runpy, sys
train, *calls = sys.argv[1:]
for call in calls:
    sys.argv = [train, *call.split()]
    try:
        runpy.run_path(train, run_name="__main__")
    except SystemExit as stop:
        print(stop.code)
print("torch" in sys.modules, "sklearn" in sys.modules)
"""


def test_answers_come_without_torch(made: Path, few: list[str]) -> None:
    common = " ".join([*TINY, *few])
    calls = [
        f"{common} hydra.run.dir={made}",  # finished
        f"{common} data.batch_size=0",
        f"{common} model=cnn",
        f"{common} features=lld representation=vae model=lstm fold.index=99",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, warm.TRAIN, *calls],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "is finished" in done.stdout
    assert "data.batch_size=0" in done.stdout
    assert "needs frame-level features" in done.stdout
    assert "fold.index must be" in done.stdout
    assert done.stdout.splitlines()[-1] == "False False"


def test_run_that_cannot_read_its_features_leaves_nothing(few: list[str], tmp_path: Path) -> None:
    """Hydra has created the folder when this is known."""
    manifest = tmp_path / "few.csv"
    lines = Path(few[1].partition("=")[2]).read_text().splitlines(keepends=True)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    columns = lines[-1].split(",")
    manifest.write_text(
        "".join(lines[:-1]) + ",".join([str(tmp_path / "broken.wav"), *columns[1:]])
    )
    done = train(tmp_path / "run", *few, f"corpus.root={manifest}")
    assert done.returncode == 1
    assert "broken.wav" in done.stderr
    assert not (tmp_path / "run").exists()
