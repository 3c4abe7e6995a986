"""Corruptions of speech: noise, gain, speed, reverberation, telephone.

They augment training audio (`augment=noise`) and measure robustness (`evaluate --corrupt`). Random
numbers are drawn from a generator that the caller seeds. Ranges are [lowest, highest], both of
which may be equal; values are drawn uniformly.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import soxr

from ser.errors import UserError
from ser.features.checks import RESAMPLING
from ser.features.recorded import Recorded

# What the values depend on besides the options.
LIBRARIES = f"numpy-{version('numpy')},scipy-{version('scipy')},{RESAMPLING}"
TELEPHONE_RATE = 8000  # Hz
MU = 255  # of the mu-law, ITU-T G.711


class Corruption(Protocol):
    """Change a signal.

    Attributes:
        signature: Identifies the values of the result; part of the name of a folder.
    """

    @property
    def signature(self) -> str: ...

    def __call__(
        self, signal: np.ndarray, rate: int, random: np.random.Generator
    ) -> np.ndarray: ...


@dataclass
class _Options:
    """Options of a corruption; the signature has a digest of their values."""

    @cached_property
    def signature(self) -> str:
        facts = [
            str(list(value) if isinstance(value, Sequence) else value) for value in self._facts
        ]
        digest = hashlib.blake2b("\n".join([*facts, LIBRARIES]).encode(), digest_size=6)
        return f"{type(self).__name__.lower()}-{digest.hexdigest()}"

    @property
    def _facts(self) -> tuple[object, ...]:
        return astuple(self)


@dataclass
class Noise(_Options):
    """Add noise.

    Attributes:
        snr: Range of the signal-to-noise ratio in dB, by the power of the whole utterance.
        colour: Of generated noise: "white", or "pink" (-3 dB per octave).
        root: Folder of recorded noise, of which a random part is taken; None: generate noise.
    """

    snr: Sequence[float]
    colour: Literal["white", "pink"]
    root: str | None

    def __post_init__(self) -> None:
        _require_range("snr", self.snr)

    def __call__(self, signal: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return the signal with noise, (N,) float32; scaled down where it would exceed 1."""
        ratio = 10 ** (_drawn(self.snr, random) / 20)
        if self._recorded is None:
            noise = _generated(self.colour, len(signal), random)
        else:
            noise = self._recorded.excerpt(len(signal), rate, random)
        level = _rms(noise)
        if level == 0:
            return signal
        return _within(signal + noise * (_rms(signal) / (ratio * level)))

    @cached_property
    def _recorded(self) -> Recorded | None:
        return None if self.root is None else Recorded(Path(self.root), "noise")

    @property
    def _facts(self) -> tuple[object, ...]:
        recorded = self._recorded
        return (self.snr, self.colour if recorded is None else recorded.digest)


