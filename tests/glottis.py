"""Synthetic voices of known source: Liljencrants-Fant pulses and an all-pole vocal tract.

G. Fant, J. Liljencrants, Q. Lin, "A four-parameter model of glottal flow", STL-QPSR 4, 1985;
its one-parameter form, by Rd: G. Fant, "The LF-model revisited", STL-QPSR 36, 1995.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq
from scipy.signal import lfilter, resample_poly

RATE = 16000
FINE = 16  # oversampling of pulses, whose corner would alias otherwise
VOWELS = {  # formants and their bandwidths, Hz (Peterson and Barney 1952; upper ones typical)
    "a": ((730, 1090, 2440, 3500, 4500), (80, 90, 120, 150, 200)),
    "i": ((270, 2290, 3010, 3500, 4500), (60, 90, 120, 150, 200)),
}


@dataclass(frozen=True)
class Pulse:
    """One period of the derivative of glottal flow; its steepest fall is 1.

    Attributes:
        rd: 0.3 (tense) to 2.7 (breathy).
        f0: Hz.
    """

    rd: float
    f0: float

    @cached_property
    def parameters(self) -> tuple[float, float, float]:
        """Ra, Rk, Rg, predicted from Rd (Fant 1995, equations 2 to 4)."""
        ra = (-1 + 4.8 * self.rd) / 100
        rk = (22.4 + 11.8 * self.rd) / 100
        rg = rk * (0.5 + 1.2 * rk) / (4 * (0.11 * self.rd - ra * (0.5 + 1.2 * rk)))
        return ra, rk, rg

    def __call__(self, time: np.ndarray) -> np.ndarray:
        """Return the derivative at times (seconds); it is periodic."""
        period = 1 / self.f0
        ra, rk, rg = self.parameters
        peak = period / (2 * rg)  # of the flow
        fall = peak * (1 + rk)  # steepest
        back = ra * period
        rest = period - fall
        angular = np.pi / peak
        decay = brentq(lambda e: e * back - 1 + np.exp(-e * rest), 0.01 / back, 2 / back)
        returned = -(1 / decay - rest / (np.exp(decay * rest) - 1)) / (decay * back)
        returned *= 1 - np.exp(-decay * rest)

        def balance(growth: float) -> float:  # net flow of a period, which must be 0
            sine, cosine = np.sin(angular * fall), np.cos(angular * fall)
            rise = np.exp(-growth * fall) * angular + growth * sine - angular * cosine
            return -rise / sine / (growth**2 + angular**2) + returned

        growth = brentq(balance, -20 / period, 60 / period)
        t = np.mod(time, period)
        opened = -np.exp(growth * (t - fall)) * np.sin(angular * t) / np.sin(angular * fall)
        after = np.exp(-decay * (t - fall)) - np.exp(-decay * rest)
        return np.where(t < fall, opened, -after / (decay * back))

    @cached_property
    def _fine(self) -> np.ndarray:
        return self(np.arange(20000) / 20000 / self.f0)

    @property
    def amplitude_quotient(self) -> float:
        """NAQ of the pulse: range of the flow / (steepest fall * period)."""
        flow = np.cumsum(self._fine) / 20000
        return float((flow.max() - flow.min()) / -self._fine.min())

    @property
    def harmonic_difference(self) -> float:
        """H1-H2 of the derivative, dB."""
        first, second = np.abs(np.fft.rfft(self._fine))[1:3]
        return float(20 * np.log10(first / second))


def voice(pulse: Pulse, vowel: str | None, seconds: float = 1.0) -> np.ndarray:
    """Return pulses filtered by a vowel, (N,) float32 at `RATE`; the largest sample is 0.5.

    Args:
        pulse: One period.
        vowel: A key of `VOWELS`; None: the derivative itself, as the lips would radiate it.
        seconds: Duration.
    """
    time = np.arange(round(seconds * RATE * FINE)) / (RATE * FINE)
    signal = resample_poly(pulse(time), 1, FINE)
    if vowel is not None:
        for frequency, bandwidth in zip(*VOWELS[vowel], strict=True):
            radius = np.exp(-np.pi * bandwidth / RATE)
            angle = 2 * np.pi * frequency / RATE
            signal = lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], signal)
    return (0.5 * signal / np.abs(signal).max()).astype(np.float32)
