"""The progress of a grid, or of a folder of runs: `python -m ser status`."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import Literal, get_args

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ser.console import console
from ser.errors import last_line
from ser.results import RunFolder
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun

State = Literal["done", "running", "failed", "stopped", "missing"]
STATES: tuple[State, ...] = get_args(State)
MOST_REASONS = 10  # reasons of failure that are listed; further ones are counted
PIPE_WIDTH = 1000  # columns of output that is not printed on a terminal
REFRESH_SECONDS = 2.0
# Between two runs of a sweep no run is running for a moment. The display ends only after so many
# refreshes in a row without a running run.
IDLE_REFRESHES = 3


@dataclass(frozen=True)
class RunStatus:
    """The state of a run, as its folder shows it.

    Attributes:
        run: The run.
        state: "stopped" is a run that was started, but that no process is working on; "missing"
            is one that was never started.
        error: Last line of the error of a failed run.
        seconds: Time that the run took, or has taken so far.
    """

    run: PlannedRun
    state: State
    error: str | None = None
    seconds: float = 0.0


def read_status(run: PlannedRun) -> RunStatus:
    """Return the state of a run."""
    folder = RunFolder(run.folder)
    if folder.is_finished:
        seconds = folder.read_cost().get("seconds")
        return RunStatus(run, "done", seconds=seconds if isinstance(seconds, float | int) else 0.0)
    unfinished = folder.unfinished_file
    if folder.is_claimed:
        if not unfinished.exists():  # the run is still reading its corpus
            return RunStatus(run, "running")
        seconds = folder.seconds_before + time.time() - unfinished.stat().st_mtime
        return RunStatus(run, "running", seconds=seconds)
    if (error := folder.read_error()) is not None:
        return RunStatus(run, "failed", last_line(error))
    if unfinished.exists():
        return RunStatus(run, "stopped", seconds=folder.seconds_spent)
    return RunStatus(run, "missing")


def show_status(get_grid: Callable[[], Grid]) -> int:
    """Print the progress of runs; on a terminal, refresh it while any is running.

    Args:
        get_grid: Function that returns the runs. It is called for each refresh, because a sweep
            may add runs to a folder.

    Returns:
        0 if every run is done, otherwise 1.
    """
    grid = get_grid()
    statuses = [read_status(run) for run in grid.runs]
    print_left_out(grid.damaged)
    if console.is_terminal and _count(statuses)["running"]:
        with suppress(KeyboardInterrupt):
            statuses = _refresh(statuses, get_grid)
    else:
        # A pipe has no width: rich would cut the table at 80 columns.
        wide = Console(width=PIPE_WIDTH, highlight=False, soft_wrap=True)
        (console if console.is_terminal else wide).print(_render(statuses))
    return 0 if _count(statuses)["done"] == len(statuses) else 1


def print_left_out(reasons: Sequence[str], console: Console | None = None) -> None:
    """Print why run folders are left out, one line each.

    Args:
        reasons: Messages.
        console: Where they are printed; None: the standard error stream.
    """
    console = console or Console(stderr=True)
    for reason in reasons:
        console.print(f"left out: {reason}", style="red", markup=False, soft_wrap=True)


def _refresh(statuses: list[RunStatus], get_grid: Callable[[], Grid]) -> list[RunStatus]:
    """Refresh the table until no run is running, and return the last states."""
    idle = 0
    with Live(_render(statuses), console=console, refresh_per_second=1) as live:
        while idle < IDLE_REFRESHES:
            time.sleep(REFRESH_SECONDS)
            statuses = [read_status(run) for run in get_grid().runs]
            live.update(_render(statuses))
            idle = 0 if _count(statuses)["running"] else idle + 1
    return statuses


def seconds_left(statuses: Sequence[RunStatus]) -> float | None:
    """Estimate the time until all runs are done.

    A run is expected to take the mean time of the finished runs of its system, or of all systems
    if none is finished. The number of parallel runs is that of the runs running now.

    Returns:
        Seconds; None if no run is done.
    """
    seconds: dict[str, list[float]] = defaultdict(list)
    for each in statuses:
        if each.state == "done":
            seconds[each.run.system].append(each.seconds)
    if not seconds:
        return None
    means = {system: mean(times) for system, times in seconds.items()}
    overall = mean(means.values())
    remaining = sum(
        max(0.0, means.get(each.run.system, overall) - each.seconds)
        for each in statuses
        if each.state != "done"
    )
    return remaining / max(1, _count(statuses)["running"])


def _count(statuses: Sequence[RunStatus]) -> Counter[State]:
    return Counter(each.state for each in statuses)


def _render(statuses: Sequence[RunStatus]) -> Group:
    """Return the table, the reasons of failures and the time left, for rich to print."""
    left = seconds_left(statuses)
    estimate = [Text(f"about {_clock(left)} left at the current rate")] if left else []
    return Group(_table(statuses), *_failures(statuses), *estimate)


def _table(statuses: Sequence[RunStatus]) -> Table:
    """Return a table with a row per system under a heading per corpus and target."""
    table = Table(box=None, header_style="bold")
    table.add_column("runs", no_wrap=True)
    for column in (*STATES, "time used"):
        table.add_column(column, justify="right", no_wrap=True)
    groups: dict[str, dict[str, list[RunStatus]]] = defaultdict(lambda: defaultdict(list))
    for each in statuses:
        choices = each.run.choices
        groups[f"{choices['corpus']}, {choices['target']}"][each.run.system].append(each)
    for heading, systems in groups.items():
        table.add_row(heading, style="bold")
        for system, of_system in systems.items():
            table.add_row(f"  {system}", *_cells(of_system))
    table.add_row("all", *_cells(statuses), style="bold")
    return table


def _cells(statuses: Sequence[RunStatus]) -> list[str]:
    counts = _count(statuses)
    return [
        *(str(counts[state]) if counts[state] else "·" for state in STATES),
        _clock(sum(each.seconds for each in statuses)),
    ]


def _failures(statuses: Sequence[RunStatus]) -> list[Text]:
    """Return a line per reason of failure, the most frequent first."""
    reasons: dict[str, list[Path]] = defaultdict(list)
    for each in statuses:
        if each.error is not None:
            reasons[each.error].append(each.run.folder)
    lines = [
        Text(f"{len(folders)} failed: {reason}\n  e.g. {folders[0]}", style="red")
        for reason, folders in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]
    if len(lines) > MOST_REASONS:
        return [*lines[:MOST_REASONS], Text(f"and {len(lines) - MOST_REASONS} more reasons")]
    return lines


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
