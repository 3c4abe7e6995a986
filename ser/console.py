"""What a run tells its user on the terminal."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from ser.errors import last_line

if TYPE_CHECKING:  # `status` and `report` print, too, and need no torch
    pass

log = logging.getLogger(__name__)
console = Console(highlight=False, soft_wrap=True)


@contextmanager
def told(brief: bool) -> Iterator[None]:
    """While one of many runs is made: `brief` keeps all but warnings from the terminal.

    `train.log` in the run's folder has everything either way.
    """
    shown = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]
    levels = [handler.level for handler in shown]
    quiet = console.quiet
    if brief:
        console.quiet = True
        for handler in shown:
            handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        console.quiet = quiet
        for handler, level in zip(shown, levels, strict=True):
            handler.setLevel(level)


def report(folder: Path, result: Mapping[str, Any], seconds: float, experiment: str | None) -> None:
    """Prints a run's scores: the part tested, or validation where nobody is tested.

    Args:
        folder: of the run.
        result: of it.
        seconds: that it took.
        experiment: by which one of many runs is called, since those of a paper may differ in
            options alone; None: by its model.
    """
    part = "test" if result["test"] else "val"
    found = result[part]
    if console.quiet:
        what = system(result, experiment)
        print(f"{what}: {part} UA {100 * found['ua']:.1f}%, {seconds:.0f} s", flush=True)
        return
    table = _scores(f"{part} %", system(result), found)
    if part == "test":
        table.add_row(
            "on validation",
            *(f"{100 * result['val'][key]:.1f}" for key in ("ua", "wa", "f1")),
            style="dim",
        )
    console.print()
    console.print(table)
    console.print()
    console.print(_confusion(result["classes"], found))
    if absent := _absent(found):
        log.warning(
            "%s: absent from the %s part, and left out of UA and F1", ", ".join(absent), part
        )
    remark(result["remarks"])
    console.print(f"\nEverything lies in {_shown(folder)}")


def evaluated(folder: Path, found: Mapping[str, Any], *, brief: bool) -> None:
    """Prints the scores of a run on a corpus that it was not made on.

    Args:
        folder: of the evaluation.
        found: its `evaluation.json`.
        brief: in one line.
    """
    told = f"{system(found)}, trained on {found['system']['corpus']}"
    if brief:
        print(f"{told}: {found['corpus']} UA {100 * found['test']['ua']:.1f}%", flush=True)
        return
    console.print()
    console.print(_scores(f"{found['corpus']} %", told, found["test"]))
    console.print()
    # A row for each class that the corpus has, a column for each that the run tells.
    console.print(_confusion(found["classes"], found["test"], leave_out=_absent(found["test"])))
    remark(found["remarks"])
    console.print(f"\nEverything lies in {_shown(folder)}")


def _scores(head: str, name: str, found: Mapping[str, Any]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(head)
    for score in ("UA", "WA", "F1"):
        table.add_column(score, justify="right")
    table.add_row(name, *(f"{100 * found[key]:.1f}" for key in ("ua", "wa", "f1")))
    guessed = (f"{100 * found[key]:.1f}" for key in ("chance_ua", "majority_wa"))
    table.add_row("chance (UA), largest class (WA)", *guessed, "")
    return table


def _absent(found: Mapping[str, Any]) -> list[str]:
    return [name for name, recall in found["recall"].items() if recall is None]


def failed(folder: Path, error: Exception) -> None:
    """Says at once which of many runs failed; what ends the only one is told by `train.py`."""
    if console.quiet:
        print(f"failed: {_shown(folder)}: {last_line(error)}", flush=True)


def finished_before(folder: Path, result: Mapping[str, Any]) -> None:
    """Says that a run was found finished, and its score."""
    part = "test" if result["test"] else "val"
    log.info(
        "%s is finished: %s UA %.1f%% (force=true trains it again)",
        _shown(folder),
        part,
        100 * result[part]["ua"],
    )
    for remark in result["remarks"]:
        log.info("%s", remark)


def _shown(folder: Path) -> Path:
    """As a user would type it: relative where it lies below the working folder."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def remark(remarks: list[str]) -> None:
    for remark in remarks:
        console.print(f"[yellow]{remark}[/yellow]")


def _confusion(
    classes: list[str], found: Mapping[str, Any], leave_out: Sequence[str] = ()
) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column("true \\ told")
    for name in classes:
        # Shortened, so that eight classes fit on eighty columns.
        table.add_column(name[:6], justify="right", no_wrap=True)
    table.add_column("recall %", justify="right")
    for name, row in zip(classes, found["confusion"], strict=True):
        if name in leave_out:
            continue
        recall = found["recall"][name]
        shown = "absent" if recall is None else f"{100 * recall:.1f}"
        cells = [f"[bold]{n}[/bold]" if classes[i] == name else str(n) for i, n in enumerate(row)]
        table.add_row(name, *cells, shown)
    return table


def system(result: Mapping[str, Any], experiment: str | None = None) -> str:
    """What a run is called: model, features, fold and seed, or its experiment's name."""
    names = result["system"]
    codes = f"{names['representation']} of " if "representation" in names else ""
    what = f"{names['model']} on {codes}{names['features']}"
    what = experiment.rpartition("/")[2] if experiment else what
    return f"{what}, {names['fold']} {result['fold_index']}, seed {result['seed']}"
