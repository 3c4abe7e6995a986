"""The runs that a command is about: those below a folder, or those of a grid."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ser.errors import UserError
from ser.sweeps import grid
from ser.sweeps.grid import Grid

REPORTS = Path("outputs/reports")
BASELINE, COMPARISONS = "report.baseline=", "report.comparisons="
FORMATS, TSNE = "report.formats=", "report.tsne="
OF_FOLDERS = (BASELINE, COMPARISONS, FORMATS, TSNE)


def select_runs(selection: Sequence[str]) -> Grid:
    """Return the runs below a folder, or those of a grid that is given by overrides.

    Raises:
        UserError: The selection mixes folders and overrides, or selects no run.
    """
    folders = [each for each in selection if "=" not in each]
    if not folders:
        return grid.compose_grid(selection)
    overrides = [each for each in selection if "=" in each]
    if len(folders) > 1 or any(not each.startswith(OF_FOLDERS) for each in overrides):
        raise UserError(
            f"expected one folder of runs, optionally with {BASELINE}NAME, "
            f"{COMPARISONS}[[SYSTEM,REFERENCE]], {FORMATS}[pdf,png] or {TSNE}true, or only "
            "overrides such as grid=demo seed=0,1"
        )
    return _with_options(grid.find_runs(Path(folders[0])), overrides)


def select_report(selection: Sequence[str]) -> Grid:
    """Return the runs of a report: of one folder or grid, or of several that are compared.

    Systems of the same name are distinguished by the name of their folder or grid. Each is then
    compared with that of the first one; if the first one has but one system, all others are
    compared with that. `report.baseline` and `report.comparisons` replace this.

    Raises:
        UserError: As for `select_runs`, or nothing can be compared.
    """
    parts = _parts(selection)
    if len(parts) == 1:
        return select_runs(selection)
    grids = [select_runs(part) for part in parts]
    _require_comparable(grids, parts)
    labels = _labels(grids, parts)
    names = [{run.system for run in each.runs} for each in grids]
    shared = {name for name in set().union(*names) if sum(name in each for each in names) > 1}

    def named(system: str, label: str) -> str:
        return f"{system} ({label})" if system in shared else system

    parts_of = tuple(
        replace(
            each,
            runs=tuple(replace(run, system=named(run.system, label)) for run in each.runs),
            selection=tuple(part),
        )
        for each, label, part in zip(grids, labels, parts, strict=True)
    )
    pairs = [
        (named(system, label), named(system, labels[0]))
        for of_part, label in list(zip(names, labels, strict=True))[1:]
        for system in sorted(of_part & names[0])
    ]
    is_single = len(names[0]) == 1 and not pairs
    joined = Grid(
        " and ".join(labels),
        tuple(run for each in parts_of for run in each.runs),
        next(iter(names[0])) if is_single else None,
        logger=next((each.logger for each in grids if each.logger is not None), None),
        comparisons=tuple(pairs),
        damaged=tuple(message for each in grids for message in each.damaged),
    )
    options = tuple(each for each in selection if each.startswith(OF_FOLDERS))
    joined = replace(joined, parts=parts_of, selection=options)
    if any(each.startswith((BASELINE, COMPARISONS)) for each in options):
        joined = replace(joined, baseline=None, comparisons=())
    return _with_options(joined, options)


def report_name(selection: Sequence[str], name: str) -> Path:
    """Return the name of a report: the grid, or the path of a folder, as their names may be equal.

    Examples:
        >>> report_name(["outputs/runs/emodb"], "emodb")
        PosixPath('runs/emodb')
        >>> report_name(["grid=emodb_table1"], "emodb_table1")
        PosixPath('emodb_table1')
        >>> report_name(["outputs/runs/a", "grid=demo"], "a and demo")
        PosixPath('a_and_demo')
    """
    folders = [each for each in selection if "=" not in each]
    if not folders or len(_parts(selection)) > 1:
        return Path(name.replace(" ", "_").replace("/", "_"))
    folder, working = Path(folders[0]).resolve(), Path.cwd()
    if not folder.is_relative_to(working) or folder == working:
        return folder.relative_to(folder.anchor)
    relative = folder.relative_to(working)
    outputs = REPORTS.parent
    return relative.relative_to(outputs) if outputs in relative.parents else relative


def _with_options(runs: Grid, overrides: Sequence[str]) -> Grid:
    """Return a grid with options of its report."""
    for override in overrides:
        if override.startswith(BASELINE):
            runs = replace(runs, baseline=override.removeprefix(BASELINE))
        elif override.startswith(FORMATS):
            runs = replace(runs, formats=grid.parse_formats(override.removeprefix(FORMATS)))
        elif override.startswith(TSNE):
            runs = replace(runs, tsne=_parse_switch(override))
        else:
            pairs = grid.parse_comparisons(override.removeprefix(COMPARISONS))
            runs = replace(runs, comparisons=pairs)
    return runs


def _parse_switch(override: str) -> bool:
    """Return the value of an override that is true or false.

    Raises:
        UserError: It is neither.
    """
    key, _, value = override.partition("=")
    if value.lower() not in ("true", "false"):
        raise UserError(f"{key}={value}: expected true or false")
    return value.lower() == "true"


# ---- several folders or grids


def _parts(selection: Sequence[str]) -> list[list[str]]:
    """Return a selection for each folder or grid: each begins one, with the overrides after it."""
    starts = [each for each in selection if "=" not in each or each.startswith("grid=")]
    if len(starts) < 2:
        return [list(selection)]
    parts: list[list[str]] = [[]]
    for each in selection:
        if each.startswith(OF_FOLDERS):
            continue
        if each in starts and any(known in starts for known in parts[-1]):
            parts.append([])
        parts[-1].append(each)
    return parts


def _require_comparable(grids: Sequence[Grid], parts: Sequence[Sequence[str]]) -> None:
    """Raise a UserError unless all have a corpus and target in common, and no run."""
    given = [" ".join(part) for part in parts]
    columns = [{run.cell[1:] for run in each.runs} for each in grids]
    if not set.intersection(*columns):
        listed = "; ".join(
            f"{name} has {', '.join(sorted(map(' '.join, of_part)))}"
            for name, of_part in zip(given, columns, strict=True)
        )
        raise UserError(f"no corpus and target is in all of them, so nothing is compared: {listed}")
    folders: dict[Path, str] = {}
    for each, name in zip(grids, given, strict=True):
        for folder in {run.folder.resolve() for run in each.runs}:
            if folder in folders:
                raise UserError(f"{folder} is in {folders[folder]} and in {name}: compare others")
            folders[folder] = name


def _labels(grids: Sequence[Grid], parts: Sequence[Sequence[str]]) -> list[str]:
    """Return a name for each folder or grid: its own if they differ, else what was given."""
    names = [each.name for each in grids]
    return names if len(set(names)) == len(names) else [" ".join(part) for part in parts]
