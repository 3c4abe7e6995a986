"""How the systems of a report are made: their options, and the commands that train them again.

Commands leave out what depends on a machine, such as folders; placeholders take their place.
"""

import math
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from ser.arguments import program, train_program
from ser.config import run_key, stored
from ser.errors import UserError
from ser.results import RunFolder
from ser.sweeps.grid import Grid
from ser.sweeps.jobs import ALL, FOLD, options_of
from ser.sweeps.planned import PlannedRun

PATHS = ("corpus.root", "corpus.ratings", "features.root")
ORDER = {"grid": 0, "experiment": 1, FOLD: 3, "seed": 4}  # of options in a command; others: 2
SWEEP_DIR, RUN_DIR = "hydra.sweep.dir", "hydra.run.dir"
RUNS = "outputs/runs"  # default of the first
# A variable of the environment without which a run cannot start, e.g. ${oc.env:SER_EMODB_ROOT,null}
REQUIRED = re.compile(r"\$\{oc\.env:(\w+),null\}")


@dataclass(frozen=True)
class Recipe:
    """How a system is made.

    Attributes:
        choices: Choice of each config group.
        options: Options that can change its results, by dotted key; empty if they are unknown.
        command: Command that trains all of its runs.
    """

    choices: Mapping[str, str]
    options: Mapping[str, str]
    command: str


def recipes(grid: Grid, fold_counts: Mapping[str, int]) -> dict[str, Recipe]:
    """Return how each system of a grid is made, by name.

    Args:
        grid: Planned runs; the configuration is that of the first one that is in its folder.
        fold_counts: Number of folds of the partition, by system, as far as it is known.
    """
    known = {}
    for system, runs in _by_system(grid).items():
        config = _config(runs)
        options = {key: text for key, text in _flat(config) if not _is_without_effect(key)}
        command = _command(_swept(runs, fold_counts.get(system)), _required(config))
        known[system] = Recipe(runs[0].choices, options, command)
    return known


