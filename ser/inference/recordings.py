"""Recordings: collected from files and folders, whole or cut into windows."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from ser.corpora import audio
from ser.errors import UserError
from ser.inference.speech import Speech

# Longest utterance in seconds, which bounds memory; the longest of IEMOCAP has 35.
LONGEST = 300.0
HOURS = 24.0  # longest recording; a header that declares more is taken for damaged
# Suffixes of recordings in folders: formats that can be read, and common ones that cannot, so that
# these are reported rather than skipped silently.
SUFFIXES = {
    *(f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"),
    *(".aif", ".aifc", ".oga", ".opus", ".snd", ".sph"),
    *(".aac", ".amr", ".m4a", ".mp4", ".webm", ".wma"),
}


@dataclass
class Excerpt:
    """A recording, or a window of it, and its prediction.

    Args:
        file: Audio file.
        start: Start in seconds; None if the length of the file cannot be read.
        end: End in seconds; None as `start`.
        arrays: Features by signature of the extractor, until they are used.
        reason: Why there is no prediction.
        predicted: (C,) class probabilities or (1,) value, the mean over runs.
        speech: How much of it is speech; None where there is no prediction.
        distance: Distance from the training data, the median over runs, above 1 if it is unlike
            them; None if it is unknown.
    """

    file: Path
    start: float | None = None
    end: float | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    reason: str | None = None
    predicted: np.ndarray | None = None
    speech: Speech | None = None
    distance: float | None = None

    @property
    def unlike_training(self) -> bool | None:
        """Whether it is unlike the training data of most runs; None if this is unknown."""
        return None if self.distance is None else self.distance > 1

    @property
    def contains_speech(self) -> bool | None:
        """Whether it contains enough speech; None where there is no prediction."""
        return None if self.speech is None else self.speech.is_enough

    @property
    def flag(self) -> str:
        """Why its prediction should not be relied on; empty without a reason."""
        if self.contains_speech is False:
            return "no speech"
        return "unlike" if self.unlike_training else ""

    @property
    def name(self) -> str:
        """Name of the file, with undecodable bytes replaced."""
        return os.fsencode(self.file).decode("utf-8", "replace")


def recordings(paths: Sequence[Path]) -> list[Path]:
    """Return given files, and the recordings in given folders, searched recursively and sorted.

    A folder that has no recordings or cannot be read is returned itself, so that it is reported.
    """
    files_found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files_found.append(path)
            continue
        unreadable: list[Path] = []
        inside = [
            Path(folder, name)
            for folder, folders, files in os.walk(path, onerror=_collect(unreadable))
            for name in (*folders, *files)
            if Path(name).suffix.lower() in SUFFIXES
        ]
        files_found += sorted(inside + unreadable) or [path]
    return files_found


def excerpts(files: Sequence[Path], window: float | None, hop: float | None) -> Iterator[Excerpt]:
    """Yield each recording, whole or in windows that cover all of it.

    The last window is moved back to end with the recording; a recording shorter than a window is
    one window.

    Args:
        files: Audio files.
        window: Length of a window in seconds; None: recordings are not cut.
        hop: Seconds between the starts of two windows; None: the length of a window.
    """
    for file in files:
        try:
            length = audio.duration(file)
        except audio.AudioError as error:
            yield Excerpt(file, reason=error.reason)
            continue
        if length > 3600 * HOURS:
            reason = f"declares {length / 3600:.0f} hours; at most {HOURS:.0f} can be read"
            yield Excerpt(file, reason=reason)
            continue
        if window is None:
            yield Excerpt(file, 0.0, length, reason=_too_long(length))
            continue
        spare = max(0.0, length - window)
        for number in range(1 + math.ceil(spare / (hop or window) - 1e-9)):
            start = min(number * (hop or window), spare)
            yield Excerpt(file, start, min(start + window, length))


def require_utterance(file: Path) -> None:
    """Raise a UserError if a file cannot be read, or is too long for an utterance."""
    if file.is_dir():
        raise UserError(f"{file}: a folder; a list of it, [folder], stands for its recordings")
    if reason := _too_long(audio.duration(file)):
        raise UserError(f"{file}: {reason}")


def _too_long(seconds: float) -> str | None:
    if seconds <= LONGEST:
        return None
    return f"{seconds:.0f} s long; an utterance has at most {LONGEST:.0f} s: --window 4"


def _collect(unreadable: list[Path]) -> Callable[[OSError], None]:
    return lambda error: unreadable.append(Path(error.filename))
