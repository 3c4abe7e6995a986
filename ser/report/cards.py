"""What each system of a report is, what it costs, and how it is trained again."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ser.report.cells import Cell
from ser.report.data import ReportData
from ser.report.gather import Run
from ser.report.names import described, listed
from ser.report.provenance import UNKNOWN
from ser.report.recipes import Recipe

MOST = 8  # options that are listed
GROUPS = ("features", "representation", "model", "fold", "trainer")
NEITHER = ("identity", "cpu")  # choices that are not worth a line
LEFT_OUT = ("seed", "fold.index", "corpus", "target", "test", "data", "segments")


@dataclass(frozen=True)
class Card:
    """What a reader needs to know of a system.

    Attributes:
        anchor: Its id on the page.
        system: Its name.
        colour: Number of its colour.
        described: What it consists of, in words.
        facts: Names and values: experiment, choices of groups, parameters, scores.
        other: The most similar system with the same model and representation; empty if none.
        options: Options that differ from the other system: key, own value, value of the other.
        more: Number of further options that differ.
        commit: Commits of the code of its runs.
        cost: What its runs cost; empty if it is unknown.
        command: Command that trains its runs; empty if it is unknown.
    """

    anchor: str
    system: str
    colour: int
    described: str
    facts: tuple[tuple[str, str], ...]
    other: str
    options: tuple[tuple[str, str, str], ...]
    more: int
    commit: str
    cost: str
    command: str


def cards(data: ReportData) -> list[Card]:
    """Return a card for each system, in the order of the table."""
    return [_card(data, system) for system in data.systems]


def anchor(data: ReportData, system: str) -> str:
    """Return the id of the card of a system."""
    return f"system-{data.systems.index(system)}"


def _card(data: ReportData, system: str) -> Card:
    cells = [cell for cell in data.cells if cell.system == system]
    runs = [run for cell in cells if cell.tested_on is None for run in cell.runs.values()]
    recipe = _recipe(data, system)
    other, options = _unlike(data, system)
    commits = sorted({run.software.commit or UNKNOWN for run in runs})
    return Card(
        anchor(data, system),
        system,
        data.colour_of(system),
        next(filter(None, map(described, cells)), ""),
        tuple(_facts(data, cells, runs, recipe)),
        other,
        tuple(options[:MOST]),
        max(0, len(options) - MOST),
        listed(commits),
        _cost(runs),
        recipe.command if recipe and recipe.options else "",
    )


def _recipe(data: ReportData, system: str) -> Recipe | None:
    """Return how a system is made; that of a task is made as a whole."""
    return data.recipes.get(system) or data.recipes.get(system.partition(" target=")[0])


def _facts(
    data: ReportData, cells: list[Cell], runs: list[Run], recipe: Recipe | None
) -> Iterator[tuple[str, str]]:
    intervals = {
        id(cell): interval for cell, interval in zip(data.cells, data.intervals, strict=True)
    }
    for cell, summed in data.scored:
        if any(cell is each for each in cells):
            score = cell.scoring.primary
            interval = intervals[id(cell)]
            between = "" if interval is None else f" (95% {score.interval(interval)})"
            name = score.title if len(data.columns) == 1 else data.column_name(cell.column)
            yield name, f"{summed.text('pooled', score.name)}{between}"
    if recipe is not None:
        if experiment := recipe.choices.get("experiment"):
            yield "experiment", experiment
        for group in GROUPS:
            choice = recipe.choices.get(group)
            if choice and choice not in NEITHER:
                yield group, choice
    if counts := sorted({run.parameters for run in runs if run.parameters}):
        yield (
            "parameters",
            " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1]))),
        )


def _unlike(data: ReportData, system: str) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the most similar system of the same kind, and the options that differ from it."""
    own = _recipe(data, system)
    found: list[tuple[bool, int, str, list[tuple[str, str, str]]]] = []
    for other in data.systems:
        theirs = _recipe(data, other)
        if own is None or theirs is None or theirs is own or not (own.options and theirs.options):
            continue
        if any(own.choices.get(g) != theirs.choices.get(g) for g in ("model", "representation")):
            continue
        options = _options(own, theirs)
        has_others = own.choices.get("features") != theirs.choices.get("features")
        found.append((has_others, len(options), other, options))
    if not found:
        return "", []
    *_, name, options = min(found, key=lambda each: each[:2])
    return name, options


def _options(own: Recipe, other: Recipe) -> list[tuple[str, str, str]]:
    """Return the options that differ, but for those of groups whose choice differs."""
    groups = [g for g in GROUPS if own.choices.get(g) != other.choices.get(g)]
    left_out = (*LEFT_OUT, *groups)
    return [
        (key, own.options[key], other.options[key])
        # An option that only one of them has may be one that only its version has.
        for key in sorted(own.options.keys() & other.options.keys())
        if own.options[key] != other.options[key]
        and not any(key == name or key.startswith(f"{name}.") for name in left_out)
    ]


def _cost(runs: list[Run]) -> str:
    """Return what runs have cost, e.g. "16 s a run (15 runs, 4 minutes in all), 100 epochs"."""
    by_folder = {run.planned.folder: run for run in runs}.values()
    seconds = [run.cost["seconds"] for run in by_folder if run.cost.get("seconds") is not None]
    if not seconds:
        return ""
    total = f"{len(seconds)} {'run' if len(seconds) == 1 else 'runs'}, {_time(sum(seconds))} in all"
    threads = sorted({str(run.cost.get("threads", UNKNOWN)) for run in by_folder})
    lengths = [len(next(iter(run.curves.values()))) for run in by_folder if run.curves]
    epochs = f", {np.mean(lengths):.0f} epochs each" if lengths else ""
    on = f", {listed(threads)} {'thread' if threads == ['1'] else 'threads'}"
    return f"{_time(float(np.mean(seconds)))} a run ({total}){epochs}{on}"


def _time(seconds: float) -> str:
    """Format a duration.

    Examples:
        >>> _time(15.6), _time(234), _time(9000)
        ('16 s', '3.9 minutes', '2.5 hours')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
