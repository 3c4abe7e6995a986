"""Glottal flow, estimated by inverse filtering of the vocal tract, and measures of it.

The method is iterative adaptive inverse filtering: P. Alku, "Glottal wave analysis with pitch
synchronous iterative adaptive inverse filtering", Speech Communication 11, 1992. All functions
process many frames together, (T, L) float64; the result for a frame depends on that frame only.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter
from scipy.signal.windows import hann

REACH = 0.2  # fraction of a period: search range around the expected glottal closure
HARMONIC = 0.25  # fraction of F0: search range around a multiple of F0 for the harmonic's peak
POINTS = 4096  # of the Fourier transform for harmonics: 4 Hz apart at 16 kHz


class Source(NamedTuple):
    """Glottal flow and its derivative, (T, L) float64 each; the scale is arbitrary."""

    flow: np.ndarray
    derivative: np.ndarray

    def inverted(self) -> "Source":
        """Return the source with the opposite polarity."""
        return Source(-self.flow, -self.derivative)


def iaif(frames: np.ndarray, width: np.ndarray, *, tract: int, glottis: int, leak: float) -> Source:
    """Estimate the glottal flow by iterative adaptive inverse filtering (Alku 1992, figure 2).

    First a predictor of order 1 flattens the spectrum, and the inverse of a first model of the
    vocal tract gives a first flow. Then the inverse of a model of this flow removes the source from
    the speech, and the inverse of a second model of the vocal tract gives the flow.

    Args:
        frames: (T, P + L) high-pass filtered speech: P = max(`tract`, `glottis`) samples for the
            initial state of the filters, then L samples to analyse.
        width: (T,), length in samples of the Hann window in the middle of each frame under which
            the models are fitted. Two periods prevent models of single harmonics.
        tract: Order of the all-pole model of the vocal tract.
        glottis: Order of the all-pole model of the source.
        leak: Pole of the integrator that cancels lip radiation, just below 1.
    """
    past = max(tract, glottis)
    length = frames.shape[1] - past
    position = (np.arange(length) - (length - 1) / 2) / width[:, None]
    window = np.where(np.abs(position) < 0.5, np.cos(np.pi * position) ** 2, 0.0)

    def without(coefficients: np.ndarray) -> np.ndarray:
        """Return the frames filtered by 1 - predictor, (T, L)."""
        total = np.zeros((len(frames), length))
        for lag in range(coefficients.shape[1]):
            total += coefficients[:, lag, None] * frames[:, past - lag : past - lag + length]
        return total

    def integrated(derivative: np.ndarray) -> np.ndarray:
        return lfilter([1.0], [1.0, -leak], derivative, axis=1)

    speech = frames[:, past:]
    flattened = without(predictors(speech * window, 1))
    flow = integrated(without(predictors(flattened * window, tract)))
    tract_alone = integrated(without(predictors(flow * window, glottis)))
    derivative = without(predictors(tract_alone * window, tract))
    return Source(integrated(derivative), derivative)


def predictors(frames: np.ndarray, order: int) -> np.ndarray:
    """Fit linear prediction by autocorrelation: (T, order + 1) coefficients 1, -a1, -a2, ...

    Levinson's recursion over all frames together takes a tenth of the time of
    `scipy.linalg.solve_toeplitz` frame by frame, with the same result.

    Args:
        frames: (T, L), windowed; none of them all zero.
        order: Number of past samples that predict the next one.
    """
    size = next_fast_len(frames.shape[1] + order, real=True)
    power = np.abs(rfft(frames, size, axis=1)) ** 2
    correlation = irfft(power, size, axis=1)[:, : order + 1]
    correlation[:, 0] *= 1 + 1e-9  # -90 dB of white noise, so that band-limited frames are solvable
    coefficients = np.zeros_like(correlation)
    coefficients[:, 0] = 1.0
    error = correlation[:, 0].copy()
    for last in range(1, order + 1):
        backwards = correlation[:, last:0:-1]
        reflection = -np.einsum("tl,tl->t", coefficients[:, :last], backwards) / error
        coefficients[:, 1 : last + 1] += (
            reflection[:, None] * coefficients[:, last - 1 :: -1][:, :last]
        )
        error *= 1 - reflection**2
    return coefficients


def skewness(derivative: np.ndarray) -> np.ndarray:
    """Compute the third standardised moment, (T,): below 0 where the polarity is right.

    The flow ends more abruptly than it begins, so the peaks of its derivative are negative
    (T. Drugman, "Residual excitation skewness for automatic speech polarity detection", IEEE Signal
    Processing Letters 20, 2013).
    """
    centred = derivative - derivative.mean(axis=1, keepdims=True)
    square = centred**2
    return (square * centred).mean(axis=1) / square.mean(axis=1) ** 1.5


def amplitude_quotient(source: Source, period: np.ndarray) -> np.ndarray:
    """Compute normalised amplitude quotients, (T,): range of the flow / (steepest fall * period).

    P. Alku, T. Bäckström, E. Vilkman, "Normalized amplitude quotient for parametrization of the
    glottal flow", JASA 112, 2002. The result is the mean of the two cycles around the middle of the
    frame, or of one where the other is not completely in the frame. A cycle is from one glottal
    closure to the next, without its linear trend. A closure is the minimum of the derivative within
    a period.

    Args:
        source: (T, L) each, of the right polarity.
        period: (T,), samples; L must cover three periods.
    """
    length = source.flow.shape[1]
    middle = _closure(source.derivative, np.full(len(period), length / 2), period / 2)
    reach = (1 + REACH) * period
    total, count = np.zeros(len(period)), np.zeros(len(period))
    for whole, expected in (
        (middle - reach >= 0, middle - period),
        (middle + reach <= length - 1, middle + period),
    ):
        other = _closure(source.derivative, expected, REACH * period)
        values = _cycle(source, np.minimum(middle, other), np.maximum(middle, other))
        total += np.where(whole, values, 0.0)
        count += whole
    return total / np.maximum(count, 1)


def harmonic_difference(derivative: np.ndarray, f0: np.ndarray, rate: int) -> np.ndarray:
    """Compute H1-H2, (T,) dB: first over second harmonic in the spectrum of the flow's derivative.

    COVAREP has the same definition (G. Degottex and others, ICASSP 2014). H1-H2 of the flow itself
    is 6 dB higher.

    Args:
        derivative: (T, L); L must cover three periods.
        f0: (T,), Hz.
        rate: Hz.
    """
    spectrum = np.abs(rfft(derivative * hann(derivative.shape[1]), POINTS, axis=1))
    frequencies = np.arange(spectrum.shape[1]) * (rate / POINTS)
    peaks = [
        np.where(
            np.abs(frequencies - number * f0[:, None]) < HARMONIC * f0[:, None], spectrum, 0.0
        ).max(axis=1)
        for number in (1, 2)
    ]
    first, second = (np.maximum(peak, np.finfo(float).tiny) for peak in peaks)
    return 20 * np.log10(first / second)


def _closure(derivative: np.ndarray, about: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Return the position of the minimum within `reach` of `about` in each row, (T,)."""
    samples = np.arange(derivative.shape[1])
    near = np.abs(samples - about[:, None]) <= reach[:, None]
    return np.where(near, derivative, np.inf).argmin(axis=1)


def _cycle(source: Source, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Compute the amplitude quotients of the cycles between two closures, (T,)."""
    rows = np.arange(len(first))
    samples = np.arange(source.flow.shape[1])
    length = np.maximum(last - first, 1)
    begin, end = source.flow[rows, first], source.flow[rows, last]
    drift = begin[:, None] + (samples - first[:, None]) * ((end - begin) / length)[:, None]
    within = (samples >= first[:, None]) & (samples <= last[:, None])
    level = source.flow - drift
    highest = np.where(within, level, -np.inf).max(axis=1)
    lowest = np.where(within, level, np.inf).min(axis=1)
    fall = -source.derivative[rows, last]
    falls = fall > 0
    return np.where(falls, (highest - lowest) / (np.where(falls, fall, 1.0) * length), 0.0)
