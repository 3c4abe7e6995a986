"""Read audio as mono float32; incomplete or invalid audio is an error that states the reason."""

import hashlib
import math
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ser.errors import UserError

# Annotated times are often rounded to hundredths, so an end can exceed its file by half of one.
TIME_TOLERANCE = 0.005  # seconds
# Lossy decoders exceed full scale slightly. Above this, the samples are not scaled to [-1, 1].
LARGEST_PEAK = 2.0
SILENT_PEAK = 0.001  # -60 dB of full scale
FULL_SCALE = 0.9999  # the largest positive PCM16 sample is 0.99997
CLIPPED_RUN = 3  # consecutive samples at full scale; one or two can be a true peak
FOLDER = "is a folder, not an audio file"
NO_FILE = "is not a file"
EMPTY = "empty: the file has no samples"
MISSING = "missing: no such file"
UNKNOWN_SIZE = 0xFFFFFFFF  # the length in the header of a streamed WAV (and of RF64)


class AudioError(UserError):
    """A file, or a part of one, that cannot be used; the message has the file and the reason."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[type["AudioError"], tuple[Path, str]]:
        return type(self), (self.file, self.reason)  # makes it picklable


@dataclass(frozen=True)
class AudioInfo:
    """Properties of the audio of an utterance.

    Attributes:
        rate: Hz; like all numbers 0 where `fault` is set.
        channels: Number of channels in the file.
        duration: Seconds.
        peak: Largest magnitude over samples and channels.
        silent: The peak is below -60 dB of full scale.
        clipped: `CLIPPED_RUN` consecutive samples of a channel are at full scale.
        fault: Why the audio cannot be used, or None.
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
        file: Of any format that libsndfile reads.
        start: Seconds; None or NaN: the beginning of the file.
        end: Seconds; None or NaN: the end of the file.

    Returns:
        (N,) float32 signal in [-1, 1], the mean of the channels, and its rate in Hz.

    Raises:
        AudioError: The file is missing, unreadable, empty or truncated, has samples that are NaN or
            inf, or start and end are outside it. Truncation, which soundfile does not report for
            WAV, is not detected in formats that declare no length, such as Ogg.
    """
    samples, rate = _read_samples(Path(file), start, end)
    return _mono(samples), rate


def from_array(samples: np.ndarray) -> np.ndarray:
    """Return samples as `read` would return those of a file.

    Args:
        samples: (N,) or (N, channels), as soundfile and scipy return them: floats in [-1, 1], or
            signed integers, which are divided by their full scale.

    Returns:
        (N,) float32 in [-1, 1], the mean of the channels.

    Raises:
        UserError: They have another shape or type, are empty, or are not within [-1, 1].
    """
    samples = np.asarray(samples)
    is_matrix = samples.ndim == 2 and samples.shape[1] <= samples.shape[0]
    if samples.ndim != 1 and not is_matrix:
        raise UserError(f"a signal must be (N,) or (N, channels), not {samples.shape}")
    if not samples.size:
        raise UserError("the signal has no samples")
    if samples.dtype.kind == "i":
        samples = samples / -float(np.iinfo(samples.dtype).min)
    if samples.dtype.kind != "f":
        raise UserError(
            f"a signal must have floats in [-1, 1] or signed integers, not {samples.dtype}"
        )
    samples = samples.astype(np.float32, copy=False)
    if problem := _value_problem(samples):
        raise UserError(problem)
    return _mono(samples.reshape(len(samples), -1))


def duration(file: Path) -> float:
    """Return the duration in seconds according to the header of a file, without reading samples.

    Raises:
        AudioError: The file is missing, unreadable, empty or, according to its header, truncated.
    """
    try:
        with _open(file) as sound:
            if not sound.frames:
                raise AudioError(file, EMPTY)
            return sound.frames / sound.samplerate
    except OSError as error:
        raise AudioError(file, _os_reason(error)) from error
    except soundfile.LibsndfileError as error:
        raise AudioError(file, _sound_reason(error)) from error


def digest(file: Path) -> str:
    """Return the blake2b hash of a file's bytes, 32 hexadecimal digits.

    Raises:
        AudioError: The file is missing or cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # reading a pipe would wait for ever
            raise AudioError(Path(file), FOLDER if os.path.isdir(file) else NO_FILE)
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise AudioError(Path(file), _os_reason(error)) from error


