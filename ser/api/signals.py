"""Audio as callers have it: a file, or samples with their rate."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from ser.corpora import audio
from ser.errors import UserError

File = str | PathLike[str]


def read_signal(source: File | np.ndarray, rate: int | None) -> tuple[np.ndarray, int]:
    """Return one utterance as (N,) float32 samples, mono, and its rate in Hz.

    Args:
        source: A file, or samples (N,) or (N, channels).
        rate: Hz; None: the file has its own.

    Raises:
        UserError: The file cannot be read, the samples are no audio, or their rate is missing.
    """
    if not isinstance(source, np.ndarray):
        if rate is not None:
            raise UserError(f"rate={rate}: {fspath(source)} has its own rate")
        return audio.read(Path(source).expanduser())
    if not isinstance(rate, int | np.integer) or rate < 1:
        raise UserError(f"rate={rate}: samples need their sampling rate in Hz, a whole number")
    return audio.from_array(source), int(rate)


@contextmanager
def naming(source: File | np.ndarray) -> Iterator[None]:
    """Name a file in errors about its signal."""
    try:
        yield
    except UserError as error:
        if isinstance(source, np.ndarray):
            raise
        raise UserError(f"{fspath(source)}: {error}") from None
