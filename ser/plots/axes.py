"""Axes of SVG figures: scales, ticks, grid lines and legends."""

from collections.abc import Callable, Iterator

import numpy as np

from ser.plots.colours import css_class
from ser.plots.svg import HEIGHT, LEFT, RIGHT, WIDTH, line, text

Scale = Callable[[float], float]


def scale(limits: tuple[float, float], places: tuple[float, float], is_log: bool = False) -> Scale:
    """Return the function that maps `limits` of the data to `places` in the drawing."""
    warp = np.log if is_log else float
    low, high = (warp(limit) for limit in limits)
    return lambda value: float(
        places[0] + (warp(value) - low) / (high - low) * (places[1] - places[0])
    )


def axis_limits(values: np.ndarray, may_be_log: bool) -> tuple[tuple[float, float], bool]:
    """Return padded limits of an axis for values (NaN is ignored), and whether it is logarithmic.

    Losses of several orders of magnitude share a logarithmic axis.
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    is_log = may_be_log and low > 0 and high / low > 20
    pad = 0.04 * (high - low) or 0.01
    return (low / 1.1, high * 1.1) if is_log else (low - pad, high + pad), is_log


def ticks(low: float, high: float, is_log: bool = False) -> list[float]:
    """Return about five round numbers between two limits."""
    if is_log:
        powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
        steps = (1,) if len(powers) > 4 else (1, 3)
        return [s * 10.0**p for p in powers for s in steps if low <= s * 10.0**p <= high]
    raw = (high - low) / 6
    power = 10.0 ** np.floor(np.log10(raw)) if raw > 0 else 1.0
    step = next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= raw)
    return [float(k * step) for k in range(int(np.ceil(low / step)), int(high / step) + 1)]


def y_axis(
    limits: tuple[float, float], y: Scale, factor: float, is_log: bool = False
) -> Iterator[str]:
    """Draw horizontal grid lines with labels; values are multiplied by `factor` (100: percent)."""
    for tick in ticks(*limits, is_log):
        yield line("grid", LEFT, y(tick), WIDTH - RIGHT, y(tick))
        yield text("end", LEFT - 3, y(tick) + 3, _label(factor * tick))


def epoch_axis(x: Scale, epochs: int) -> Iterator[str]:
    """Draw the labels of an axis of epochs."""
    for tick in ticks(0, epochs):
        if 1 <= tick < 0.88 * epochs and tick == int(tick):
            yield text("middle", x(tick), HEIGHT - 5, f"{tick:g}")
    yield text("end", WIDTH - RIGHT, HEIGHT - 5, "epoch")


def legend_entry(number: int, y: float, name: str) -> Iterator[str]:
    """Draw one entry of a legend of two columns whose first row is at `y`."""
    x, y = LEFT + 140 * (number % 2), y + 13 * (number // 2)
    yield line(f"line {css_class(number)}", x, y - 3, x + 14, y - 3)
    yield text("", x + 18, y, name)


def _label(value: float) -> str:
    """Format a number so that it fits the left margin."""
    if 0 < abs(value) < 0.001:
        return f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.6g}"