def sample_digest(file: Path) -> str:
    """Return the blake2b hash of the decoded mono samples and the rate, 32 hexadecimal digits.

    It is the same for the same samples in another container, e.g. WAV and FLAC.

    Raises:
        AudioError: As of `read`.
    """
    samples, rate = read(file)
    digest = hashlib.blake2b(f"{rate} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(samples, dtype="<f4").data)
    return digest.hexdigest()


def inspect(file: Path, start: float | None = None, end: float | None = None) -> AudioInfo:
    """Return the properties of an utterance's audio; a fault is returned, not raised."""
    try:
        samples, rate = _read_samples(Path(file), start, end)
    except AudioError as error:
        return AudioInfo(fault=error.reason)
    peak = float(np.abs(samples).max())
    return AudioInfo(
        rate=rate,
        channels=samples.shape[1],
        duration=len(samples) / rate,
        peak=peak,
        silent=peak < SILENT_PEAK,
        clipped=peak >= FULL_SCALE and _is_clipped(samples),
    )


def _read_samples(file: Path, start: float | None, end: float | None) -> tuple[np.ndarray, int]:
    """Return (N, channels) float32 samples, N at least 1, and their rate."""
    try:
        with _open(file) as sound:
            first, last = _sample_range(file, start, end, sound.frames, sound.samplerate)
            if sound.seekable():
                sound.seek(first)
            elif first:  # compressed telephony can be read only from its beginning
                sound.read(first)
            samples = sound.read(last - first, dtype="float32", always_2d=True)
            rate = sound.samplerate
    except OSError as error:
        raise AudioError(file, _os_reason(error)) from error
    except soundfile.LibsndfileError as error:
        raise AudioError(file, _sound_reason(error)) from error
    if len(samples) < last - first:
        raise AudioError(
            file, f"truncated: {len(samples)} of {last - first} declared samples can be read"
        )
    if problem := _value_problem(samples):
        raise AudioError(file, problem)
    return samples, rate


def _value_problem(samples: np.ndarray) -> str | None:
    """Return why samples cannot be audio; None: they can."""
    if not np.isfinite(samples).all():
        return "some samples are not finite (NaN or inf)"
    peak = np.abs(samples).max()
    return f"samples reach {peak:g}, but must be between -1 and 1" if peak > LARGEST_PEAK else None


def _mono(samples: np.ndarray) -> np.ndarray:
    """Return the mean of the channels (N, channels), clipped to [-1, 1], (N,) float32."""
    return np.clip(samples.mean(axis=1, dtype=np.float32), -1.0, 1.0)


def _open(file: Path) -> soundfile.SoundFile:
    """Open a file for reading if it is complete."""
    if not file.is_file():
        os.stat(file)  # raises an OSError with the reason if nothing exists there
        raise AudioError(file, FOLDER if file.is_dir() else NO_FILE)
    if missing := _missing_bytes(file):
        raise AudioError(file, f"truncated: {missing} bytes fewer than its header declares")
    # As bytes, because a name need not be valid text in the encoding of the system.
    name = file if os.name == "nt" else os.fsencode(file)
    try:
        return soundfile.SoundFile(name)
    except TypeError as error:  # the name has the suffix of a format without header
        raise AudioError(file, f"unreadable as audio ({error})") from error


def _sample_range(
    file: Path, start: float | None, end: float | None, frames: int, rate: int
) -> tuple[int, int]:
    """Return the first sample and the one after the last for times in seconds."""
    if frames == 0:
        raise AudioError(file, EMPTY)
    seconds = frames / rate
    begin = 0.0 if start is None or math.isnan(start) else start
    finish = seconds if end is None or math.isnan(end) else end
    if not 0 <= begin < finish <= seconds + TIME_TOLERANCE:
        raise AudioError(
            file, f"start {begin:g} s and end {finish:g} s are not within its {seconds:g} s"
        )
    first, last = round(begin * rate), min(round(finish * rate), frames)
    if first >= last:
        raise AudioError(file, f"empty: no sample from start {begin:g} s to end {finish:g} s")
    return first, last


def _missing_bytes(file: Path) -> int:
    """Return how many bytes fewer a WAV file has than its header declares; 0: other formats."""
    with open(file, "rb") as stream:
        head = stream.read(12)
        if not head:
            raise AudioError(file, "empty: a file of 0 bytes")
        if head == b"version http":  # as in a clone of CREMA-D before its audio is downloaded
            raise AudioError(
                file, "a Git LFS pointer, not audio: run `git lfs pull` in that folder"
            )
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(header := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", header)
            if name == b"data":
                available = os.fstat(stream.fileno()).st_size - stream.tell()
                return 0 if size == UNKNOWN_SIZE else max(0, size - available)
            stream.seek(size + size % 2, os.SEEK_CUR)  # chunks begin at even positions
    return 0  # truncated within the header, which soundfile reports


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
        return MISSING
    if isinstance(error, IsADirectoryError):
        return FOLDER
    return f"unreadable ({error.strerror or error})"
