"""How far a grid, or a folder of runs, has come."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import Literal

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ser import results
from ser.console import console
from ser.errors import last_line
from ser.sweeps.grid import Grid, PlannedRun

State = Literal["done", "running", "failed", "stopped", "missing"]
STATES: tuple[State, ...] = ("done", "running", "failed", "stopped", "missing")
LISTED = 10  # reasons of failure named; further ones are counted
REFRESHED = 2.0  # seconds
IDLE = 3  # looks in a row that find nothing running: between two runs there is a moment of it


@dataclass(frozen=True)
class Found:
    """What a run's folder says of it.

    Attributes:
        run: that was asked for.
        state: "stopped": begun, and no process is making it; "missing": never begun.
        error: the last line of what made it fail.
        seconds: that it took, or has taken so far.
    """

    run: PlannedRun
    state: State
    error: str | None = None
    seconds: float = 0.0


def look(run: PlannedRun) -> Found:
    """What has become of a run."""
    folder = run.folder
    if (folder / results.RESULT).exists():
        cost = results.read_json(folder / results.COST) or {"seconds": 0.0}
        return Found(run, "done", seconds=cost["seconds"])
    begun = folder / results.UNFINISHED
    if results.is_claimed(folder):
        if not begun.exists():  # it reads its corpus
            return Found(run, "running")
        before = (results.read_json(begun) or {}).get("seconds", 0.0)
        return Found(run, "running", seconds=before + time.time() - begun.stat().st_mtime)
    if failure := results.read_json(folder / results.FAILURE):
        return Found(run, "failed", last_line(failure["error"]))
    if begun.exists():
        return Found(run, "stopped", seconds=results.seconds_spent(folder))
    return Found(run, "missing")


def status(grid: Callable[[], Grid]) -> int:
    """Prints how far runs have come; on a terminal, again and again while some are running.

    Args:
        grid: looks the runs up; again each time, as a folder's grow in number.

    Returns:
        0: every run is done, 1: some are not.
    """
    found = [look(run) for run in grid().runs]
    if console.is_terminal and _count(found)["running"]:
        with suppress(KeyboardInterrupt):
            found = _live(found, grid)
    else:
        console.print(_table(found))
    return 0 if _count(found)["done"] == len(found) else 1


def _live(found: list[Found], grid: Callable[[], Grid]) -> list[Found]:
    """Shows the table until nothing runs any more; what was found last."""
    idle = 0
    with Live(_table(found), console=console, refresh_per_second=1) as live:
        while idle < IDLE:
            time.sleep(REFRESHED)
            found = [look(run) for run in grid().runs]
            live.update(_table(found))
            idle = 0 if _count(found)["running"] else idle + 1
    return found


def seconds_left(found: Sequence[Found]) -> float | None:
    """Time until all are done, at today's pace; None: nothing is done that would tell.

    A run is taken to need what runs of its system have needed, and as many to be made side by
    side as are running now.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    for each in found:
        if each.state == "done":
            taken[each.run.system].append(each.seconds)
    if not taken:
        return None
    overall = mean(mean(each) for each in taken.values())
    total = 0.0
    for each in found:
        if each.state != "done":
            needed = mean(taken[each.run.system]) if each.run.system in taken else overall
            total += max(0.0, needed - each.seconds)
    return total / max(1, _count(found)["running"])


def _count(found: Sequence[Found]) -> Counter[State]:
    return Counter(each.state for each in found)


def _table(found: Sequence[Found]) -> Group:
    table = Table(box=None, header_style="bold")
    table.add_column("runs", no_wrap=True)
    for state in STATES:
        table.add_column(state, justify="right", no_wrap=True)
    table.add_column("time used", justify="right", no_wrap=True)
    lines: dict[str, dict[str, list[Found]]] = defaultdict(lambda: defaultdict(list))
    for each in found:
        names = each.run.choices
        lines[f"{names['corpus']}, {names['target']}"][each.run.system].append(each)
    for what, systems in lines.items():
        table.add_row(what, style="bold")
        for system, some in systems.items():
            table.add_row(f"  {system}", *_cells(some))
    table.add_row("all", *_cells(found), style="bold")
    left = seconds_left(found)
    told = [] if left is None or not left else [Text(f"about {_clock(left)} left, at this pace")]
    return Group(table, *_failures(found), *told)


def _cells(found: Sequence[Found]) -> list[str]:
    counts = _count(found)
    return [
        *(str(counts[state]) if counts[state] else "·" for state in STATES),
        _clock(sum(each.seconds for each in found)),
    ]


def _failures(found: Sequence[Found]) -> list[Text]:
    reasons: dict[str, list[Path]] = defaultdict(list)
    for each in found:
        if each.error is not None:
            reasons[each.error].append(each.run.folder)
    told = [
        Text(f"{len(folders)} failed: {reason}\n  e.g. {folders[0]}", style="red")
        for reason, folders in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]
    further = [Text(f"and {len(told) - LISTED} more reasons")] if len(told) > LISTED else []
    return told[:LISTED] + further


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
