"""Spectrograms by torchaudio: log-mel bands, and spectra on a logarithmic frequency axis.

Frame t covers samples [t * hop, t * hop + frame). N samples give T = 1 + (N - frame) // hop frames,
none of which contains padding.

torch is imported at the first extraction, because reading stored spectrograms does not need it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np

from ser.errors import UserError
from ser.features import Level
from ser.features.checks import RESAMPLING, prepare_signal, require_finite, too_short

if TYPE_CHECKING:
    import torch


@dataclass
class Spectrogram(ABC):
    """Base class: framing and Fourier transform.

    Attributes:
        level: "frame".
        dim: D, the number of bands or frequencies.
        rate: Hz, to which signals are resampled.
        window: Window function.
        frame: Duration of a frame, seconds.
        hop: Seconds from the beginning of one frame to the beginning of the next.
        points: Length of the Fourier transform; frames are zero-padded on both sides to it.
        low: Lower end of the frequency axis, Hz.
        high: Upper end, Hz; at most half the rate.
        floor: Smaller values are raised to it before the logarithm, so that digital silence gives
            log(floor) instead of minus infinity.
    """

    level: Level
    dim: int
    rate: int
    window: Literal["hamming", "hann"]
    frame: float
    hop: float
    points: int
    low: float
    high: float
    floor: float

    def __post_init__(self) -> None:
        self._require(self.level == "frame", f"level must be frame, not {self.level}")
        self._require(self.dim > 0, "dim must be above 0")
        self._require(self.window in ("hamming", "hann"), "window must be hamming or hann")
        self._require(self._hop_samples > 0, "hop must be at least one sample")
        self._require(
            0 < self._frame_samples <= self.points,
            f"frame must have 1 to {self.points} samples (points), not {self._frame_samples}",
        )
        self._require(
            0 <= self.low < self.high <= self.rate / 2,
            f"low must be below high, and both between 0 and {self.rate / 2:g} Hz",
        )
        self._require(self.floor > 0, "floor must be above 0")

    @cached_property
    def signature(self) -> str:
        values = (str(getattr(self, field.name)) for field in fields(self))
        libraries = (f"{name}-{version(name)}" for name in ("torch", "torchaudio"))
        return ",".join([type(self).__name__.lower(), *libraries, RESAMPLING, *values])

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """D names."""

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise UserError(f"{type(self).__name__}: {message}")

    @property
    def _frame_samples(self) -> int:
        return round(self.frame * self.rate)

    @property
    def _hop_samples(self) -> int:
        return round(self.hop * self.rate)

    @property
    @abstractmethod
    def _transform(self) -> "torch.nn.Module":
        """The transform of a signal (N,) to a spectrum (bins, at least T)."""

    def _framing(self) -> dict:
        """Return the arguments that both transforms of torchaudio share."""
        import torch

        return {
            "n_fft": self.points,
            "win_length": self._frame_samples,
            "hop_length": self._hop_samples,
            # torch centres the window in the points. Padding by this offset makes the first frame
            # begin at the first sample.
            "pad": (self.points - self._frame_samples) // 2,
            "center": False,
            "window_fn": getattr(torch, f"{self.window}_window"),
        }

    def _spectrum(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Return (T, bins) float32; raise UserError if the signal is shorter than a frame."""
        import torch

        signal = prepare_signal(signal, rate, self.rate)
        if len(signal) < self._frame_samples:
            raise too_short(len(signal), self.rate, f"one frame of {self.frame:g} s")
        frames = 1 + (len(signal) - self._frame_samples) // self._hop_samples
        with torch.inference_mode():
            return self._transform(torch.tensor(signal)).numpy().T[:frames]


@dataclass
class LogMel(Spectrogram):
    """Log-mel bands: log power in `dim` triangles of height 1, evenly spaced in mel (HTK)."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """D names, from the lowest band to the highest band."""
        return tuple(f"mel{band}" for band in range(self.dim))

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Compute the log-mel bands of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (T, D) float32: log(max(power, floor)).

        Raises:
            UserError: The signal is shorter than a frame, or some samples are not finite.
        """
        power = self._spectrum(signal, rate)
        # Band by band, because the bits of a matrix product depend on the number of threads.
        bands = [np.einsum("tf,f->t", power[:, span], weights) for span, weights in self._bands]
        values = np.log(np.maximum(np.stack(bands, axis=1), np.float32(self.floor)))
        return require_finite(values, self.columns)

    @cached_property
    def _transform(self) -> "torch.nn.Module":
        from torchaudio.transforms import Spectrogram as Power

        return Power(power=2.0, **self._framing())

    @cached_property
    def _bands(self) -> list[tuple[slice, np.ndarray]]:
        """For each band the range of its bins, and their weights."""
        from torchaudio.functional import melscale_fbanks

        scale = {"norm": None, "mel_scale": "htk"}
        bins = self.points // 2 + 1
        triangles = melscale_fbanks(bins, self.low, self.high, self.dim, self.rate, **scale)
        bands = []
        for weights in triangles.numpy().T:
            inside = np.flatnonzero(weights)
            self._require(inside.size > 0, "some bands have no bin: raise points or lower dim")
            span = slice(inside[0], inside[-1] + 1)
            bands.append((span, weights[span].copy()))
        return bands


@dataclass
class LogSpectrum(Spectrogram):
    """Natural logarithm of the magnitude at `dim` frequencies from `low` to `high`.

    The log magnitude is interpolated linearly between the points of the Fourier transform.

    Attributes:
        axis: "log" for frequencies in equal ratios, "linear" for equal steps.
    """

    axis: Literal["log", "linear"]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.axis in ("log", "linear"), "axis must be log or linear")
        self._require(self.axis == "linear" or self.low > 0, "low must be above 0 Hz on a log axis")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """D names: the frequencies in Hz."""
        return tuple(f"{frequency:.2f}Hz" for frequency in self.frequencies)

    @cached_property
    def frequencies(self) -> np.ndarray:
        """Frequencies in Hz, (D,) float64."""
        space = np.geomspace if self.axis == "log" else np.linspace
        return space(self.low, self.high, self.dim)

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Compute the log magnitudes of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (T, D) float32: log(max(magnitude, floor)), interpolated.

        Raises:
            UserError: The signal is shorter than a frame, or some samples are not finite.
        """
        magnitude = self._spectrum(signal, rate)
        logarithm = np.log(np.maximum(magnitude, np.float32(self.floor)))
        below, fraction = self._positions
        values = logarithm[:, below] * (1 - fraction) + logarithm[:, below + 1] * fraction
        return require_finite(values, self.columns)

    @cached_property
    def _positions(self) -> tuple[np.ndarray, np.ndarray]:
        """For each frequency the point below it, (D,) int64, and its distance to it, float32."""
        position = self.frequencies * self.points / self.rate
        below = np.minimum(position.astype(np.int64), self.points // 2 - 1)
        return below, (position - below).clip(0, 1).astype(np.float32)

    @cached_property
    def _transform(self) -> "torch.nn.Module":
        from torchaudio.transforms import Spectrogram as Magnitude

        return Magnitude(power=1.0, **self._framing())
