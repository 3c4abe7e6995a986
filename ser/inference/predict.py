"""What finished runs tell of new recordings: `python -m ser predict`."""

import json
import os
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from threadpoolctl import threadpool_limits

from ser.console import console, system
from ser.corpora import audio
from ser.errors import UserError
from ser.features import Listener
from ser.features.extraction import extracted
from ser.inference.loading import FRAMES, UTTERANCES, Recogniser, load_all
from ser.inference.recordings import LONGEST, Stretch, recordings, stretches
from ser.results import write_text


def predict(
    run: Path,
    paths: Sequence[Path],
    *,
    window: float | None,
    hop: float | None,
    one_speaker: bool,
    workers: int | None,
    out: Path | None,
) -> int:
    """Predicts recordings, and writes or prints a row for each, or for each window of each.

    Args:
        run: folder of a finished run, or of many, whose probabilities are averaged.
        paths: recordings, and folders to search for them.
        window: seconds of each; None: recordings are whole.
        hop: seconds from one's beginning to the next one's; None: the window's own length.
        one_speaker: all recordings are one speaker's, and all that is known of them.
        workers: recordings whose features are extracted at a time; None: one a core.
        out: a .csv, .json or .jsonl file; None: a table is printed.

    Returns:
        0 if anything was predicted, or else 1.

    Raises:
        UserError: an option, run or output that cannot be. Of recordings it is told row by row.
    """
    _require(window, hop, out)
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: at least 1")
    torch.set_num_threads(1)
    with threadpool_limits(1):  # several threads would sum in an order of their own
        recognisers = load_all(run)
        for recogniser in recognisers:
            recogniser.require_speaker(one_speaker)
        found = predictions(
            recognisers,
            stretches(recordings(paths), window, hop),
            one_speaker=one_speaker,
            workers=workers or joblib.cpu_count(),
        )
    classes = recognisers[0].classes
    if out is None:
        _show(found, classes, windows=window is not None)
    else:
        write_text(out, _written(found, classes, out.suffix))
    return _tell(found, recognisers, out)


def predictions(
    recognisers: Sequence[Recogniser],
    wanted: Iterable[Stretch],
    *,
    one_speaker: bool,
    workers: int,
) -> list[Stretch]:
    """Stretches with their probabilities, the mean over runs, or with the reason why not.

    Features are extracted ahead by threads, once for all runs that share them, while others are
    predicted; no more of them are held than a batch, unless all are one speaker's.
    """
    extractors = list({r.extractor.signature: r.extractor for r in recognisers}.values())
    wanted = list(wanted)
    columns = (
        TextColumn("predicting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    batch: list[Stretch] = []
    with (
        ThreadPoolExecutor(workers) as pool,
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
    ):
        done = progress.track(_ahead(pool, extract, wanted, extractors, 4 * workers), len(wanted))
        for stretch in done:
            batch.append(stretch)
            if not one_speaker and _is_full(batch):
                _predict(recognisers, batch, one_speaker)
                batch = []
        _predict(recognisers, batch, one_speaker)
    return wanted


def _ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Stretch, Sequence[Listener]], Stretch],
    wanted: Sequence[Stretch],
    extractors: Sequence[Listener],
    count: int,
) -> Iterator[Stretch]:
    """Work done in order, and begun for `count` stretches beyond the one that is handed out."""
    begun: deque[Future[Stretch]] = deque()
    for stretch in wanted:
        begun.append(pool.submit(work, stretch, extractors))
        if len(begun) > count:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def extract(stretch: Stretch, extractors: Sequence[Listener]) -> Stretch:
    """Fills in its features, or the reason why there are none."""
    if stretch.reason is not None:
        return stretch
    try:
        found = extracted(extractors, *audio.read(stretch.file, stretch.start, stretch.end))
    except audio.AudioError as error:
        stretch.reason = error.reason
        return stretch
    for extractor in extractors:
        values = found[extractor.signature]
        if isinstance(values, UserError):
            stretch.reason = str(values)
        else:
            stretch.arrays[extractor.signature] = values
    return stretch


def _is_full(batch: Sequence[Stretch]) -> bool:
    rows = sum(len(v) for s in batch for v in s.arrays.values() if v.ndim == 2)
    return len(batch) >= UTTERANCES or rows >= FRAMES


def _predict(
    recognisers: Sequence[Recogniser], batch: Sequence[Stretch], one_speaker: bool
) -> None:
    """Fills in the probabilities, and lets go of the features."""
    whole = [stretch for stretch in batch if stretch.reason is None]
    if whole:
        told = [
            each([s.arrays[each.extractor.signature] for s in whole], one_speaker=one_speaker)
            for each in recognisers
        ]
        means: np.ndarray = np.asarray(np.mean(told, axis=0, dtype=np.float64))
        for stretch, row in zip(whole, means, strict=True):
            stretch.probabilities = row
    for stretch in batch:
        stretch.arrays = {}


# ---- telling it


