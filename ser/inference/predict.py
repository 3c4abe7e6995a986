"""Predict new recordings with finished runs: `python -m ser predict`."""

import json
import os
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
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
from ser.features import Extractor
from ser.features.extraction import compute
from ser.inference.loading import FRAMES, UTTERANCES, Recogniser, load_all
from ser.inference.recordings import LONGEST, Excerpt, excerpts, recordings
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
    """Predict recordings, and write or print one row for each, or for each window of each.

    Args:
        run: Folder of a finished run, or of many, whose probabilities are averaged.
        paths: Audio files, and folders to search for them.
        window: Length of a window in seconds; None: recordings are not cut.
        hop: Seconds between the starts of two windows; None: the length of a window.
        one_speaker: Whether the recordings are all utterances of one speaker.
        workers: Recordings whose features are extracted in parallel; None: one per core.
        out: A .csv, .json or .jsonl file; None: print a table.

    Returns:
        0 if anything was predicted, else 1.

    Raises:
        UserError: An option, run or output file cannot be used. Recordings that cannot be predicted
            are reported row by row.
    """
    _check_options(window, hop, out)
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: at least 1")
    torch.set_num_threads(1)
    with threadpool_limits(1):  # sums depend on the number of threads
        recognisers = load_all(run)
        for recogniser in recognisers:
            recogniser.require_speaker(one_speaker)
        predicted = predict_excerpts(
            recognisers,
            excerpts(recordings(paths), window, hop),
            one_speaker=one_speaker,
            workers=workers or joblib.cpu_count(),
        )
    classes = recognisers[0].classes
    if out is None:
        _print_table(predicted, classes, windows=window is not None)
    else:
        write_text(out, _formatted(predicted, classes, out.suffix))
    return _summarise(predicted, recognisers, out)