@dataclass
class Gain(_Options):
    """Change the level; what exceeds 1 is clipped.

    Attributes:
        decibels: Range in dB.
    """

    decibels: Sequence[float]

    def __post_init__(self) -> None:
        _require_range("decibels", self.decibels)

    def __call__(self, signal: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return the signal with another level, (N,) float32."""
        factor = 10 ** (_drawn(self.decibels, random) / 20)
        return np.clip(signal * np.float32(factor), -1.0, 1.0)


@dataclass
class Speed(_Options):
    """Change speed and pitch together, by resampling.

    Attributes:
        factor: Range; 1.1 is 10% faster and higher.
    """

    factor: Sequence[float]

    def __post_init__(self) -> None:
        _require_range("factor", self.factor, least=0.1)

    def __call__(self, signal: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return the signal at another speed, (N / factor,) float32."""
        factor = _drawn(self.factor, random)
        return _within(soxr.resample(signal, rate * factor, rate, quality="HQ"))


@dataclass
class Reverb(_Options):
    """Convolve with a room impulse response, and keep the level.

    Synthetic responses are a direct sound and exponentially decaying white noise.

    Attributes:
        seconds: Range of the reverberation time (T60) of synthetic responses.
        ratio: Range of their direct-to-reverberant ratio in dB.
        root: Folder of recorded responses; None: synthetic ones.
    """

    seconds: Sequence[float]
    ratio: Sequence[float]
    root: str | None

    def __post_init__(self) -> None:
        _require_range("seconds", self.seconds, least=0.01)
        _require_range("ratio", self.ratio)

    def __call__(self, signal: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return the signal in a room, (N,) float32, from its direct sound on."""
        if self._recorded is None:
            response = self._synthetic(rate, random)
        else:
            response = self._recorded.whole(rate, random)
            response = response[np.abs(response).argmax() :]
        from scipy.signal import oaconvolve  # slow to import

        wet = oaconvolve(signal.astype(np.float64), response)[: len(signal)]
        level = _rms(wet)
        return signal if level == 0 else _within(wet * (_rms(signal) / level))

    def _synthetic(self, rate: int, random: np.random.Generator) -> np.ndarray:
        duration, ratio = _drawn(self.seconds, random), _drawn(self.ratio, random)
        time = np.arange(1, round(duration * rate)) / rate
        # 60 dB in `duration` are a factor of 1000.
        tail = random.standard_normal(len(time)) * 1000 ** (-time / duration)
        tail *= 10 ** (-ratio / 20) / np.sqrt((tail**2).sum())
        return np.concatenate([[1.0], tail])

    @cached_property
    def _recorded(self) -> Recorded | None:
        return None if self.root is None else Recorded(Path(self.root), "impulse responses")

    @property
    def _facts(self) -> tuple[object, ...]:
        recorded = self._recorded
        return (self.seconds, self.ratio) if recorded is None else (recorded.digest,)


@dataclass
class Telephone(_Options):
    """Pass a narrow-band telephone line: 8 kHz, band-pass, mu-law of 8 bits (ITU-T G.711).

    Attributes:
        low: Lower cut-off, Hz.
        high: Upper cut-off, Hz.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < TELEPHONE_RATE / 2:
            raise UserError(
                f"low={self.low} must be below high={self.high}, and both between 0 and "
                f"{TELEPHONE_RATE // 2} Hz"
            )

    def __call__(self, signal: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return the signal at its own rate, (N,) float32."""
        from scipy.signal import butter, sosfilt  # slow to import

        narrow = soxr.resample(signal.astype(np.float64), rate, TELEPHONE_RATE, quality="HQ")
        band = butter(4, (self.low, self.high), "bandpass", fs=TELEPHONE_RATE, output="sos")
        line = np.clip(sosfilt(band, narrow), -1.0, 1.0)
        companded = np.sign(line) * np.log1p(MU * np.abs(line)) / np.log1p(MU)
        coded = np.rint((companded + 1) / 2 * MU) / MU * 2 - 1
        decoded = np.sign(coded) * np.expm1(np.abs(coded) * np.log1p(MU)) / MU
        wide = soxr.resample(decoded, TELEPHONE_RATE, rate, quality="HQ")[: len(signal)]
        return _within(np.pad(wide, (0, len(signal) - len(wide))))


@dataclass
class OneOf:
    """One of several corruptions, drawn for each signal.

    Attributes:
        kinds: The corruptions.
    """

    kinds: Sequence[Corruption]

    @cached_property
    def signature(self) -> str:
        text = "\n".join(kind.signature for kind in self.kinds)
        return f"mixed-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"

    def __call__(self, signal: np.ndarray, rate: int, random: np.random.Generator) -> np.ndarray:
        """Return the signal with one of the corruptions."""
        return self.kinds[int(random.integers(len(self.kinds)))](signal, rate, random)


def _require_range(name: str, values: Sequence[float], least: float | None = None) -> None:
    if len(values) != 2 or not values[0] <= values[1]:
        raise UserError(f"{name}={list(values)}: must be [lowest, highest]")
    if least is not None and values[0] < least:
        raise UserError(f"{name}={list(values)}: must be {least:g} or more")


def _drawn(values: Sequence[float], random: np.random.Generator) -> float:
    low, high = values
    return random.uniform(low, high)


def _generated(colour: str, count: int, random: np.random.Generator) -> np.ndarray:
    noise = random.standard_normal(count)
    if colour == "white":
        return noise
    spectrum = np.fft.rfft(noise)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), count)


def _rms(signal: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(signal, dtype=np.float64))))


def _within(signal: np.ndarray) -> np.ndarray:
    """Scale a signal down where it exceeds 1, so that nothing is clipped."""
    peak = np.abs(signal).max(initial=1.0)
    return (signal / peak).astype(np.float32)
