"""Voice quality per frame: the features that ghosh2016 takes from COVAREP, without MATLAB.

Fundamental frequency and voicing come from Praat (package praat-parselmouth, extra `voice`), the
normalised amplitude quotient (NAQ) and H1-H2 from the glottal flow (`ser.features.glottal`). Peak
slope and mel-frequency cepstral coefficients are computed here, the latter from `LogMel` bands.

Errors on Liljencrants-Fant pulses of known source, filtered by two vowels, with Rd 0.5, 1, 1.5, 2,
2.5 (tests/features/test_voice_quality.py). F0 is within 0.02%, and all frames are voiced. The table
has the error of a frame: the mean over the five Rd, and the worst Rd. NAQ itself ranges from 0.06
to 0.25, H1-H2 from -2 to 18 dB:

    vowel, F0     NAQ: mean, worst   H1-H2, dB: mean, worst
    /a/, 101 Hz   0.009  0.016        0.6   1.6
    /a/, 151 Hz   0.010  0.015        0.6   1.3
    /a/, 199 Hz   0.009  0.016        1.4   2.0
    /i/, 101 Hz   0.017  0.047        3.1   5.4
    /i/, 151 Hz   0.015  0.031        5.1   9.0
    /i/, 199 Hz   0.048  0.135        8.0  11.9

Where the first formant is close to a harmonic, as in /i/ of a high voice, inverse filtering cannot
separate the two, and H1-H2 is unreliable. Peak slope decreases with Rd for each vowel and F0.

`periods`, `tract` and `glottis` were selected among 20 settings on pulses of these vowels and
shapes at 100, 150 and 200 Hz, so these errors are optimistic; other vowels and human voices were
not measured. COVAREP's orders (20 and 8), fitted on whole frames, were as good for /a/; their mean
errors for /i/ at 200 Hz were 0.06 and 22 dB.

One second of speech takes 0.05 s of one core, or 0.08 s if all of it is voiced.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from importlib.metadata import version
from types import ModuleType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from scipy.ndimage import maximum_filter1d
from scipy.signal import butter, oaconvolve, sosfiltfilt

from ser.errors import UserError
from ser.features import Level, glottal
from ser.features.checks import (
    RESAMPLING,
    prepare_signal,
    require_dim,
    require_finite,
    too_short,
)
from ser.features.spectrogram import LogMel

SOURCE = ("F0", "VUV", "NAQ", "H1H2", "peakSlope")  # COVAREP's names
BLOCK = 1000  # frames that are inverse-filtered together: 10 s, some 100 MB
PERIODS = 3  # periods of the lowest F0 that Praat's autocorrelation needs


@dataclass
class VoiceQuality:
    """Source and spectrum of voiced speech, one row per frame.

    N samples give T = 1 + (N - frame) // hop frames, without padding.

    Attributes:
        level: "frame".
        dim: D, 5 + `coefficients`.
        rate: Hz, to which signals are resampled.
        frame: Duration of a frame, seconds; at least three periods of `f0_low`.
        hop: Seconds from the beginning of one frame to the beginning of the next.
        f0_low: Lowest F0, Hz.
        f0_high: Highest F0, Hz.
        silence: Fraction of the largest amplitude of the utterance below which frames are unvoiced.
        voicing: Smallest autocorrelation of a voiced frame.
        highpass: Cut-off in Hz. Lower frequencies are not voice, and integration would amplify
            them.
        periods: Number of periods on which the models of inverse filtering are fitted.
        tract: Order of the all-pole model of the vocal tract.
        glottis: Order of the all-pole model of the source.
        leak: Pole of the integrator that cancels lip radiation.
        octaves: Number of wavelets for peak slope, from half the rate downwards.
        floor: Smaller amplitudes are raised to it before the logarithm.
        coefficients: Number of MFCCs, including the 0th.
        mel: Bands whose cosine transform is the MFCCs. Each of its frames is in the middle of a
            frame of this extractor.
    """

    level: Level
    dim: int
    rate: int
    frame: float
    hop: float
    f0_low: float
    f0_high: float
    silence: float
    voicing: float
    highpass: float
    periods: float
    tract: int
    glottis: int
    leak: float
    octaves: int
    floor: float
    coefficients: int
    mel: LogMel

    def __post_init__(self) -> None:
        self._require(self.level == "frame", f"level must be frame, not {self.level}")
        self._require(self._hop > 0, "hop must be at least one sample")
        self._require(
            0 < self.f0_low < self.f0_high < self.rate / 4,
            f"f0_low must be below f0_high, and both between 0 and {self.rate / 4:g} Hz",
        )
        self._require(
            self.frame * self.f0_low >= PERIODS,
            f"frame must be at least {PERIODS} periods of f0_low: {PERIODS / self.f0_low:.3f} s",
        )
        self._require(0 < self.highpass < self.f0_low, "highpass must be between 0 and f0_low")
        self._require(0 < self.periods <= PERIODS, f"periods must be above 0 and at most {PERIODS}")
        self._require(min(self.tract, self.glottis) > 0, "tract and glottis must be above 0")
        self._require(0 < self.leak < 1, "leak must be between 0 and 1")
        self._require(
            self.octaves > 1, "octaves must be 2 or more, because a slope needs two points"
        )
        self._require(self.floor > 0, "floor must be above 0")
        self._require(
            0 < self.coefficients <= self.mel.dim,
            f"coefficients must be between 1 and the {self.mel.dim} bands of mel",
        )
        self._require(
            self.mel.rate == self.rate and self.mel.hop == self.hop and self._margin >= 0,
            "mel must have the same rate and hop, and frames that are not longer",
        )

    @cached_property
    def signature(self) -> str:
        """Identifies the values; raises UserError if Praat is not installed."""
        libraries = [f"parselmouth-{_praat().__version__}", f"scipy-{version('scipy')}", RESAMPLING]
        own = [str(getattr(self, field.name)) for field in fields(self) if field.name != "mel"]
        # A digest, because a signature is the name of a folder and must be short.
        digest = hashlib.blake2b(",".join([*own, self.mel.signature]).encode(), digest_size=8)
        return ",".join(["voicequality", *libraries, digest.hexdigest()])

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """D names: F0, VUV, NAQ, H1H2, peakSlope, MFCC_0, ...; UserError if they are not `dim`."""
        names = (*SOURCE, *(f"MFCC_{number}" for number in range(self.coefficients)))
        return require_dim("VoiceQuality", self.dim, names)

    def __call__(self, signal: np.ndarray, rate: int) -> np.ndarray:
        """Compute the voice quality of one utterance.

        Args:
            signal: (N,) float32 in [-1, 1].
            rate: Hz.

        Returns:
            (T, D) float32: F0 (Hz), VUV (1 where voiced), NAQ and H1-H2 (dB), which are 0 where
            unvoiced, then peak slope (log10 per octave) and the MFCCs.

        Raises:
            UserError: The signal is shorter than a frame, some samples are not finite, or Praat is
                not installed.
        """
        signal = prepare_signal(signal, rate, self.rate)
        if len(signal) < self._frame:
            raise too_short(len(signal), self.rate, f"one frame of {self.frame:g} s")
        count = 1 + (len(signal) - self._frame) // self._hop
        f0 = self._f0(signal, count)
        quotient, difference = self._source(signal, f0)
        slope = self._peak_slope(signal, count)
        bands = self.mel(signal[self._margin : len(signal) - self._margin], self.rate)[:count]
        cepstrum = dct(bands, norm="ortho", axis=1)[:, : self.coefficients]
        source = np.stack([f0, f0 > 0, quotient, difference, slope], axis=1)
        values = np.concatenate([source, cepstrum], axis=1).astype(np.float32)
        return require_finite(values, self.columns)

    @property
    def _frame(self) -> int:
        return round(self.frame * self.rate)

    @property
    def _hop(self) -> int:
        return round(self.hop * self.rate)

    @property
    def _margin(self) -> int:
        """Samples from the beginning of a frame to the beginning of the frame of `mel`."""
        return (self._frame - round(self.mel.frame * self.rate)) // 2

    def _f0(self, signal: np.ndarray, count: int) -> np.ndarray:
        """Estimate F0, (T,) Hz, 0 where unvoiced, by Praat's autocorrelation method.

        Options that are not attributes have Praat's defaults.

        P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
        harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993.
        """
        # Padded on both sides, because Praat rejects a sound that is not longer than its window.
        padded = np.pad(signal.astype(np.float64), self._hop)
        pitch = (
            _praat()
            .Sound(padded, self.rate)
            .to_pitch_ac(
                time_step=self._hop / self.rate,
                pitch_floor=self.f0_low,
                pitch_ceiling=self.f0_high,
                silence_threshold=self.silence,
                voicing_threshold=self.voicing,
            )
        )
        middles = (self._hop + self._frame / 2 + self._hop * np.arange(count)) / self.rate
        nearest = np.rint((middles - pitch.x1) / pitch.dx).astype(int).clip(0, pitch.nx - 1)
        return pitch.selected_array["frequency"][nearest]

    def _source(self, signal: np.ndarray, f0: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute NAQ, (T,), and H1-H2, (T,) dB, 0 where unvoiced."""
        past = max(self.tract, self.glottis)
        highpass = butter(4, self.highpass, "highpass", fs=self.rate, output="sos")
        speech = np.pad(sosfiltfilt(highpass, signal.astype(np.float64)), (past, 0))
        frames = sliding_window_view(speech, past + self._frame)[:: self._hop]
        upright, inverted, difference = (np.zeros(len(f0)) for _ in range(3))
        skewness = 0.0
        for voiced in _blocks(np.flatnonzero(f0)):
            period = self.rate / f0[voiced]
            source = glottal.iaif(
                frames[voiced],
                self.periods * period,
                tract=self.tract,
                glottis=self.glottis,
                leak=self.leak,
            )
            upright[voiced] = glottal.amplitude_quotient(source, period)
            inverted[voiced] = glottal.amplitude_quotient(source.inverted(), period)
            difference[voiced] = glottal.harmonic_difference(
                source.derivative, f0[voiced], self.rate
            )
            skewness += glottal.skewness(source.derivative).sum()
        # A microphone may invert the polarity, but then for the whole utterance.
        return (upright if skewness <= 0 else inverted), difference

    def _peak_slope(self, signal: np.ndarray, count: int) -> np.ndarray:
        """Compute peak slope, (T,): the slope of log10 amplitude per octave, towards high ones.

        J. Kane, C. Gobl, "Identifying regions of non-modal phonation using features of the wavelet
        transform", Interspeech 2011: the regression line through the maxima of a frame after each
        wavelet filter. The higher the slope, the tenser the voice.
        """
        peaks = np.empty((self.octaves, count))
        middles = self._frame // 2 + self._hop * np.arange(count)
        for octave in range(self.octaves):
            scale = 2.0**octave
            time = np.arange(-5 * scale, 5 * scale + 1) / scale  # 5 standard deviations
            wavelet = -np.cos(np.pi * time) * np.exp(-(time**2) / 2)
            band = oaconvolve(signal.astype(np.float64), wavelet, mode="same")
            largest = maximum_filter1d(np.abs(band), self._frame, mode="constant")
            peaks[self.octaves - 1 - octave] = largest[middles]
        octaves = np.arange(self.octaves) - (self.octaves - 1) / 2
        logarithm = np.log10(np.maximum(peaks, self.floor))
        return np.einsum("o,ot->t", octaves, logarithm) / np.sum(octaves**2)

    def _require(self, condition: bool, message: str) -> None:
        if not condition:
            raise UserError(f"VoiceQuality: {message}")


def _blocks(indices: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(indices), BLOCK):
        yield indices[begin : begin + BLOCK]


def _praat() -> ModuleType:
    """Import Praat, which is an optional dependency."""
    try:
        import parselmouth
    except ImportError:
        raise UserError(
            'Voice quality needs Praat, which is not installed: run pip install -e ".[voice]"'
        ) from None
    return parselmouth
