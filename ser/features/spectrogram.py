"""Spectrograms through torchaudio: log-mel bands, and spectra on a logarithmic frequency axis.

Frames lie wholly within the signal: frame t covers samples [t * hop, t * hop + frame), so N
samples give T = 1 + (N - frame) // hop of them, and no frame sees padding.

torch is imported on first extraction, as reading stored spectrograms does not need it.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np

from ser.errors import UserError
from ser.features import Level
from ser.features.checks import RESAMPLING, finite, prepared, too_short

if TYPE_CHECKING:
    import torch


@dataclass
class Spectrogram(ABC):
    """The framing and transform that both kinds below share.

    Attributes:
        level: "frame".
        dim: D, bands or frequencies.
        rate: Hz, to which signals are resampled.
        window: shape of the window.
        frame: seconds that a frame lasts.
        hop: seconds from the beginning of one frame to that of the next.
        points: of the Fourier transform; a frame is filled up with zeros on both sides.
        low: Hz, where the frequency axis begins.
        high: Hz, where it ends; at most half the rate.
        floor: smaller values are raised to it before the logarithm is taken, so that digital
            silence gives log(floor) and not minus infinity.
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
        self._require(self.level == "frame", f"level: {self.level} is wrong; it is of level frame")
        self._require(self.dim > 0, "dim must be above 0")
        self._require(self.window in ("hamming", "hann"), "window: choose hamming or hann")
        self._require(self._hop_samples > 0, "hop must be at least one sample")
        self._require(
            0 < self._frame_samples <= self.points,
            f"frame: {self._frame_samples} samples do not fit into {self.points} points",
        )
        self._require(
            0 <= self.low < self.high <= self.rate / 2,
            f"low and high must lie in this order between 0 and {self.rate / 2:g} Hz",
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

    def _require(self, holds: bool, fault: str) -> None:
        if not holds:
            raise UserError(f"{type(self).__name__}: {fault}")

    @property
    def _frame_samples(self) -> int:
        return round(self.frame * self.rate)

    @property
    def _hop_samples(self) -> int:
        return round(self.hop * self.rate)

    @property
    @abstractmethod
    def _bins(self) -> "torch.nn.Module":
        """Signal (N,) -> spectrum (bins, at least T)."""

    def _framing(self) -> dict:
        """Arguments that torchaudio's transforms share."""
        import torch

        return {
            "n_fft": self.points,
            "win_length": self._frame_samples,
            "hop_length": self._hop_samples,
            # torch puts the window in the middle of the points: as many zeros before the signal
            # let the first frame begin with it.
            "pad": (self.points - self._frame_samples) // 2,
            "center": False,
            "window_fn": getattr(torch, f"{self.window}_window"),
        }

    def _spectrum(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """(T, bins) float32. Raises UserError for a signal without one whole frame."""
        import torch

        signal = prepared(signal, rate, self.rate)
        if len(signal) < self._frame_samples:
            raise too_short(len(signal), self.rate, f"one frame of {self.frame:g} s")
        frames = 1 + (len(signal) - self._frame_samples) // self._hop_samples
        with torch.inference_mode():
            return self._bins(torch.tensor(signal)).numpy().T[:frames]


@dataclass
class LogMel(Spectrogram):
    """Natural logarithm of the power in `dim` triangles of height 1, evenly spaced in mel (HTK)."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """D names, from the lowest band to the highest."""
        return tuple(f"mel{band}" for band in range(self.dim))

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Log-mel bands of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (T, D) float32: log(max(power, floor)).

        Raises:
            UserError: shorter than a frame, or samples that are not finite.
        """
        power = self._spectrum(signal, rate)
        # Band by band, as the bits of one matrix product depend on the number of threads.
        bands = [np.einsum("tf,f->t", power[:, span], weights) for span, weights in self._bands]
        values = np.log(np.maximum(np.stack(bands, axis=1), np.float32(self.floor)))
        return finite(values, self.columns)

    @cached_property
    def _bins(self) -> "torch.nn.Module":
        from torchaudio.transforms import Spectrogram as Power

        return Power(power=2.0, **self._framing())

    @cached_property
    def _bands(self) -> list[tuple[slice, np.ndarray]]:
        """For each band the bins that it spans, and their weights."""
        from torchaudio.functional import melscale_fbanks

        scale = {"norm": None, "mel_scale": "htk"}
        bins = self.points // 2 + 1
        triangles = melscale_fbanks(bins, self.low, self.high, self.dim, self.rate, **scale)
        bands = []
        for weights in triangles.numpy().T:
            inside = np.flatnonzero(weights)
            self._require(inside.size > 0, "some bands hold no bin: more points or fewer bands")
            span = slice(inside[0], inside[-1] + 1)
            bands.append((span, weights[span].copy()))
        return bands


@dataclass
class LogSpectrum(Spectrogram):
    """Natural logarithm of the magnitude at `dim` frequencies from `low` to `high`.

    The log magnitude of the spectrum is interpolated linearly between its points.

    Attributes:
        axis: "log" for frequencies in equal ratios, "linear" for equal steps.
    """

    axis: Literal["log", "linear"]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require(self.axis in ("log", "linear"), "axis: choose log or linear")
        self._require(self.axis == "linear" or self.low > 0, "a log axis begins above 0 Hz")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """D names: the frequencies."""
        return tuple(f"{frequency:.2f}Hz" for frequency in self.frequencies)

    @cached_property
    def frequencies(self) -> np.ndarray:
        """(D,) float64, Hz."""
        space = np.geomspace if self.axis == "log" else np.linspace
        return space(self.low, self.high, self.dim)

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Log magnitudes of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (T, D) float32: log(max(magnitude, floor)), interpolated.

        Raises:
            UserError: shorter than a frame, or samples that are not finite.
        """
        magnitude = self._spectrum(signal, rate)
        logarithm = np.log(np.maximum(magnitude, np.float32(self.floor)))
        below, share = self._places
        values = logarithm[:, below] * (1 - share) + logarithm[:, below + 1] * share
        return finite(values, self.columns)

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """For each frequency the point below it, (D,) int64, and how far it is past it, float32."""
        place = self.frequencies * self.points / self.rate
        below = np.minimum(place.astype(np.int64), self.points // 2 - 1)
        return below, (place - below).clip(0, 1).astype(np.float32)

    @cached_property
    def _bins(self) -> "torch.nn.Module":
        from torchaudio.transforms import Spectrogram as Magnitude

        return Magnitude(power=1.0, **self._framing())
