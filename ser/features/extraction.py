"""Parallel extraction of many utterances into a store, by threads, processes or a cluster."""

import os
import random
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ser.corpora import audio
from ser.errors import UserError
from ser.features import (
    Extractor,
    FeatureSource,
    PrecomputedFeatures,
    entries,
    number_type,
    stored,
)
from ser.features.checks import require_finite
from ser.features.items import Item

# Seconds after which an unfinished file of another machine is that of a killed process.
STALE = 24 * 3600

Results = dict[str, np.ndarray | UserError]


def extract_and_store(
    root: Path, work: list[tuple[Item, list[FeatureSource]]], workers: int | None, console: Console
) -> dict[str, dict[str, str]]:
    """Extract features and write them into a store.

    Args:
        root: Folder of the store.
        work: Items, each with the features that it lacks, as the store keeps them.
        workers: Number of parallel workers; None: as set by the active `joblib.parallel_config`,
            or else as many as its backend has.
        console: For the progress bar.

    Returns:
        By signature and key: the reason why features could not be extracted.

    Raises:
        UserError: The store cannot be written.
    """
    if not work:
        return {}
    require_writable(root, f"{len(work)} utterances are not in it")
    # In random order, so that several processes that fill one store rarely do the same work.
    work = random.Random(os.urandom(8)).sample(work, len(work))
    backend, configured = get_active_backend(prefer="threads")
    # joblib returns 1, too, where nothing is configured.
    jobs = workers or (configured if configured not in (None, 1) else -1)
    return_as = "generator_unordered" if backend.supports_return_generator else "list"
    parallel = Parallel(n_jobs=jobs, prefer="threads", return_as=return_as)
    # Python must not end while openSMILE is running in a thread: the process would be aborted. So
    # after an error the threads end their work, and are waited for.
    stop = threading.Event() if getattr(backend, "supports_sharedmem", False) else None
    results = parallel(delayed(_process)(str(root), *task, stop) for task in work)
    columns = (
        TextColumn("extracting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    reasons: dict[str, dict[str, str]] = {}
    error: UserError | None = None
    with Progress(*columns, console=console, transient=True) as progress:
        for key, failures in progress.track(results, total=len(work)):
            if isinstance(failures, UserError):
                error = error or failures
                if stop is None:
                    break
                stop.set()
                continue
            for signature, reason in failures.items():
                reasons.setdefault(signature, {})[key] = reason
    if error is not None:
        raise error
    return reasons


def compute(extractors: Sequence[Extractor], signal: np.ndarray, rate: int) -> Results:
    """Compute the features of a signal.

    Returns:
        By signature: the features, or the error where there are none. What a pass of an extractor
        gives in addition is included.
    """
    results: Results = {}
    # Frames first: a pretrained encoder gives the statistics of utterances with them.
    for extractor in sorted(extractors, key=lambda each: each.level == "utterance"):
        whole: Any = stored(extractor)
        if whole.signature not in results:
            results |= _compute_one(whole, signal, rate)
        if whole is not extractor:
            values, columns = results[whole.signature], getattr(extractor, "stored_columns", ...)
            results[extractor.signature] = (
                values if isinstance(values, UserError) else values[..., columns]
            )
    return results


def is_stored(root: str, source: FeatureSource, key: str) -> bool:
    """Return whether a store has the intact features of an item."""
    kept = stored(source)
    file = entries.path(root, kept.signature, key)
    return entries.is_intact(file, kept.dim, number_type(kept))


def require_writable(root: Path, purpose: str) -> None:
    """Check before the work that a store can be written, and remove stale unfinished files.

    Args:
        root: Folder of the store.
        purpose: Clause for the error that says what has to be written.

    Raises:
        UserError: The store cannot be written.
    """
    folder = temporary_folder(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries.write_atomically(str(folder / "probe"), [b"ser"], folder)
    except OSError as error:
        raise write_error(root, error, purpose) from error
    for file in folder.iterdir():
        with suppress(OSError):  # another process may remove it at the same time
            if entries.is_abandoned(file) or file.stat().st_mtime < time.time() - STALE:
                file.unlink()


def temporary_folder(root: Path) -> Path:
    """Return the folder of a store's unfinished files."""
    return root / "unfinished"


def write_error(root: Path, error: OSError, purpose: str) -> UserError:
    """Return the error for a store that could not be written; `purpose` says what for."""
    return UserError(
        f"the store {root} cannot be written ({error.strerror or error}), and {purpose}. "
        "Make it writable, free space on its disk, or choose another folder: store.root=..."
    )


def _process(
    root: str, item: Item, sources: list[FeatureSource], stop: threading.Event | None
) -> tuple[str, dict[str, str] | UserError]:
    """Extract and write the features that an item still lacks, unless the work is stopped.

    Returns:
        Its key, and by signature the reason for each failure; or the error if the store cannot be
        written.
    """
    if stop is not None and stop.is_set():
        return item.key, {}
    lacking = [
        source
        for source in sources  # another process may have written some in the meantime
        if not is_stored(root, source, item.key)
    ]
    if not lacking:
        return item.key, {}
    reasons = {}
    for signature, values in _extract(item, lacking).items():
        if isinstance(values, UserError):
            reasons[signature] = str(values)
            continue
        try:
            file = entries.path(root, signature, item.key)
            entries.write(file, np.atleast_2d(values), temporary_folder(Path(root)))
        except OSError as error:
            return item.key, write_error(Path(root), error, f"{item.file} is not in it")
    requested = {source.signature for source in lacking}
    return item.key, {s: reason for s, reason in reasons.items() if s in requested}


def _extract(item: Item, sources: list[FeatureSource]) -> Results:
    """Return the features of an item by signature; its audio is read once for all extractors."""
    results: Results = {}
    extractors: list[Extractor] = []
    for source in sources:
        if isinstance(source, PrecomputedFeatures):
            results[source.signature] = _read(source, item)
        else:
            extractors.append(source)
    if not extractors:
        return results
    try:
        signal, rate = audio.read(Path(item.file), item.start, item.end)
    except audio.AudioError as error:
        return results | {each.signature: UserError(error.reason) for each in extractors}
    return results | compute(extractors, signal, rate)


def _read(source: PrecomputedFeatures, item: Item) -> np.ndarray | UserError:
    try:
        values = source.read(Path(item.file), item.start, item.end, item.entry)
        return require_finite(values, source.columns)
    except UserError as error:
        return error


def _compute_one(extractor: Extractor, signal: np.ndarray, rate: int) -> Results:
    try:
        if all_outputs := getattr(extractor, "all_outputs", None):
            return all_outputs(signal, rate)
        return {extractor.signature: require_finite(extractor(signal, rate), extractor.columns)}
    except UserError as error:
        return {extractor.signature: error}
