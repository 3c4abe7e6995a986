"""What a recording reveals without its words and tone: duration, level, noise, silence, format."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ser.corpora import audio

FRAME, HOP = 0.020, 0.010  # seconds
FLOOR = -100.0  # dB of full scale; digital silence has no level
SPEECH_RANGE = 40.0  # dB below the loudest frame; frames within are taken as speech
NOISE_SHARE = 0.1  # share of the frames, the quietest ones, that are taken as noise
EDGE_RANGE = 50.0  # dB below the strongest frequency; the band that a recording contains
# The measurements that each nuisance consists of, with their units.
MEASUREMENTS = {
    "duration": {"duration": "s"},
    "level": {"level": "dB", "peak": "dB"},
    "noise floor": {"noise": "dB", "noise_low": "dB", "noise_high": "dB"},
    "bandwidth": {"bandwidth": "Hz"},
    "silence at the ends": {"silence_start": "s", "silence_end": "s"},
}


@dataclass(frozen=True)
class Acoustics:
    """Measurements of one utterance.

    Attributes:
        duration: Seconds.
        level: Mean power of the speech frames, dB of full scale.
        peak: Largest magnitude, dB of full scale.
        noise: Mean power of the quietest tenth of the frames, dB of full scale.
        noise_low, noise_high: The same below and above 1 kHz.
        bandwidth: Highest frequency in Hz whose mean power is within 50 dB of the strongest one.
        silence_start, silence_end: Seconds before the first and after the last speech frame.
        format: Rate, channels and encoding of the file.
    """

    duration: float
    level: float
    peak: float
    noise: float
    noise_low: float
    noise_high: float
    bandwidth: float
    silence_start: float
    silence_end: float
    format: str


def measure(signal: np.ndarray, rate: int, encoding: str) -> Acoustics:
    """Measure an utterance.

    Args:
        signal: (N,) mono, at least one sample.
        rate: Hz.
        encoding: Channels and encoding of the file, from `encoding_of`.
    """
    length, hop = max(round(FRAME * rate), 2), max(round(HOP * rate), 1)
    padded = np.pad(signal, (0, max(length - len(signal), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    spectra = np.abs(np.fft.rfft(frames * np.hanning(length), axis=1)) ** 2
    levels = decibels((frames**2).mean(axis=1))
    speech = np.flatnonzero(levels >= levels.max() - SPEECH_RANGE)
    quiet = np.argsort(levels, kind="stable")[: max(1, round(NOISE_SHARE * len(levels)))]
    frequencies = np.fft.rfftfreq(length, 1 / rate)
    noise = spectra[quiet].mean(axis=0) / (length * (np.hanning(length) ** 2).sum())
    mean = decibels(spectra.mean(axis=0))
    last = len(levels) - 1
    return Acoustics(
        duration=len(signal) / rate,
        level=float(decibels((frames[speech] ** 2).mean())),
        peak=float(decibels(np.abs(signal).max() ** 2)),
        noise=float(levels[quiet].mean()),
        noise_low=float(decibels(noise[frequencies < 1000].sum())),
        noise_high=float(decibels(noise[frequencies >= 1000].sum())),
        bandwidth=float(frequencies[np.flatnonzero(mean >= mean.max() - EDGE_RANGE)[-1]]),
        silence_start=float(speech[0] * HOP),
        silence_end=float((last - speech[-1]) * HOP),
        format=f"{rate} Hz, {encoding}",
    )


def encoding_of(file: Path) -> str:
    """Return channels, container and encoding of a file, e.g. "1 channel(s), WAV PCM_16"."""
    try:
        info = soundfile.info(file)
    except soundfile.LibsndfileError as error:
        raise audio.AudioError(file, f"unreadable as audio ({error.error_string})") from error
    return f"{info.channels} channel(s), {info.format} {info.subtype}"


def decibels(power: np.ndarray) -> np.ndarray:
    """Return power in dB, at least `FLOOR`."""
    return 10 * np.log10(np.maximum(power, 10 ** (FLOOR / 10)))