def commands(grid: Grid, fold_counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return the commands that train all runs of a grid again and report on them.

    Args:
        grid: Planned runs.
        fold_counts: As for `recipes`.
    """
    if grid.parts:
        trained = [text for each in grid.parts for text in _trained(each, fold_counts)]
        selected = [text for each in grid.parts for text in _selected(each)] + [*grid.selection]
        # Folders need no variables: their runs are finished.
        required = [name for each in grid.parts if each.overrides for name in _variables(each)]
    elif grid.overrides:
        trained = _trained(grid, fold_counts)
        selected, required = _selected(grid), _variables(grid)
    else:
        trained = _trained(grid, fold_counts)
        selected, required = [RUNS, *_compared(grid)], []
    report = f"{_assigned(required)}{program()} report {shlex.join(selected)}"
    return (*dict.fromkeys(trained), report)


def _compared(grid: Grid) -> list[str]:
    """Return the options of a report that say which systems are compared."""
    options = [] if grid.baseline is None else [f"report.baseline={grid.baseline}"]
    if grid.comparisons:
        pairs = [list(pair) for pair in grid.comparisons]
        text = yaml.safe_dump(pairs, default_flow_style=True, width=math.inf).strip()
        options.append(f"report.comparisons={text}")
    return options


def _trained(grid: Grid, fold_counts: Mapping[str, int]) -> list[str]:
    """Return the commands that train all runs of a grid, or of a folder, again.

    If one of several folders was chosen for its runs, they go there, where its report looks.
    """
    required, by_system = _variables(grid), _by_system(grid)
    if grid.overrides:
        return [_command([text for each in grid.overrides if (text := _portable(each))], required)]
    is_placed = bool(grid.selection) and _is_placed(
        [run for runs in by_system.values() for run in runs]
    )
    place = [f"{SWEEP_DIR}={text}" for text in _selected(grid)] if is_placed else []
    return list(_merged(by_system, fold_counts, required, place))


def _selected(grid: Grid) -> list[str]:
    """Return the arguments of a command that select a grid or folder, as on any machine."""
    if not grid.overrides:
        (folder,) = grid.selection
        is_elsewhere = folder.startswith(("/", "~"))
        return [f"path/to/{PurePath(folder).name}" if is_elsewhere else folder]
    portable = [text for each in grid.overrides if (text := _portable(each))]
    return portable + [text for text in grid.overrides if text.startswith("report.")]


def _variables(grid: Grid) -> list[str]:
    """Return the variables of the environment without which runs of a grid cannot start."""
    required = (name for runs in _by_system(grid).values() for name in _required(_config(runs)))
    return list(dict.fromkeys(required))


def _command(overrides: Sequence[str], required: Iterable[str]) -> str:
    """Return the command that trains runs; a grid says itself that they are several."""
    is_grid = any(text.startswith("grid=") for text in overrides)
    is_many = any("," in text or text.startswith(SWEEP_DIR) for text in overrides)
    many = ["-m"] if is_many and not is_grid else []
    return f"{_assigned(required)}{shlex.join([*train_program().split(), *many, *overrides])}"


def _merged(
    by_system: Mapping[str, Sequence[PlannedRun]],
    fold_counts: Mapping[str, int],
    required: Iterable[str],
    place: Sequence[str],
) -> Iterator[str]:
    """Yield one command for all systems, or one each if their runs are no product of options.

    Args:
        by_system: Runs by system.
        fold_counts: As of `recipes`.
        required: Variables of the environment that the runs need.
        place: Override of the folder that the runs are written to, if it is not the usual one.
    """
    runs = [run for of_system in by_system.values() for run in of_system]
    counts = {fold_counts.get(system) for system in by_system}
    together = _swept(runs, counts.pop() if len(counts) == 1 else None)
    products = [values.count(",") + 1 for _, values in options_of(_swept(runs, None)).items()]
    if math.prod(products) == len(runs) and len({_grid(run) for run in runs}) == 1:
        yield _command([*together, *place], required)
        return
    for system, of_system in by_system.items():
        swept = _swept(of_system, fold_counts.get(system))
        yield _command([*swept, *place], _required(_config(of_system)))


def _grid(run: PlannedRun) -> str | None:
    return options_of(run.overrides).get("grid")


def _by_system(grid: Grid) -> dict[str, list[PlannedRun]]:
    """Return the runs of each system in the order of their names, without evaluations."""
    runs: dict[str, list[PlannedRun]] = {}
    for run in sorted(grid.runs, key=lambda run: (run.system, run.corpus, run.fold, run.seed)):
        if run.tested_on is None:
            runs.setdefault(run.system, []).append(run)
    return runs


def _config(runs: Sequence[PlannedRun]) -> Mapping[str, Any]:
    """Return the configuration of the first run that has one, unresolved; empty if none has."""
    return _first(RunFolder(run.folder).config_file for run in runs)


def _is_placed(runs: Sequence[PlannedRun]) -> bool:
    """Return whether the folder of runs was an option of the command that made the first one."""
    node: Any = _first(RunFolder(run.folder).choices_file for run in runs)
    for name in ("hydra", "overrides", "hydra"):
        node = node.get(name) if isinstance(node, Mapping) else None
    given = node if isinstance(node, list) else []
    return any(str(each).startswith((SWEEP_DIR, RUN_DIR)) for each in given)


def _first(files: Iterable[Path]) -> dict[str, Any]:
    """Return the content of the first file that can be read; empty if none can."""
    for file in files:
        if file.exists():
            try:
                content = stored.read_yaml(file)
            except UserError:  # as the report says where it reads the run
                continue
            return content if isinstance(content, dict) else {}
    return {}


def _swept(runs: Sequence[PlannedRun], fold_count: int | None) -> list[str]:
    """Return the overrides of runs, with all values of those that differ."""
    values: dict[str, list[str]] = {}
    for run in runs:
        kept = [text for each in run.overrides if (text := _portable(each))]
        for key, value in options_of(kept).items():
            if value not in values.setdefault(key, []):
                values[key].append(value)
    if len(values.get(FOLD, [])) == fold_count:
        values[FOLD] = [ALL]
    if "grid" in values:  # cannot be swept
        values["grid"] = values["grid"][:1]
    order = sorted(values, key=lambda key: (ORDER.get(key, 2), list(values).index(key)))
    return [f"{key}={','.join(values[key])}" for key in order]


def _portable(override: str) -> str | None:
    """Return an override as it is on any machine; None if it does not concern what is trained.

    Examples:
        >>> _portable("corpus.root=/data/emodb"), _portable("hydra.sweep.dir=runs")
        ('corpus.root=path/to/emodb', None)
    """
    key, _, value = override.partition("=")
    name = key.lstrip("+~")
    if name.startswith("hydra"):
        return None
    if name not in PATHS and _is_without_effect(name):
        return None
    is_path = name in PATHS or value.startswith(("/", "~"))
    return f"{key}=path/to/{PurePath(value).name}" if is_path else override


def _is_without_effect(key: str) -> bool:
    names = run_key.WITHOUT_EFFECT
    return any(key == name or key.startswith(f"{name}.") for name in names)


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield dotted keys and values of a configuration."""
    if isinstance(node, Mapping) and node:
        for name, value in node.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        text = str(node)
        yield prefix, PurePath(text).name if text.startswith("/") else text


def _required(config: Mapping[str, Any]) -> list[str]:
    """Return the variables of the environment without which a run cannot start."""
    return [name for _, text in _flat(config) for name in REQUIRED.findall(text)]


def _assigned(names: Iterable[str]) -> str:
    """Return the beginning of a command that sets variables to folders of the reader.

    Examples:
        >>> _assigned(["SER_EMODB_ROOT", "SER_ENCODER"])
        'SER_EMODB_ROOT=path/to/emodb SER_ENCODER=path/to/encoder '
    """
    words = {name: name.removeprefix("SER_").removesuffix("_ROOT").lower() for name in names}
    return "".join(f"{name}=path/to/{word} " for name, word in words.items())
