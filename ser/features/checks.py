"""What goes into an extractor and what comes out of it: usable, or an error that says why not."""

import numpy as np
import soxr

from ser.errors import UserError

RESAMPLING = f"soxr-{soxr.__version__}-HQ"  # part of a signature, as the bits depend on it


def prepared(signal: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """A signal fit for extraction, at the wanted rate.

    Args:
        signal: (N,) float32, mono.
        rate: Hz.
        wanted: Hz; a signal at another rate is resampled by soxr ("HQ").

    Returns:
        (N * wanted / rate,) float32, finite; the signal itself where nothing had to be done.

    Raises:
        UserError: not mono, empty, or samples that are not finite.
    """
    if signal.ndim != 1:
        raise UserError(f"expected a mono signal of shape (N,), got {signal.shape}")
    if not len(signal):
        raise UserError("holds no samples")
    if not np.isfinite(signal).all():
        # openSMILE would turn them into finite numbers that mean nothing.
        raise UserError("holds samples that are not finite (NaN or inf)")
    signal = np.asarray(signal, dtype=np.float32)
    return signal if rate == wanted else soxr.resample(signal, rate, wanted, quality="HQ")


def too_short(samples: int, rate: int, what: str) -> UserError:
    """The reason of a signal that gives no features."""
    return UserError(f"too short for {what}: {samples / rate:.3f} s")


def finite(values: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """The values as they are, if all are finite.

    Args:
        values: (D,) or (T, D).
        columns: D names.

    Raises:
        UserError: some are NaN or inf: an utterance is refused rather than mended, as any number
            put in their place would be made up. No bundled openSMILE set was seen to give any.
    """
    bad = ~np.isfinite(values).reshape(-1, len(columns)).all(axis=0)
    if bad.any():
        names = [columns[i] for i in np.flatnonzero(bad)]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise UserError(f"gives features that are not finite: {', '.join(names[:3])}{more}")
    return values


def agreed(what: str, dim: int, columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns, if they are as many as config says.

    Raises:
        UserError: `dim` is wrong; names what it should be.
    """
    if dim != len(columns):
        raise UserError(f"{what} has {len(columns)} columns; config says dim: {dim}")
    return columns