def predict_excerpts(
    recognisers: Sequence[Recogniser],
    requested: Iterable[Excerpt],
    *,
    one_speaker: bool,
    workers: int,
) -> list[Excerpt]:
    """Return excerpts with their probabilities, the mean over runs, or the reason why not.

    Threads extract features ahead, once for all runs that share them, while others are predicted.
    Memory holds the features of one batch, or of all excerpts if they are one speaker's.
    """
    extractors = list({r.extractor.signature: r.extractor for r in recognisers}.values())
    requested = list(requested)
    columns = (
        TextColumn("predicting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    batch: list[Excerpt] = []
    with (
        ThreadPoolExecutor(workers) as pool,
        Progress(*columns, console=Console(stderr=True), transient=True) as progress,
    ):
        ahead = _extract_ahead(pool, requested, extractors, 4 * workers)
        for excerpt in progress.track(ahead, len(requested)):
            batch.append(excerpt)
            if not one_speaker and _is_full(batch):
                _predict(recognisers, batch, one_speaker)
                batch = []
        _predict(recognisers, batch, one_speaker)
    return requested


def _extract_ahead(
    pool: ThreadPoolExecutor,
    requested: Sequence[Excerpt],
    extractors: Sequence[Extractor],
    count: int,
) -> Iterator[Excerpt]:
    """Yield excerpts in order with their features, extracting up to `count` ahead."""
    submitted: deque[Future[Excerpt]] = deque()
    for excerpt in requested:
        submitted.append(pool.submit(extract, excerpt, extractors))
        if len(submitted) > count:
            yield submitted.popleft().result()
    while submitted:
        yield submitted.popleft().result()


def extract(excerpt: Excerpt, extractors: Sequence[Extractor]) -> Excerpt:
    """Fill in the features of a excerpt, or the reason why there are none."""
    if excerpt.reason is not None:
        return excerpt
    try:
        features = compute(extractors, *audio.read(excerpt.file, excerpt.start, excerpt.end))
    except audio.AudioError as error:
        excerpt.reason = error.reason
        return excerpt
    for extractor in extractors:
        values = features[extractor.signature]
        if isinstance(values, UserError):
            excerpt.reason = str(values)
        else:
            excerpt.arrays[extractor.signature] = values
    return excerpt


def _is_full(batch: Sequence[Excerpt]) -> bool:
    rows = sum(len(v) for s in batch for v in s.arrays.values() if v.ndim == 2)
    return len(batch) >= UTTERANCES or rows >= FRAMES


def _predict(
    recognisers: Sequence[Recogniser], batch: Sequence[Excerpt], one_speaker: bool
) -> None:
    """Fill in the probabilities, and release the features."""
    usable = [excerpt for excerpt in batch if excerpt.reason is None]
    if usable:
        by_run = [
            each([s.arrays[each.extractor.signature] for s in usable], one_speaker=one_speaker)
            for each in recognisers
        ]
        means: np.ndarray = np.asarray(np.mean(by_run, axis=0, dtype=np.float64))
        for excerpt, row in zip(usable, means, strict=True):
            excerpt.probabilities = row
    for excerpt in batch:
        excerpt.arrays = {}


# ---- options and output


def _check_options(window: float | None, hop: float | None, out: Path | None) -> None:
    if window is not None and not 0.1 <= window <= LONGEST:
        bound = f"{LONGEST:.0f} seconds at most" if window > LONGEST else "at least 0.1 seconds"
        raise UserError(f"--window {window:g}: {bound}")
    if hop is not None and (window is None or not 0.1 <= hop <= window):
        raise UserError(f"--hop {hop:g}: at least 0.1 seconds, at most the length of --window")
    if out is None:
        return
    if out.suffix not in (".csv", ".json", ".jsonl"):
        raise UserError(f"--out {out}: the name must end in .csv, .json or .jsonl")
    # Fail before the work, not after it, if the file cannot be written.
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass


def _row(excerpt: Excerpt, classes: Sequence[str]) -> dict[str, Any]:
    """Return `file, start, end, prediction, p_<class>..., reason`, None where unknown."""
    row: dict[str, Any] = {"file": excerpt.name}
    for name in ("start", "end"):
        seconds = getattr(excerpt, name)
        row[name] = None if seconds is None else round(seconds, 6)
    p = excerpt.probabilities
    row["prediction"] = None if p is None else classes[int(p.argmax())]
    for number, name in enumerate(classes):
        # Nine digits restore every float32 exactly, as in `predictions.csv`.
        row[f"p_{name}"] = None if p is None else float(f"{p[number]:.9g}")
    return {**row, "reason": excerpt.reason}


def _formatted(predicted: Sequence[Excerpt], classes: Sequence[str], suffix: str) -> str:
    rows = [_row(excerpt, classes) for excerpt in predicted]
    if suffix == ".csv":
        columns = list(_row(Excerpt(Path()), classes))
        return pd.DataFrame(rows, columns=columns).to_csv(index=False, float_format="%.9g")
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if suffix == ".jsonl":
        return "".join(f"{line}\n" for line in lines)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _print_table(predicted: Sequence[Excerpt], classes: Sequence[str], *, windows: bool) -> None:
    """Print probabilities in percent, and the reasons why there are none.

    Recordings are rows of a table or, with `windows`, have one table each.
    """
    shared = os.path.commonpath([os.path.dirname(os.path.abspath(s.name)) for s in predicted])
    names = [os.path.relpath(excerpt.name, shared) for excerpt in predicted]
    usable = [(n, s) for n, s in zip(names, predicted, strict=True) if s.probabilities is not None]
    console.print(f"in {shared}", markup=False)
    if windows:
        for name, group in groupby(usable, key=itemgetter(0)):
            console.print(f"\n{name}", markup=False)
            rows = [(f"{s.start:.2f}-{s.end:.2f}", s) for _, s in group]
            console.print(_table("seconds", rows, classes))
    elif usable:
        console.print(_table("file", usable, classes))
    for name, excerpt in zip(names, predicted, strict=True):
        if excerpt.probabilities is None:
            start = "" if excerpt.start is None or not windows else f" from {excerpt.start:.2f} s"
            console.print(f" {name}{start}: {excerpt.reason}", markup=False)


def _table(head: str, rows: Sequence[tuple[str, Excerpt]], classes: Sequence[str]) -> Table:
    table = Table(box=None, header_style="bold")
    table.add_column(head, overflow="fold")
    table.add_column("prediction", no_wrap=True)
    for name in classes:
        table.add_column(name[:6], justify="right", no_wrap=True)
    for name, excerpt in rows:
        assert excerpt.probabilities is not None
        best = int(excerpt.probabilities.argmax())
        cells = [f"{100 * p:.1f}" for p in excerpt.probabilities]
        cells[best] = f"[bold]{cells[best]}[/bold]"
        table.add_row(escape(name), classes[best], *cells)
    return table


def _count_training_audio(predicted: Sequence[Excerpt], recognisers: Sequence[Recogniser]) -> int:
    """Return how many recordings are among those that a run was fitted or selected on."""
    known = frozenset[str]().union(*(each.training_audio for each in recognisers))
    count = 0
    for file in {excerpt.file for excerpt in predicted if excerpt.probabilities is not None}:
        with suppress(audio.AudioError):  # removed since it was predicted
            count += audio.digest(file) in known
    return count


def _summarise(
    predicted: Sequence[Excerpt], recognisers: Sequence[Recogniser], out: Path | None
) -> int:
    """Print a summary to standard error, and return the exit status."""
    count = sum(excerpt.probabilities is not None for excerpt in predicted)
    by = system(recognisers[0].result)
    if len(recognisers) > 1:
        by = f"the mean of {len(recognisers)} runs"
    where = "" if out is None else f"{out}: "
    missing = len(predicted) - count
    reasons = f", {missing} not (see the reasons)" if missing else ""
    print(f"{where}{count} of {len(predicted)} predicted by {by}{reasons}", file=sys.stderr)
    if trained := _count_training_audio(predicted, recognisers):
        print(f"{trained} of the recordings were used in training or selection", file=sys.stderr)
    for remark in dict.fromkeys(r for each in recognisers for r in each.result["remarks"]):
        print(f"training: {remark}", file=sys.stderr)
    return 0 if count else 1
