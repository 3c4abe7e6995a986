"""Shared fits: what identifies their code, and which of them no run needs."""

from pathlib import Path

import pytest

from ser import results
from ser.__main__ import main
from ser.results import fitted
from ser.results.fitted import UsedKeys, fit_version, in_use


def test_version_follows_the_source_of_the_packages_that_define_a_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "report").mkdir()
    source, unrelated = tmp_path / "models" / "aae.py", tmp_path / "report" / "tables.py"
    source.write_text("width = 1\n")
    monkeypatch.setattr(fitted, "__file__", str(tmp_path / "results" / "fitted.py"))

    def digest() -> str:
        return fit_version.__wrapped__()

    first = digest()
    unrelated.write_text("")
    assert digest() == first
    monkeypatch.setattr(fitted, "version", lambda library: "0")
    other_libraries = digest()
    source.write_text("width = 2\n")
    assert len({first, other_libraries, digest()}) == 3


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Shared fits, and a run that uses two of them; it was interrupted while it wrote a file."""
    root, run = tmp_path / "fitted", tmp_path / "runs" / "one"
    monkeypatch.setenv("SER_FITTED", str(root))
    for key, version in (("used", fit_version()), ("old", "another"), ("unused", fit_version())):
        results.write_json(root / key / results.FITTED, {"version": version})
    (root / "unfinished").mkdir()
    keys = UsedKeys(run / "fitted_keys.txt")
    assert [keys.add(key) for key in ("used", "old", "used")] == [True, True, False]
    results.write_json(run / results.UNFINISHED, {})
    (run / "metrics.csv.part").touch()
    return root, tmp_path / "runs"


def contents(root: Path) -> set[str]:
    return {entry.name for entry in root.iterdir() if entry.is_dir()} - {"users"}


def test_clean_lists_and_removes_what_no_run_needs(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, runs = folders
    before = contents(root)
    assert main(["clean", str(runs)]) == 0
    printed = capsys.readouterr().out
    for name, reason in (
        ("old", "made by other code or library versions"),
        ("unused", "no run uses it"),
        ("unfinished", "unfinished, and no run uses it"),
        ("metrics.csv.part", "not written to its end"),
    ):
        (line,) = [line for line in printed.splitlines() if f"{name}  " in line]
        assert line.endswith(reason)
    assert "4 not needed, 0.0 MB; --delete removes them" in printed
    assert contents(root) == before
    assert main(["clean", str(runs), "--delete"]) == 0
    assert contents(root) == {"used"}
    assert not list(runs.rglob("*.part"))
    assert (runs / "one" / results.UNFINISHED).exists()


def test_clean_removes_nothing_while_a_process_uses_the_folder(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, runs = folders
    before = contents(root)
    with in_use(root):
        assert main(["clean", str(runs), "--delete"]) == 1
    assert "1 process(es) use it; clean it when they have ended" in capsys.readouterr().err
    assert contents(root) == before
    assert main(["clean", str(runs), "--delete"]) == 0


def test_clean_without_any_fits_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SER_FITTED", str(tmp_path / "none"))
    assert main(["clean", str(tmp_path), "--delete"]) == 0
    assert capsys.readouterr().out == "0 removed, 0.0 MB\n"
