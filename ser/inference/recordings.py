"""Recordings that somebody has: found in folders, and cut into stretches of time."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from ser.corpora import audio

# Seconds that may be one utterance; the longest of IEMOCAP has 35. Memory is bounded by it.
LONGEST = 300.0
FILE = 24.0  # hours that are one recording; a header that declares more is not believed
# Names in folders that are taken for recordings: what is read here, and what somebody may think is,
# so that it is told rather than passed over.
SUFFIXES = {
    *(f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"),
    *(".aif", ".aifc", ".oga", ".opus", ".snd", ".sph"),
    *(".aac", ".amr", ".m4a", ".mp4", ".webm", ".wma"),
}


@dataclass
class Stretch:
    """A recording, or a window of it, and what comes of it.

    Attributes:
        file: the recording.
        start, end: seconds; None where the file does not even tell its length.
        arrays: features by the extractor's signature, until they are used.
        reason: why there is no prediction.
        probabilities: (C,), the mean over runs.
    """

    file: Path
    start: float | None = None
    end: float | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str | None = None
    probabilities: np.ndarray | None = None

    @property
    def name(self) -> str:
        """The file's, in letters that can be written, whatever it is made of."""
        return os.fsencode(self.file).decode("utf-8", "replace")


def recordings(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given, and those of folders, searched to the bottom and sorted.

    A folder without any, or one that may not be read, stands for itself, to be told of.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        closed: list[Path] = []
        inside = [
            Path(folder, name)
            for folder, folders, files in os.walk(path, onerror=_noting(closed))
            for name in (*folders, *files)
            if Path(name).suffix.lower() in SUFFIXES
        ]
        found += sorted(inside + closed) or [path]
    return found


def stretches(files: Sequence[Path], window: float | None, hop: float | None) -> Iterator[Stretch]:
    """Each recording, whole or in windows that cover all of it.

    The last window is moved back to end where the recording does; a shorter recording is one.

    Args:
        files: recordings.
        window: seconds; None: recordings are whole.
        hop: seconds from one window's beginning to the next one's; None: its length.
    """
    for file in files:
        try:
            length = audio.length(file)
        except audio.AudioError as error:
            yield Stretch(file, reason=error.reason)
            continue
        if length > 3600 * FILE:
            told = f"declares {length / 3600:.0f} hours, and a recording is {FILE:.0f} at most"
            yield Stretch(file, reason=told)
            continue
        if window is None:
            told = f"{length:.0f} s long, and an utterance is {LONGEST:.0f} s at most: --window 4"
            yield Stretch(file, 0.0, length, reason=told if length > LONGEST else None)
            continue
        spare = max(0.0, length - window)
        for number in range(1 + math.ceil(spare / (hop or window) - 1e-9)):
            start = min(number * (hop or window), spare)
            yield Stretch(file, start, min(start + window, length))


def _noting(closed: list[Path]) -> Callable[[OSError], None]:
    return lambda error: closed.append(Path(error.filename))
