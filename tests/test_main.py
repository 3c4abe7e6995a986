"""`python -m ser`, as a user types it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser.__main__ import main


def test_check_of_a_whole_corpus_succeeds(
    emodb_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "corpus=emodb", f"corpus.root={emodb_root}"]) == 0
    told = capsys.readouterr().out
    assert "535" in told
    assert "boredom" in told


def test_check_of_a_damaged_corpus_fails_and_names_the_file(
    emodb_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(emodb_root / "wav", tmp_path / "wav")
    damaged = tmp_path / "wav" / "03a01Fa.wav"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    (tmp_path / "wav" / "03a01Nc.wav").unlink()
    assert main(["check", "corpus=emodb", f"corpus.root={tmp_path}"]) == 1
    told = capsys.readouterr().out
    assert "03a01Fa.wav: truncated" in told
    assert "534 here, 535 published" in told


def test_extract_fills_the_store_for_all_features_named(
    emodb_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few.csv"
    files = [emodb_root / "wav" / name for name in ("03a01Fa.wav", "08a01Na.wav")]
    few.write_text("speaker,file\n" + "".join(f"{f.name[:2]},{f}\n" for f in files))
    overrides = ["corpus=manifest", f"corpus.root={few}", f"store.root={tmp_path / 'store'}"]
    assert main(["extract", *overrides, "features=functionals,lld"]) == 0
    assert capsys.readouterr().err.count("2 made, 0 there already") == 2
    assert main(["extract", *overrides, "features=lld,functionals"]) == 0
    assert capsys.readouterr().err.count("0 made, 2 there already") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "corpus=emodb", "corpus.root=nowhere"], "nowhere does not exist"),
        (["check", "corpus=emmodb"], "did you mean corpus=emodb"),
        (["extract", "features=functional"], "did you mean features=functionals"),
        (["check", "corpus.rot=x"], "did you mean root"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert told in capsys.readouterr().err


def test_help_names_the_commands() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "ser", "--help"], capture_output=True, text=True, check=True
    )
    assert "check" in found.stdout
    assert "extract" in found.stdout
