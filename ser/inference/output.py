"""Predictions of recordings as rows of a file or of a table, and a summary of them."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from ser.console import console, system
from ser.corpora import audio
from ser.inference import flags
from ser.inference.kinds import LABEL, Kind
from ser.inference.loading import Recogniser
from ser.inference.recordings import Excerpt
from ser.results import csv_text

UNCALIBRATED = "uncalibrated, and tend to be too high: calibrate=temperature scales them"


def _row(excerpt: Excerpt, kind: Kind, calibrated: bool) -> dict[str, Any]:
    """Return the columns of a row by name, None where unknown."""
    row: dict[str, Any] = {"file": excerpt.name}
    for name in ("start", "end"):
        seconds = getattr(excerpt, name)
        row[name] = None if seconds is None else round(seconds, 6)
    speech, distance = excerpt.speech, excerpt.distance
    return {
        **row,
        **kind.cells(excerpt.predicted, calibrated),
        "speech": excerpt.contains_speech,
        "speech_share": None if speech is None else round(speech.share, 4),
        "unlike_training": excerpt.unlike_training,
        "distance": None if distance is None else round(distance, 4),
        "reason": excerpt.reason,
    }


def rows_of(
    predicted: Sequence[Excerpt], recognisers: Sequence[Recogniser]
) -> list[dict[str, Any]]:
    """Return the columns of a row per prediction, by name.

    Args:
        predicted: Recordings or windows.
        recognisers: Runs that predicted them.
    """
    calibrated = all(each.is_calibrated for each in recognisers)
    return [_row(excerpt, recognisers[0].kind, calibrated) for excerpt in predicted]


def table_of(predicted: Sequence[Excerpt], recognisers: Sequence[Recogniser]) -> pd.DataFrame:
    """Return a table with a row per prediction; None where a value is unknown."""
    content = rows_of(predicted, recognisers)
    columns = list(_row(Excerpt(Path()), recognisers[0].kind, False))
    return pd.DataFrame(content, columns=columns, dtype=object)


def formatted(predicted: Sequence[Excerpt], recognisers: Sequence[Recogniser], suffix: str) -> str:
    """Return the content of a file with a row per prediction.

    Args:
        predicted: Recordings or windows.
        recognisers: Runs that predicted them.
        suffix: ".csv", ".json" or ".jsonl".
    """
    if suffix == ".csv":
        table = table_of(predicted, recognisers)
        for name in {"calibrated", "speech", "unlike_training"} & set(table):  # spelled as in JSON
            table[name] = table[name].map({True: "true", False: "false"})
        return csv_text(table, "%.9g")
    lines = [json.dumps(row, ensure_ascii=False) for row in rows_of(predicted, recognisers)]
    if suffix == ".jsonl":
        return "".join(f"{line}\n" for line in lines)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def print_table(
    predicted: Sequence[Excerpt], recognisers: Sequence[Recogniser], *, windows: bool
) -> None:
    """Print probabilities in percent or values, and the reasons why there are none.

    Args:
        predicted: Recordings, which are rows of a table, or windows.
        recognisers: Runs that predicted them.
        windows: The recordings have one table each.
    """
    kind = recognisers[0].kind
    shared = os.path.commonpath([os.path.dirname(os.path.abspath(s.name)) for s in predicted])
    names = [os.path.relpath(excerpt.name, shared) for excerpt in predicted]
    usable = [(n, s) for n, s in zip(names, predicted, strict=True) if s.predicted is not None]
    console.print(f"in {shared}", markup=False)
    if windows:
        for name, group in groupby(usable, key=itemgetter(0)):
            console.print(f"\n{name}", markup=False)
            rows = [(f"{s.start:.2f}-{s.end:.2f}", s) for _, s in group]
            console.print(_table("seconds", rows, kind))
    elif usable:
        console.print(_table("file", usable, kind))
    for name, excerpt in zip(names, predicted, strict=True):
        if excerpt.predicted is None:
            start = "" if excerpt.start is None or not windows else f" from {excerpt.start:.2f} s"
            console.print(f" {name}{start}: {excerpt.reason}", markup=False)


def _table(head: str, rows: Sequence[tuple[str, Excerpt]], kind: Kind) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(head, overflow="fold")
    flagged = any(excerpt.flag for _, excerpt in rows)
    for name in kind.heads(flagged):
        justify: JustifyMethod = "left" if name == LABEL else "right"
        table.add_column(name, justify=justify, no_wrap=True)
    if flagged:
        table.add_column("flag", style="yellow", no_wrap=True)
    for name, excerpt in rows:
        assert excerpt.predicted is not None
        cells = kind.printed(excerpt.predicted)
        table.add_row(escape(name), *cells, *([excerpt.flag] if flagged else []))
    return table


def _count_training_audio(usable: Sequence[Excerpt], recognisers: Sequence[Recogniser]) -> int:
    """Return how many recordings are among those that a run was fitted or selected on."""
    known = frozenset[str]().union(*(each.training_audio for each in recognisers))
    count = 0
    for file in {excerpt.file for excerpt in usable}:
        with suppress(audio.AudioError):  # removed since it was predicted
            count += audio.digest(file) in known
    return count


def summarise(
    predicted: Sequence[Excerpt],
    recognisers: Sequence[Recogniser],
    out: Path | None,
    *,
    windows: bool,
) -> int:
    """Print a summary to standard error, and return the exit status.

    Args:
        predicted: Recordings or windows.
        recognisers: Runs that predicted them.
        out: File that they were written to.
        windows: Whether these are windows.
    """
    usable = [excerpt for excerpt in predicted if excerpt.predicted is not None]
    by = system(recognisers[0].result)
    if len(recognisers) > 1:
        by = f"the mean of {len(recognisers)} runs"
    where = "" if out is None else f"{out}: "
    missing = len(predicted) - len(usable)
    reasons = f", {missing} not (see the reasons)" if missing else ""
    print(f"{where}{len(usable)} of {len(predicted)} predicted by {by}{reasons}", file=sys.stderr)
    if trained := _count_training_audio(usable, recognisers):
        print(f"{trained} of the recordings were used in training or selection", file=sys.stderr)
    for line in _warnings(usable, recognisers, "windows" if windows else "recordings"):
        print(line, file=sys.stderr)
    for remark in dict.fromkeys(r for each in recognisers for r in each.result["remarks"]):
        print(f"training: {remark}", file=sys.stderr)
    return 0 if usable else 1


def _warnings(
    usable: Sequence[Excerpt], recognisers: Sequence[Recogniser], of: str
) -> Iterator[str]:
    """Yield what makes predictions less reliable than the run's own test."""
    if silent := sum(not excerpt.contains_speech for excerpt in usable):
        yield flags.no_speech(silent, len(usable), of)
    if unlike := sum(bool(excerpt.unlike_training) for excerpt in usable):
        by_speaker = any(each.by_speaker for each in recognisers)
        yield flags.unlike_training(unlike, len(usable), of, by_speaker=by_speaker)
    if unknown := [each for each in recognisers if each.training_range is None]:
        yield (
            f"{unknown[0].folder.path}: made before runs saved the range of their training data, "
            "so distances from it are unknown; force=true trains it again"
        )
    if any(each.is_uncalibrated for each in recognisers):
        yield f"probabilities are {UNCALIBRATED}"
