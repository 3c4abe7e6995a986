"""Audio as every part of `ser` sees it: mono, float32, whole, finite, or an error that says why."""

import hashlib
import math
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ser.errors import UserError

# Annotated times are often rounded to hundredths, so an end may overshoot its file by half of one.
TIME_SLACK = 0.005  # seconds
# Lossy decoders overshoot full scale a little; beyond this, samples are not scaled to [-1, 1].
LARGEST_PEAK = 2.0
SILENT_PEAK = 0.001  # -60 dB of full scale
FULL_SCALE = 0.9999  # the largest positive PCM16 sample is 0.99997
CLIPPED_RUN = 3  # consecutive samples at full scale; one or two may be a true peak
FOLDER = "is a folder, not an audio file"
EMPTY = "empty: it holds no samples"
UNKNOWN_SIZE = 0xFFFFFFFF  # what streaming writers (and RF64) leave in a WAV header


class AudioError(UserError):
    """One file, or a stretch of one, that cannot be used; the message names both and the reason."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[type["AudioError"], tuple[Path, str]]:
        return type(self), (self.file, self.reason)  # so that worker processes can hand it over


@dataclass(frozen=True)
class Facts:
    """What one file, or the stretch of it that an utterance is, turned out to hold.

    Attributes:
        rate: samples per second; 0 where `fault` is set, as are the other numbers.
        channels: before they were averaged.
        duration: seconds.
        peak: largest magnitude over samples and channels.
        silent: the peak lies below -60 dB of full scale.
        clipped: some channel holds `CLIPPED_RUN` full-scale samples in a row.
        fault: why the audio cannot be used, or None.
    """

    rate: int = 0
    channels: int = 0
    duration: float = 0.0
    peak: float = 0.0
    silent: bool = False
    clipped: bool = False
    fault: str | None = None


def read(
    file: Path, start: float | None = None, end: float | None = None
) -> tuple[np.ndarray, int]:
    """Read an utterance.

    Args:
        file: any format that libsndfile knows.
        start: seconds; None or NaN: the file's beginning.
        end: seconds; None or NaN: the file's end.

    Returns:
        (N,) float32 signal in [-1, 1], the mean of the channels, and its rate in Hz.

    Raises:
        AudioError: the file is missing, unreadable, empty, truncated (soundfile alone reads a
            short WAV in silence; formats that declare no length, such as Ogg, cannot tell) or
            holds NaN or inf, or start and end do not lie within it.
    """
    samples, rate = _samples(Path(file), start, end)
    return np.clip(samples.mean(axis=1, dtype=np.float32), -1.0, 1.0), rate


def length(file: Path) -> float:
    """Seconds that a file's header declares; no sample is read.

    Raises:
        AudioError: the file is missing, unreadable, empty or, as far as a header tells, truncated.
    """
    try:
        with _opened(file) as sound:
            if not sound.frames:
                raise AudioError(file, EMPTY)
            return sound.frames / sound.samplerate
    except OSError as error:
        raise AudioError(file, _os_reason(error)) from error
    except soundfile.LibsndfileError as error:
        raise AudioError(file, _sound_reason(error)) from error


def digest(file: Path) -> str:
    """Hash of a file's bytes, 32 hexadecimal digits (blake2b).

    Raises:
        AudioError: the file is missing or cannot be read.
    """
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise AudioError(Path(file), _os_reason(error)) from error


def facts(file: Path, start: float | None = None, end: float | None = None) -> Facts:
    """What `read` would meet in an utterance; a fault is told, not raised."""
    try:
        samples, rate = _samples(Path(file), start, end)
    except AudioError as error:
        return Facts(fault=error.reason)
    peak = float(np.abs(samples).max())
    return Facts(
        rate=rate,
        channels=samples.shape[1],
        duration=len(samples) / rate,
        peak=peak,
        silent=peak < SILENT_PEAK,
        clipped=peak >= FULL_SCALE and _is_clipped(samples),
    )


def _samples(file: Path, start: float | None, end: float | None) -> tuple[np.ndarray, int]:
    """(N, channels) float32 samples of a stretch, N at least 1, and their rate."""
    try:
        with _opened(file) as sound:
            first, last = _stretch(file, start, end, sound.frames, sound.samplerate)
            if sound.seekable():
                sound.seek(first)
            elif first:  # of compressed telephony, which can only be read from its beginning
                sound.read(first)
            samples = sound.read(last - first, dtype="float32", always_2d=True)
            rate = sound.samplerate
    except OSError as error:
        raise AudioError(file, _os_reason(error)) from error
    except soundfile.LibsndfileError as error:
        raise AudioError(file, _sound_reason(error)) from error
    if len(samples) < last - first:
        raise AudioError(
            file, f"truncated: it declares {last - first} samples and holds {len(samples)}"
        )
    if not np.isfinite(samples).all():
        raise AudioError(file, "holds samples that are not finite (NaN or inf)")
    if (peak := np.abs(samples).max()) > LARGEST_PEAK:
        raise AudioError(file, f"samples reach {peak:g}; audio is expected within -1 and 1")
    return samples, rate


def _opened(file: Path) -> soundfile.SoundFile:
    """A file opened for reading, if it is whole, whatever its name is made of."""
    if not file.is_file():
        os.stat(file)  # says why, where there is none
        raise AudioError(file, FOLDER if file.is_dir() else "is not a file")
    if absent := _absent_bytes(file):
        raise AudioError(file, f"truncated: {absent} bytes fewer than its header declares")
    # Not as text: names need not be valid in the encoding of this system.
    name = file if os.name == "nt" else os.fsencode(file)
    try:
        return soundfile.SoundFile(name)
    except TypeError as error:  # a format without header, by its name
        raise AudioError(file, f"unreadable as audio ({error})") from error


def _stretch(
    file: Path, start: float | None, end: float | None, frames: int, rate: int
) -> tuple[int, int]:
    """First sample and the one after the last of a stretch given in seconds."""
    if frames == 0:
        raise AudioError(file, EMPTY)
    length = frames / rate
    begin = 0.0 if start is None or math.isnan(start) else start
    finish = length if end is None or math.isnan(end) else end
    if not 0 <= begin < finish <= length + TIME_SLACK:
        raise AudioError(
            file, f"start {begin:g} s and end {finish:g} s do not lie within its {length:g} s"
        )
    first, last = round(begin * rate), min(round(finish * rate), frames)
    if first >= last:
        raise AudioError(file, f"empty: no sample from start {begin:g} s to end {finish:g} s")
    return first, last


def _absent_bytes(file: Path) -> int:
    """Bytes of audio that a WAV header declares beyond the file's end; 0 for other formats."""
    with open(file, "rb") as stream:
        head = stream.read(12)
        if not head:
            raise AudioError(file, "empty: a file of 0 bytes")
        if head == b"version http":  # what a clone of CREMA-D holds until its audio is fetched
            raise AudioError(file, "a Git LFS pointer, not audio: run `git lfs pull` there")
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(header := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                held = os.fstat(stream.fileno()).st_size - stream.tell()
                return 0 if size == UNKNOWN_SIZE else max(0, size - held)
            stream.seek(size + size % 2, os.SEEK_CUR)  # chunks begin at even places
    return 0  # cut within the header: soundfile says so


def _is_clipped(samples: np.ndarray) -> bool:
    full = np.abs(samples) >= FULL_SCALE
    run = full[: 1 - CLIPPED_RUN]
    for shift in range(1, CLIPPED_RUN):
        run = run & full[shift : len(full) + 1 - CLIPPED_RUN + shift]
    return bool(run.any())


def _sound_reason(error: soundfile.LibsndfileError) -> str:
    return f"unreadable as audio ({error.error_string})"


def _os_reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing: no such file"
    if isinstance(error, IsADirectoryError):
        return FOLDER
    return f"unreadable ({error.strerror or error})"
