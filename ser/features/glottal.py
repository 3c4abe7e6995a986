"""The voice's source, found by undoing the vocal tract: glottal flow, and what is measured of it.

The flow comes from iterative adaptive inverse filtering: P. Alku, "Glottal wave analysis with pitch
synchronous iterative adaptive inverse filtering", Speech Communication 11, 1992. Every function
takes many frames at once, (T, L) float64, and each row's result depends on that row alone.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import lfilter
from scipy.signal.windows import hann

REACH = 0.2  # of a period: how far from where it is expected a closure is sought
HARMONIC = 0.25  # of F0: how far from its multiple a harmonic's peak is sought
POINTS = 4096  # of the spectrum that harmonics are read from: 4 Hz apart at 16 kHz


class Source(NamedTuple):
    """Glottal flow and its derivative, (T, L) float64 each, of no absolute scale."""

    flow: np.ndarray
    derivative: np.ndarray

    def reversed(self) -> "Source":
        """Upside down."""
        return Source(-self.flow, -self.derivative)


def iaif(frames: np.ndarray, width: np.ndarray, *, tract: int, glottis: int, leak: float) -> Source:
    """Glottal flow by iterative adaptive inverse filtering (Alku 1992, figure 2).

    The spectrum is first flattened by a predictor of order 1, a vocal tract fitted and undone; of
    the flow found so a source is fitted and undone, and the vocal tract fitted anew.

    Args:
        frames: (T, P + L) speech without its lowest frequencies: L samples to be analysed, and P,
            as many as `tract` or `glottis`, before them, which filters start from.
        width: (T,), samples in the middle of each frame that models are fitted on, under a Hann
            window. Two periods keep them from modelling single harmonics.
        tract: order of the vocal tract's all-pole model.
        glottis: order of the source's.
        leak: pole of the integrator that cancels the radiation at the lips, just below 1.
    """
    past = max(tract, glottis)
    length = frames.shape[1] - past
    place = (np.arange(length) - (length - 1) / 2) / width[:, None]
    window = np.where(np.abs(place) < 0.5, np.cos(np.pi * place) ** 2, 0.0)

    def without(coefficients: np.ndarray) -> np.ndarray:
        """The frames filtered by 1 - predictor, (T, L)."""
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
    """(T, order + 1) coefficients 1, -a1, -a2, ... of linear prediction by autocorrelation.

    Levinson's recursion over all frames at once, which takes a tenth of the time of
    `scipy.linalg.solve_toeplitz` frame by frame, to the same numbers.

    Args:
        frames: (T, L), windowed; none of them all zero.
        order: how many samples back the prediction looks.
    """
    size = next_fast_len(frames.shape[1] + order, real=True)
    power = np.abs(rfft(frames, size, axis=1)) ** 2
    correlation = irfft(power, size, axis=1)[:, : order + 1]
    correlation[:, 0] *= 1 + 1e-9  # -90 dB of white noise: what is band-limited stays solvable
    found = np.zeros_like(correlation)
    found[:, 0] = 1.0
    error = correlation[:, 0].copy()
    for last in range(1, order + 1):
        backwards = correlation[:, last:0:-1]
        reflection = -np.einsum("tl,tl->t", found[:, :last], backwards) / error
        found[:, 1 : last + 1] += reflection[:, None] * found[:, last - 1 :: -1][:, :last]
        error *= 1 - reflection**2
    return found


def skewness(derivative: np.ndarray) -> np.ndarray:
    """(T,) third standardised moment: below 0 where the polarity is right.

    Flow ends more abruptly than it begins, so its derivative's peaks are negative (T. Drugman,
    "Residual excitation skewness for automatic speech polarity detection", IEEE Signal Processing
    Letters 20, 2013).
    """
    centred = derivative - derivative.mean(axis=1, keepdims=True)
    square = centred**2
    return (square * centred).mean(axis=1) / square.mean(axis=1) ** 1.5


def amplitude_quotient(source: Source, period: np.ndarray) -> np.ndarray:
    """(T,) normalised amplitude quotients: flow's range / (steepest fall * period).

    P. Alku, T. Bäckström, E. Vilkman, "Normalized amplitude quotient for parametrization of the
    glottal flow", JASA 112, 2002. The mean of the two cycles about the middle of a frame (of one,
    where the other leaves it), each from one closure of the glottis to the next, its drift
    removed. A closure is where the derivative is lowest within a period.

    Args:
        source: (T, L) each, of the right polarity.
        period: (T,), samples; L must hold three.
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
    """(T,) H1-H2, dB: the first harmonic over the second in the spectrum of the flow's derivative.

    As COVAREP has it (G. Degottex and others, ICASSP 2014); that of the flow is 6 dB more.

    Args:
        derivative: (T, L); L must hold three periods.
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
    """(T,) where each row is lowest within `reach` of `about`."""
    samples = np.arange(derivative.shape[1])
    near = np.abs(samples - about[:, None]) <= reach[:, None]
    return np.where(near, derivative, np.inf).argmin(axis=1)


def _cycle(source: Source, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(T,) amplitude quotients of the cycles between two closures."""
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
    good = fall > 0
    return np.where(good, (highest - lowest) / (np.where(good, fall, 1.0) * length), 0.0)
