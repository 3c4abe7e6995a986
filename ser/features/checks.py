"""Checks of what an extractor gets and returns."""

import numpy as np
import soxr

from ser.errors import UserError

RESAMPLING = f"soxr-{soxr.__version__}-HQ"  # part of each signature, because the bits depend on it
LISTED = 3  # columns that an error names


def prepare_signal(signal: np.ndarray, rate: int, target_rate: int) -> np.ndarray:
    """Validate a signal and resample it with soxr ("HQ") where the rates differ.

    Args:
        signal: (N,) float32, mono.
        rate: Hz.
        target_rate: Hz.

    Returns:
        (N * target_rate / rate,) float32, finite; the signal itself where the rates are equal.

    Raises:
        UserError: The signal is not mono, is empty, or has samples that are not finite.
    """
    if signal.ndim != 1:
        raise UserError(f"expected a mono signal of shape (N,), got {signal.shape}")
    if not len(signal):
        raise UserError("the signal has no samples")
    if not np.isfinite(signal).all():
        # openSMILE would turn them into finite numbers without meaning.
        raise UserError("some samples are not finite (NaN or inf)")
    signal = np.asarray(signal, dtype=np.float32)
    return signal if rate == target_rate else soxr.resample(signal, rate, target_rate, quality="HQ")


def too_short(samples: int, rate: int, needed: str) -> UserError:
    """Return the error for a signal that is too short to give features."""
    return UserError(f"too short for {needed}: {samples / rate:.3f} s")


def require_finite(values: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """Return the values unchanged, or raise if some are not finite.

    The utterance is rejected, because any number in place of NaN or inf would be invented. No
    bundled openSMILE set has produced one so far.

    Args:
        values: (D,) or (T, D).
        columns: D names.

    Raises:
        UserError: Some values are NaN or inf.
    """
    bad = ~np.isfinite(values).reshape(-1, len(columns)).all(axis=0)
    if bad.any():
        names = [columns[i] for i in np.flatnonzero(bad)]
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        raise UserError(f"some features are not finite: {', '.join(names[:LISTED])}{more}")
    return values


def require_dim(extractor: str, dim: int, columns: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns, or raise if their number is not the `dim` of the config.

    Raises:
        UserError: `dim` is wrong; the message names the right value.
    """
    if dim != len(columns):
        raise UserError(f"{extractor} has {len(columns)} columns, but the config says dim: {dim}")
    return columns
