"""Fingerprints of recordings, by which a copy is found under another name.

Landmarks (Wang, *An Industrial-Strength Audio Search Algorithm*, ISMIR 2003): pairs of peaks of the
spectrogram, described by both frequencies and their distance in time. They survive another gain,
rate or codec and a cut, because peaks are local. Another take of a sentence shares few of them.
"""

import numpy as np
import soxr
from scipy.ndimage import maximum_filter

RATE = 8000  # Hz; what telephony and most codecs preserve
WINDOW, HOP = 512, 80  # samples; 64 ms and 10 ms
BAND = (200.0, 3400.0)  # Hz; mains hum, common to all recordings of a room, is below
NEIGHBOURHOOD = (7, 11)  # frames and bins; a peak is the largest value in it
PEAKS_PER_SECOND = 20
PARTNERS = 4  # later peaks that a peak is paired with, at most
SPAN = (3, 50)  # frames between the two peaks of a pair
REACH = 48  # bins between the two peaks of a pair, less than this
LONGEST = 120  # seconds of an utterance that have landmarks


def narrow(signal: np.ndarray, rate: int) -> np.ndarray:
    """Return a signal at `RATE`, (N,) float32."""
    resampled = signal if rate == RATE else soxr.resample(signal, rate, RATE)
    return np.asarray(resampled, np.float32)


def landmarks(signal: np.ndarray) -> np.ndarray:
    """Return the landmarks of a signal at `RATE`.

    Returns:
        (K, 2) int64: hash and frame of each pair of peaks.
    """
    signal = signal[: LONGEST * RATE]
    padded = np.pad(signal, (0, max(WINDOW - len(signal), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    width = RATE / WINDOW
    band = slice(round(BAND[0] / width), round(BAND[1] / width))
    window = np.hanning(WINDOW).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(frames * window, axis=1))[:, band]
    peaks = (maximum_filter(spectrum, NEIGHBOURHOOD) == spectrum) & (spectrum > 0)
    times, bins = np.nonzero(peaks)
    count = max(2, round(PEAKS_PER_SECOND * len(signal) / RATE))
    loudest = np.sort(np.argsort(-spectrum[times, bins], kind="stable")[:count])
    return _pairs(times[loudest], bins[loudest])


def _pairs(times: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Return hash and frame of pairs of peaks, which are sorted by time."""
    pairs = [np.empty((0, 2), np.int64)]
    partners = np.zeros(len(times), np.int64)
    for shift in range(1, len(times)):
        apart, across = times[shift:] - times[:-shift], bins[shift:] - bins[:-shift]
        if apart.min() >= SPAN[1]:
            break
        near = (apart >= SPAN[0]) & (apart < SPAN[1]) & (np.abs(across) < REACH)
        near &= partners[:-shift] < PARTNERS
        partners[:-shift] += near
        code = (bins[:-shift] * (2 * REACH) + across + REACH) * SPAN[1] + apart
        pairs.append(np.stack([code, times[:-shift]], axis=1)[near])
    return np.concatenate(pairs)
