"""The wheel: built from the source distribution, installed elsewhere, used in an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

from ser.config import CONF

ROOT = Path(__file__).parents[1]
SOURCES = ("ser", "conf", "hydra_plugins", "train.py", "pyproject.toml")
DOCUMENTS = ("README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff")
HOOK = "import sys, setuptools.build_meta as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
TINY = ["trainer.max_epochs=1", "model.encoder.hidden=[8]"]
# Predicts by the Python API and reports, in one process, because torch takes long to import.
USE = """
import sys, ser
from ser.__main__ import main
assert ser.__file__.startswith(sys.prefix), ser.__file__
run = ser.load(sys.argv[1])
print(run.predict(sys.argv[2]))
assert main(["predict", sys.argv[1], sys.argv[2]]) == 0
assert main(["report", "outputs/runs"]) == 0
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel and the libraries of this one, in a git checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in SOURCES + DOCUMENTS:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, checkout / name)
    call([sys.executable, "-c", HOOK, "build_sdist", folder], checkout)
    (sources,) = folder.glob("ser-*.tar.gz")
    with tarfile.open(sources) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sources.name.removesuffix(".tar.gz")
    call([sys.executable, "-c", HOOK, "build_wheel", folder], unpacked)
    (wheel,) = folder.glob("ser-*.whl")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    paths = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
    libraries = Path(sysconfig.get_path("purelib", vars=paths))
    # Libraries are searched there, but an editable installation in that folder is not.
    (libraries / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
    call([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], folder)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x"]
    call([*git, "init", "--quiet"], folder)
    call([*git, "commit", "--quiet", "--allow-empty", "--message=other"], folder)
    return python


def call(command: list[object], folder: Path, env: Mapping[str, str] = os.environ) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_the_wheel_trains_predicts_and_reports_in_an_empty_folder(
    python: Path, demo_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "outputs").mkdir()  # the corpus takes half a minute to synthesise
    (tmp_path / "outputs" / "demo").symlink_to(demo_root)
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env["SER_STORE"] = str(demo_root.parent / "features")
    program = python.with_name("ser")
    assert "usage: ser " in call([program, "--help"], tmp_path, env)
    printed = call([program, "train", *TINY], tmp_path, env)
    assert "Next\n  ser predict outputs/runs/demo/" in printed
    (result,) = (tmp_path / "outputs" / "runs").rglob("result.json")
    cost = json.loads((result.parent / "cost.json").read_text())
    assert cost["commit"] is None  # not that of the repository around it
    recording = min(demo_root.rglob("Ses*.wav"))  # without the hidden files of macOS
    printed = call([python, "-c", USE, result.parent, recording], tmp_path, env)
    assert "{'anger': 0." in printed
    assert (tmp_path / "outputs" / "reports" / "runs" / "report.md").exists()


def test_a_checkout_reads_its_own_configuration() -> None:
    assert CONF == ROOT / "conf"
    assert not (ROOT / "ser" / "conf").exists()