def _require(window: float | None, hop: float | None, out: Path | None) -> None:
    if window is not None and not 0.1 <= window <= LONGEST:
        bound = f"{LONGEST:.0f} seconds at most" if window > LONGEST else "at least 0.1 seconds"
        raise UserError(f"--window {window:g}: {bound}")
    if hop is not None and (window is None or not 0.1 <= hop <= window):
        raise UserError(f"--hop {hop:g}: from 0.1 seconds to those of --window")
    if out is None:
        return
    if out.suffix not in (".csv", ".json", ".jsonl"):
        raise UserError(f"--out {out}: a name that ends in .csv, .json or .jsonl")
    # Whether it can be written is found out before the work, not after it.
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass


def _row(stretch: Stretch, classes: Sequence[str]) -> dict[str, Any]:
    """`file, start, end, prediction, p_<class>..., reason`; None where there is none."""
    row: dict[str, Any] = {"file": stretch.name}
    for name in ("start", "end"):
        seconds = getattr(stretch, name)
        row[name] = None if seconds is None else round(seconds, 6)
    p = stretch.probabilities
    row["prediction"] = None if p is None else classes[int(p.argmax())]
    for number, name in enumerate(classes):
        # Nine digits bring every float32 back to the bit, as in `predictions.csv`.
        row[f"p_{name}"] = None if p is None else float(f"{p[number]:.9g}")
    return {**row, "reason": stretch.reason}


def _written(found: Sequence[Stretch], classes: Sequence[str], suffix: str) -> str:
    rows = [_row(stretch, classes) for stretch in found]
    if suffix == ".csv":
        columns = list(_row(Stretch(Path()), classes))
        return pd.DataFrame(rows, columns=columns).to_csv(index=False, float_format="%.9g")
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return "".join(f"{line}\n" for line in lines) if suffix == ".jsonl" else _listed(lines)


def _listed(lines: Sequence[str]) -> str:
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _show(found: Sequence[Stretch], classes: Sequence[str], *, windows: bool) -> None:
    """Prints probabilities in percent, and what has none with its reason.

    Recordings are rows of a table or, with `windows`, have a table each.
    """
    shared = os.path.commonpath([os.path.dirname(os.path.abspath(s.name)) for s in found])
    names = [os.path.relpath(stretch.name, shared) for stretch in found]
    whole = [(n, s) for n, s in zip(names, found, strict=True) if s.probabilities is not None]
    console.print(f"in {shared}", markup=False)
    if windows:
        for name, group in groupby(whole, key=itemgetter(0)):
            console.print(f"\n{name}", markup=False)
            rows = [(f"{s.start:.2f}-{s.end:.2f}", s) for _, s in group]
            console.print(_table("seconds", rows, classes))
    elif whole:
        console.print(_table("file", whole, classes))
    for name, stretch in zip(names, found, strict=True):
        if stretch.probabilities is None:
            start = "" if stretch.start is None or not windows else f" from {stretch.start:.2f} s"
            console.print(f" {name}{start}: {stretch.reason}", markup=False)


def _table(head: str, rows: Sequence[tuple[str, Stretch]], classes: Sequence[str]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(head, overflow="fold")
    table.add_column("prediction", no_wrap=True)
    for name in classes:
        table.add_column(name[:6], justify="right", no_wrap=True)
    for name, stretch in rows:
        assert stretch.probabilities is not None
        most = int(stretch.probabilities.argmax())
        cells = [f"{100 * p:.1f}" for p in stretch.probabilities]
        cells[most] = f"[bold]{cells[most]}[/bold]"
        table.add_row(escape(name), classes[most], *cells)
    return table


def _heard(found: Sequence[Stretch], recognisers: Sequence[Recogniser]) -> int:
    """How many recordings are among those that a run was fitted or chosen on."""
    known = frozenset[str]().union(*(each.heard or () for each in recognisers))
    count = 0
    for file in {stretch.file for stretch in found if stretch.probabilities is not None}:
        with suppress(audio.AudioError):  # gone since it was predicted
            count += audio.digest(file) in known
    return count


def _tell(found: Sequence[Stretch], recognisers: Sequence[Recogniser], out: Path | None) -> int:
    """Says on the standard error stream what was done, and gives the exit status."""
    told = sum(stretch.probabilities is not None for stretch in found)
    by = system(recognisers[0].result)
    if len(recognisers) > 1:
        by = f"the mean of {len(recognisers)} runs"
    where = "" if out is None else f"{out}: "
    faulty = "" if told == len(found) else f", {len(found) - told} not: see the reasons"
    print(f"{where}{told} of {len(found)} predicted by {by}{faulty}", file=sys.stderr)
    if heard := _heard(found, recognisers):
        print(f"{heard} of the recordings were trained or chosen on", file=sys.stderr)
    for remark in dict.fromkeys(r for each in recognisers for r in each.result["remarks"]):
        print(f"trained on: {remark}", file=sys.stderr)
    return 0 if told else 1
