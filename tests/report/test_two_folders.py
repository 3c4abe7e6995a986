"""Reports of several folders or grids, which compare their systems."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_runs import plan_grid, write_grid
from written import write_report

from ser.errors import UserError
from ser.report.recipes import commands
from ser.results import RunFolder, write_json
from ser.sweeps import selection
from ser.sweeps.grid import Grid
from ser.sweeps.selection import report_name, select_report

Folders = dict[str, Grid]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """Grids by the name of the folder or grid that is given on the command line."""
    known: Folders = {}

    def find(folder: Path) -> Grid:
        return known[str(folder)]

    def compose(overrides: list[str]) -> Grid:
        return known[" ".join(overrides)]

    monkeypatch.setattr(selection.grid, "find_runs", find)
    monkeypatch.setattr(selection.grid, "compose_grid", compose)
    return known


def made(root: Path, systems: list[str], **options: Any) -> Grid:
    grid = write_grid(root, systems, seeds=2, folds=4, baseline=None, **options)
    return replace(grid, name=root.name)


def test_systems_of_one_name_are_compared(folders: Folders, tmp_path: Path) -> None:
    folders["old"] = made(tmp_path / "old", ["mlp", "svm"])
    folders["new"] = made(tmp_path / "new", ["mlp", "aae"])
    grid = select_report(["old", "new", "report.formats=[pdf]"])
    assert (grid.name, grid.formats) == ("old and new", ("pdf",))
    assert {run.system for run in grid.runs} == {"mlp (old)", "mlp (new)", "svm", "aae"}
    assert grid.comparisons == (("mlp (new)", "mlp (old)"),)
    written = write_report(grid, tmp_path / "out")
    table = pd.read_csv(written.out / "tests.csv")
    assert set(table["system"]) == {"mlp (new)"}
    assert set(table["reference"]) == {"mlp (old)"}
    main = table[table["main"]].iloc[0]
    assert main["difference"] == 0  # the same predictions, paired by speaker
    assert main["verdict"] == "no difference shown"
    # Options of the report replace this.
    grid = select_report(["old", "new", "report.baseline=svm"])
    assert (grid.baseline, grid.comparisons) == ("svm", ())


def test_commands_train_and_report_again(folders: Folders, tmp_path: Path) -> None:
    def trained(root: Path, systems: list[str], *options: str) -> Grid:
        """Return runs as they were made by a sweep with options of Hydra."""
        grid = plan_grid(root, systems, seeds=2, folds=1, baseline=None)
        for run in grid.runs:
            content = {"hydra": {"overrides": {"hydra": list(options)}}}
            write_json(RunFolder(run.folder).choices_file, content)
        runs = [
            replace(run, overrides=(f"model={run.system}", f"seed={run.seed}")) for run in grid.runs
        ]
        return replace(grid, name=root.name, runs=tuple(runs))

    folders["old"] = trained(tmp_path / "old", ["mlp", "svm"], "hydra.sweep.dir=old")
    folders["/data/new"] = trained(tmp_path / "new", ["mlp"], "hydra.run.dir=/data/new/x")
    folders["outputs/runs/x"] = trained(tmp_path / "x", ["cnn"])
    grid = select_report(["old", "/data/new", "report.formats=[pdf]", "outputs/runs/x"])
    report = "python -m ser report old path/to/new outputs/runs/x 'report.formats=[pdf]'"
    assert commands(grid, {}) == (
        "python train.py -m model=mlp,svm seed=0,1 hydra.sweep.dir=old",
        "python train.py -m model=mlp seed=0,1 hydra.sweep.dir=path/to/new",
        "python train.py -m model=cnn seed=0,1",
        report,
    )
    composed = replace(folders["old"], overrides=("grid=demo", "seed=0,1", "store.root=/data"))
    folders["grid=demo seed=0,1"] = composed
    grid = select_report(["grid=demo", "seed=0,1", "/data/new"])
    assert commands(grid, {})[::2] == (
        "python train.py grid=demo seed=0,1",
        "python -m ser report grid=demo seed=0,1 path/to/new",
    )


def test_codes_of_a_folder_are_drawn_by_tsne_on_request(folders: Folders, tmp_path: Path) -> None:
    folders["old"] = made(tmp_path / "old", ["mlp"])
    folders["new"] = made(tmp_path / "new", ["mlp"])
    assert not select_report(["old"]).tsne
    assert select_report(["old", "report.tsne=true"]).tsne
    assert select_report(["old", "new", "report.tsne=True"]).tsne
    with pytest.raises(UserError, match="report.tsne=yes: expected true or false"):
        select_report(["old", "report.tsne=yes"])


def test_others_are_compared_with_the_only_system_of_the_first(
    folders: Folders, tmp_path: Path
) -> None:
    folders["old"] = made(tmp_path / "old", ["mlp"])
    folders["grid=aae seed=0,1"] = made(tmp_path / "aae", ["aae", "cnn"])
    grid = select_report(["old", "grid=aae", "seed=0,1"])
    assert (grid.baseline, grid.comparisons) == ("mlp", ())
    assert {run.system for run in grid.runs} == {"mlp", "aae", "cnn"}


def test_folders_of_one_name_are_distinguished_by_what_was_given(
    folders: Folders, tmp_path: Path
) -> None:
    for name in ("a/runs", "b/runs"):
        folders[name] = made(tmp_path / name, ["mlp"])
    grid = select_report(["a/runs", "b/runs"])
    assert {run.system for run in grid.runs} == {"mlp (a/runs)", "mlp (b/runs)"}
    assert str(report_name(["a/runs", "b/runs"], grid.name)) == "a_runs_and_b_runs"


def test_nothing_in_common_and_equal_runs_are_errors(folders: Folders, tmp_path: Path) -> None:
    folders["old"] = made(tmp_path / "old", ["mlp"])
    folders["new"] = made(tmp_path / "new", ["aae"], corpus="emodb")
    expected = "old has iemocap activation; new has emodb activation"
    with pytest.raises(UserError, match=f"no corpus and target is in all.*{expected}"):
        select_report(["old", "new"])
    folders["same"] = replace(folders["old"], name="same")
    with pytest.raises(UserError, match="is in old and in same: compare others"):
        select_report(["old", "same"])
    with pytest.raises(UserError, match="expected one folder of runs"):
        select_report(["old", "seed=0", "new"])
