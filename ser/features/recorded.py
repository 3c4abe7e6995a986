"""Recordings of noise, or of room impulse responses, in a folder."""

import hashlib
import os
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ser.corpora import audio
from ser.errors import UserError

SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"}


@cache
def _digest(file: Path, size: int, modified: int) -> str:
    """Return the digest of a file, which is read again when it changes."""
    return audio.digest(file)


def _facts(file: Path) -> tuple[int, int]:
    facts = file.stat()
    return facts.st_size, facts.st_mtime_ns


class Recorded:
    """The recordings in a folder and below, in the order of their content, not of their names.

    Args:
        folder: Path of the folder.
        kind: What the recordings are of, for errors.

    Raises:
        UserError: The folder does not exist, or has no recordings.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        folder = folder.expanduser().absolute()
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; expected recordings of {kind}")
        names = (Path(path, file) for path, _, files in os.walk(folder) for file in files)
        files = [file for file in names if file.suffix.lower() in SUFFIXES]
        if not files:
            raise UserError(f"{folder}: no recordings of {kind} (.wav, .flac, ...)")
        self._files = dict(sorted((_digest(file, *_facts(file)), file) for file in files))

    @cached_property
    def digest(self) -> str:
        """Digest of the content of all recordings."""
        text = "\n".join(self._files)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def whole(self, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return a random recording, (N,) float32.

        Args:
            rate: Hz, to which it is resampled.
            random: Generator.
        """
        return self._read(self._draw(random), rate)

    def excerpt(self, count: int, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return a random part of a random recording, repeated if it is too short, (count,).

        Args:
            count: Number of samples.
            rate: Hz, to which it is resampled.
            random: Generator.
        """
        file = self._draw(random)
        spare = audio.duration(file) - count / rate
        begin = random.uniform(0, max(spare, 0.0))
        if spare <= 0:
            part = self._read(file, rate)
        else:
            # A sample more, because of rounding at another rate.
            end = min(begin + count / rate + 1e-3, audio.duration(file))
            part = self._read(file, rate, begin, end)
        return np.resize(part, count)

    def _draw(self, random: np.random.Generator) -> Path:
        files = list(self._files.values())
        return files[int(random.integers(len(files)))]

    @staticmethod
    def _read(
        file: Path, rate: int, start: float | None = None, end: float | None = None
    ) -> np.ndarray:
        signal, own_rate = audio.read(file, start, end)
        return signal if own_rate == rate else soxr.resample(signal, own_rate, rate, quality="HQ")
