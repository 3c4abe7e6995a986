"""One pass over the audio of a corpus: measurements and landmarks of every utterance."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from ser.audit.acoustics import Acoustics, encoding_of, measure
from ser.audit.fingerprint import landmarks, narrow
from ser.corpora import audio
from ser.errors import UserError

LISTED = 10  # unreadable files that an error lists
Place = tuple[str, float, float]


@dataclass(frozen=True)
class Readings:
    """What was read of the audio of a corpus.

    Attributes:
        acoustics: The fields of `Acoustics` by utterance id, of those that can be read.
        landmarks: Landmarks of the same utterances.
        faulty: Why the others cannot be read.
    """

    acoustics: pd.DataFrame
    landmarks: list[np.ndarray]
    faulty: tuple[str, ...]


def read_all(table: pd.DataFrame, threads: int | None, skip: bool) -> Readings:
    """Read every utterance of a corpus table, with a progress bar on the standard error stream.

    Args:
        table: Of the corpus.
        threads: Utterances that are read in parallel; None: one per core.
        skip: Leave out what cannot be read.

    Raises:
        UserError: Some audio cannot be read, and `skip` is False.
    """
    places = table[["file", "start", "end"]].itertuples(index=False, name=None)
    with ThreadPoolExecutor(threads) as pool:  # soundfile, soxr and numpy's FFT release the GIL
        results = list(_tracked(pool.map(_read, places), len(table)))
    faults = tuple(str(result) for result in results if isinstance(result, audio.AudioError))
    if faults and not skip:
        listing = "\n  ".join(faults[:LISTED])
        raise UserError(
            f"{len(faults)} of {len(table)} utterances cannot be read:\n  {listing}\n"
            "`python -m ser check` lists all; skip_faulty=true leaves them out"
        )
    readable = [result for result in results if not isinstance(result, audio.AudioError)]
    if not readable:
        raise UserError("no utterance can be read; `python -m ser check` lists the reasons")
    known = [not isinstance(result, audio.AudioError) for result in results]
    columns = list(Acoustics.__dataclass_fields__)
    acoustics = pd.DataFrame([a for a, _ in readable], index=table.index[known], columns=columns)
    return Readings(acoustics, [marks for _, marks in readable], faults)


def _read(place: Place) -> tuple[Acoustics, np.ndarray] | audio.AudioError:
    file, start, end = Path(place[0]), *place[1:]
    try:
        signal, rate = audio.read(file, start, end)
        return measure(signal, rate, encoding_of(file)), landmarks(narrow(signal, rate))
    except audio.AudioError as error:
        return error


def _tracked(results: Iterable, total: int) -> Iterator:
    console = Console(stderr=True)
    terminal = console.is_terminal
    return iter(
        track(
            results, "reading audio", total, console=console, transient=True, disable=not terminal
        )
    )
