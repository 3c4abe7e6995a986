"""The command line, `python -m ser`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser.__main__ import COMMANDS, Command, main, make_parser
from ser.sweeps.selection import report_name


def test_check_of_a_whole_corpus_succeeds(
    emodb_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "corpus=emodb", f"corpus.root={emodb_root}"]) == 0
    output = capsys.readouterr().out
    assert "535" in output
    assert "boredom" in output


def test_check_of_a_damaged_corpus_fails_and_names_the_file(
    emodb_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(emodb_root / "wav", tmp_path / "wav")
    damaged = tmp_path / "wav" / "03a01Fa.wav"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    (tmp_path / "wav" / "03a01Nc.wav").unlink()
    assert main(["check", "corpus=emodb", f"corpus.root={tmp_path}"]) == 1
    output = capsys.readouterr().out
    assert "03a01Fa.wav: truncated" in output
    assert "534 in the corpus, 535 published" in output


def test_extract_fills_the_store_for_all_features_named(
    emodb_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few.csv"
    files = [emodb_root / "wav" / name for name in ("03a01Fa.wav", "08a01Na.wav")]
    few.write_text("speaker,file\n" + "".join(f"{f.name[:2]},{f}\n" for f in files))
    overrides = ["corpus=manifest", f"corpus.root={few}", f"store.root={tmp_path / 'store'}"]
    assert main(["extract", *overrides, "features=functionals,lld"]) == 0
    assert capsys.readouterr().err.count("2 extracted, 0 already stored") == 2
    assert main(["extract", *overrides, "features=lld,functionals"]) == 0
    assert capsys.readouterr().err.count("0 extracted, 2 already stored") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "corpus=emodb", "corpus.root=nowhere"], "nowhere does not exist"),
        (["check", "corpus=emmodb"], "did you mean corpus=emodb"),
        (["extract", "features=functional"], "did you mean features=functionals"),
        (["check", "corpus.rot=x"], "did you mean corpus.root"),
    ],
)
def test_wrong_option_raises_a_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


# What takes long to import. `python -m ser` alone, and its help, need none of it.
HEAVY = ("torch", "hydra", "omegaconf", "numpy", "pandas", "rich")


def test_without_a_command_all_commands_are_listed_and_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from ser.__main__ import main; assert main([]) == 0; "
        f"print(sorted(sys.modules.keys() & set({HEAVY})), file=sys.stderr)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stderr.strip() == "[]"
    for command in COMMANDS:
        assert re.search(rf"\n    {command.run.__name__}\s", process.stdout)
    assert max(map(len, process.stdout.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS[1:], ids=lambda command: command.run.__name__)
def test_example_in_the_help_of_a_command_can_be_parsed(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command.run.__name__, "--help"])
    assert stop.value.code == 0
    assert f"python -m ser {command.run.__name__} {command.example}" in capsys.readouterr().out
    options = make_parser().parse_args([command.run.__name__, *command.example.split()])
    assert options.call is command.run


@pytest.mark.parametrize(
    "selection", [["a", "b"], ["a", "grid=demo"], ["a", "report.baseline=mlp", "seed=0"]]
)
def test_folder_and_grid_cannot_be_selected_together(
    selection: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", *selection]) == 1
    assert "expected one folder of runs" in capsys.readouterr().err


def test_reports_of_folders_of_one_name_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    selections = [
        ["a/runs"], ["b/runs"], ["outputs/runs"], [str(tmp_path.parent / "runs")], ["grid=demo"],
    ]  # fmt: skip
    names = [str(report_name(selection, "demo")) for selection in selections]
    assert names[:3] == ["a/runs", "b/runs", "runs"]
    assert names[4] == "demo"
    assert len(set(names)) == len(names)
