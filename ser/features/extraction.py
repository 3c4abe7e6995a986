"""Extraction of many utterances into a store, side by side, by threads, processes or a cluster."""

import os
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ser.corpora import audio
from ser.errors import UserError
from ser.features import Extractor, Listener, Reader, entries
from ser.features.checks import finite

STALE = 24 * 3600  # seconds; older unfinished files are those of killed processes


@dataclass(frozen=True)
class Piece:
    """A stretch of audio, and the name that its entries have: equal content, equal name.

    For a `Reader` the file is not the audio, but the one that is read in its place.
    """

    file: str
    start: float
    end: float
    name: str


def extract(
    root: Path, work: list[tuple[Piece, list[Extractor]]], workers: int | None, console: Console
) -> dict[str, dict[str, str]]:
    """Extract and keep.

    Args:
        root: of the store.
        work: pieces, each with what is wanted of it.
        workers: how many at once; None: what the active `joblib.parallel_config` says, or else as
            many as its backend has.
        console: shows progress.

    Returns:
        By signature and name, why something could not be extracted.

    Raises:
        UserError: the store cannot be written.
    """
    if not work:
        return {}
    require_writable(root, f"{len(work)} utterances are not in it")
    # Processes that fill one store at once meet at different places instead of racing along.
    work = random.Random(os.urandom(8)).sample(work, len(work))
    backend, configured = get_active_backend(prefer="threads")
    # joblib says 1, too, where nothing is configured.
    jobs = workers or (configured if configured not in (None, 1) else -1)
    given = "generator_unordered" if backend.supports_return_generator else "list"
    parallel = Parallel(n_jobs=jobs, prefer="threads", return_as=given)
    results = parallel(delayed(_make)(str(root), *task) for task in work)
    columns = (
        TextColumn("extracting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    reasons: dict[str, dict[str, str]] = {}
    with Progress(*columns, console=console, transient=True) as progress:
        for name, failed in progress.track(results, total=len(work)):
            for signature, reason in failed.items():
                reasons.setdefault(signature, {})[name] = reason
    return reasons


def require_writable(root: Path, need: str) -> None:
    """Find out before the work, not after it, whether it can be kept; tidy up on the way.

    Raises:
        UserError: it cannot; `need` says what for.
    """
    folder = unfinished(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries.write_whole(str(folder / "probe"), [b"ser"], folder)
    except OSError as error:
        raise unwritable(root, error, need) from error
    for file in folder.iterdir():
        with suppress(OSError):  # another process may be tidying up too
            if file.stat().st_mtime < time.time() - STALE:
                file.unlink()


def unfinished(root: Path) -> Path:
    """Where a store's files are while they are being written."""
    return root / "unfinished"


def unwritable(root: Path, error: OSError, need: str) -> UserError:
    """What to raise when something could not be written; `need` says what for."""
    return UserError(
        f"the store {root} cannot be written to ({error.strerror or error}), and {need}. "
        "Make it writable or make room on its disk, or choose another folder: store.root=..."
    )


def _make(root: str, piece: Piece, extractors: list[Extractor]) -> tuple[str, dict[str, str]]:
    """Extract what one utterance still lacks; its name, and by signature why something failed.

    Raises:
        UserError: the store cannot be written.
    """
    lacking = [
        extractor
        for extractor in extractors  # another process may have been here
        if not entries.intact(entries.place(root, extractor.signature, piece.name), extractor.dim)
    ]
    if not lacking:
        return piece.name, {}
    reasons = {}
    for signature, values in _results(piece, lacking).items():
        if isinstance(values, UserError):
            reasons[signature] = str(values)
            continue
        try:
            file = entries.place(root, signature, piece.name)
            entries.write(file, np.atleast_2d(values), unfinished(Path(root)))
        except OSError as error:
            raise unwritable(Path(root), error, f"{piece.file} is not in it") from error
    wanted = {extractor.signature for extractor in lacking}
    return piece.name, {s: reason for s, reason in reasons.items() if s in wanted}


def _results(piece: Piece, extractors: list[Extractor]) -> dict[str, np.ndarray | UserError]:
    """What a piece gives, by signature, or why it does not; its audio is read once for all."""
    results: dict[str, np.ndarray | UserError] = {}
    hearing: list[Listener] = []
    for extractor in extractors:
        if isinstance(extractor, Reader):
            results[extractor.signature] = _read(extractor, piece)
        else:
            hearing.append(extractor)
    if not hearing:
        return results
    try:
        signal, rate = audio.read(Path(piece.file), piece.start, piece.end)
    except audio.AudioError as error:
        return results | {extractor.signature: UserError(error.reason) for extractor in hearing}
    return results | extracted(hearing, signal, rate)


def extracted(
    extractors: Sequence[Listener], signal: np.ndarray, rate: int
) -> dict[str, np.ndarray | UserError]:
    """What extractors make of a signal, by signature, and what the same passes give beside it."""
    results: dict[str, np.ndarray | UserError] = {}
    for extractor in extractors:
        if extractor.signature not in results:
            results |= _extract(extractor, signal, rate)
    return results


def _read(reader: Reader, piece: Piece) -> np.ndarray | UserError:
    try:
        return finite(reader.read(Path(piece.file), piece.start, piece.end), reader.columns)
    except UserError as reason:
        return reason


def _extract(
    extractor: Listener, signal: np.ndarray, rate: int
) -> dict[str, np.ndarray | UserError]:
    """What an extractor makes, by signature, and what the same pass gives beside it."""
    try:
        if together := getattr(extractor, "together", None):
            return together(signal, rate)
        return {extractor.signature: finite(extractor(signal, rate), extractor.columns)}
    except UserError as reason:
        return {extractor.signature: reason}
