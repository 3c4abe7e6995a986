"""The runs that a command is about: those below a folder, or those of a grid."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ser.errors import UserError
from ser.sweeps import grid
from ser.sweeps.grid import Grid

REPORTS = Path("outputs/reports")
BASELINE, COMPARISONS = "report.baseline=", "report.comparisons="


def select_runs(selection: Sequence[str]) -> Grid:
    """Return the runs below a folder, or those of a grid that is given by overrides.

    Raises:
        UserError: The selection mixes folders and overrides, or selects no run.
    """
    folders = [each for each in selection if "=" not in each]
    if not folders:
        return grid.compose_grid(selection)
    overrides = [each for each in selection if "=" in each]
    if len(folders) > 1 or any(not e.startswith((BASELINE, COMPARISONS)) for e in overrides):
        raise UserError(
            f"expected one folder of runs, optionally with {BASELINE}NAME or "
            f"{COMPARISONS}[[SYSTEM,REFERENCE]], or only overrides such as grid=demo seed=0,1"
        )
    runs = grid.find_runs(Path(folders[0]))
    for override in overrides:
        if override.startswith(BASELINE):
            runs = replace(runs, baseline=override.removeprefix(BASELINE))
        else:
            pairs = grid.parse_comparisons(override.removeprefix(COMPARISONS))
            runs = replace(runs, comparisons=pairs)
    return runs


def report_name(selection: Sequence[str], name: str) -> Path:
    """Return the name of a report: the grid, or the path of a folder, as their names may be equal.

    Examples:
        >>> report_name(["outputs/runs/emodb"], "emodb")
        PosixPath('runs/emodb')
        >>> report_name(["grid=emodb_table1"], "emodb_table1")
        PosixPath('emodb_table1')
    """
    folders = [each for each in selection if "=" not in each]
    if not folders:
        return Path(name)
    folder, working = Path(folders[0]).resolve(), Path.cwd()
    if not folder.is_relative_to(working) or folder == working:
        return folder.relative_to(folder.anchor)
    relative = folder.relative_to(working)
    outputs = REPORTS.parent
    return relative.relative_to(outputs) if outputs in relative.parents else relative
