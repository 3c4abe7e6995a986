"""Predict new recordings with finished runs: `python -m ser predict`."""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from ser.corpora import audio
from ser.errors import UserError
from ser.features import Extractor
from ser.features.extraction import compute
from ser.inference import output
from ser.inference.loading import FRAMES, UTTERANCES, Recogniser, load_all
from ser.inference.recordings import LONGEST, Excerpt, excerpts, recordings
from ser.inference.speech import measure_speech
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
        run: Folder of a finished run, or of many, whose predictions are averaged.
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
    check_options(window, hop, workers)
    if out is not None:
        _require_writable(out)
    with one_thread():
        recognisers = load_all(run)
        predicted = predict_files(
            recognisers, paths, window=window, hop=hop, one_speaker=one_speaker, workers=workers
        )
    if out is None:
        output.print_table(predicted, recognisers, windows=window is not None)
    else:
        write_text(out, output.formatted(predicted, recognisers, out.suffix))
    return output.summarise(predicted, recognisers, out, windows=window is not None)


def predict_files(
    recognisers: Sequence[Recogniser],
    paths: Sequence[Path],
    *,
    window: float | None,
    hop: float | None,
    one_speaker: bool,
    workers: int | None,
) -> list[Excerpt]:
    """Return a prediction, or the reason why there is none, for each recording or window.

    Args:
        recognisers: Runs, whose predictions are averaged.
        paths, window, hop, one_speaker, workers: As of `predict`.

    Raises:
        UserError: A run standardises by speaker, and the recordings are not one speaker's.
    """
    for recogniser in recognisers:
        recogniser.require_speaker(one_speaker)
    return predict_excerpts(
        recognisers,
        excerpts(recordings(paths), window, hop),
        one_speaker=one_speaker,
        workers=workers or joblib.cpu_count(),
    )


def predict_signal(recognisers: Sequence[Recogniser], signal: np.ndarray, rate: int) -> np.ndarray:
    """Return class probabilities (C,) or the value (1,) of one utterance, the mean over runs.

    Args:
        recognisers: Runs.
        signal: (N,) float32, mono.
        rate: Hz.

    Raises:
        UserError: It has no features, or a run needs all utterances of a speaker.
    """
    excerpt = Excerpt(Path("signal"))
    _add_features(excerpt, _extractors(recognisers), signal, rate)
    if excerpt.reason is not None:
        raise UserError(excerpt.reason)
    _predict(recognisers, [excerpt], one_speaker=False)
    assert excerpt.predicted is not None
    return excerpt.predicted


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, because sums depend on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def predict_excerpts(
    recognisers: Sequence[Recogniser],
    requested: Iterable[Excerpt],
    *,
    one_speaker: bool,
    workers: int,
) -> list[Excerpt]:
    """Return excerpts with their predictions, the mean over runs, or the reason why not.

    Threads extract features ahead, once for all runs that share them, while others are predicted.
    Memory holds the features of one batch, or of all excerpts if they are one speaker's.
    """
    extractors = _extractors(recognisers)
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
    """Fill in the features of an excerpt and its share of speech, or why there are none."""
    if excerpt.reason is not None:
        return excerpt
    try:
        signal, rate = audio.read(excerpt.file, excerpt.start, excerpt.end)
    except audio.AudioError as error:
        excerpt.reason = error.reason
        return excerpt
    _add_features(excerpt, extractors, signal, rate)
    if excerpt.reason is None:
        excerpt.speech = measure_speech(signal, rate)
    return excerpt


def _extractors(recognisers: Sequence[Recogniser]) -> list[Extractor]:
    """Return the different extractors of some runs."""
    return list({r.extractor.signature: r.extractor for r in recognisers}.values())


def _add_features(
    excerpt: Excerpt, extractors: Sequence[Extractor], signal: np.ndarray, rate: int
) -> None:
    """Fill in the features of a signal, or why there are none."""
    features = compute(extractors, signal, rate)
    for extractor in extractors:
        values = features[extractor.signature]
        if isinstance(values, UserError):
            excerpt.reason = str(values)
        else:
            excerpt.arrays[extractor.signature] = values


def _is_full(batch: Sequence[Excerpt]) -> bool:
    rows = sum(len(v) for s in batch for v in s.arrays.values() if v.ndim == 2)
    return len(batch) >= UTTERANCES or rows >= FRAMES


def _predict(
    recognisers: Sequence[Recogniser], batch: Sequence[Excerpt], one_speaker: bool
) -> None:
    """Fill in predictions and distances from the training data, and release the features."""
    usable = [excerpt for excerpt in batch if excerpt.reason is None]
    if usable:
        by_run, distances_by_run = [], []
        for each in recognisers:
            arrays = [excerpt.arrays[each.extractor.signature] for excerpt in usable]
            by_run.append(each(arrays, one_speaker=one_speaker))
            distances_by_run.append(each.distances(arrays, one_speaker=one_speaker))
        means: np.ndarray = np.asarray(np.mean(by_run, axis=0, dtype=np.float64))
        for excerpt, row in zip(usable, means, strict=True):
            excerpt.predicted = row
        if known := [distances for distances in distances_by_run if distances is not None]:
            for excerpt, distance in zip(usable, np.median(known, axis=0), strict=True):
                excerpt.distance = float(distance)
    for excerpt in batch:
        excerpt.arrays = {}


def check_options(window: float | None, hop: float | None, workers: int | None) -> None:
    """Raise a UserError if recordings cannot be cut so, or not by so many workers."""
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: at least 1")
    if window is not None and not 0.1 <= window <= LONGEST:
        bound = f"{LONGEST:.0f} seconds at most" if window > LONGEST else "at least 0.1 seconds"
        raise UserError(f"--window {window:g}: {bound}")
    if hop is not None and (window is None or not 0.1 <= hop <= window):
        raise UserError(f"--hop {hop:g}: at least 0.1 seconds, at most the length of --window")


def _require_writable(out: Path) -> None:
    """Raise an error before the work, not after it, if the file cannot be written."""
    if out.suffix not in (".csv", ".json", ".jsonl"):
        raise UserError(f"--out {out}: the name must end in .csv, .json or .jsonl")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=out.parent):
        pass
