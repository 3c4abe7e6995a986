"""Numbers as text."""

import numpy as np

NONE = "-"


def percent(value: float, digits: int = 1) -> str:
    return NONE if np.isnan(value) else f"{100 * value:.{digits}f}"


def spread(mean: float, sd: float, digits: int = 1) -> str:
    """Format mean and standard deviation, e.g. "76.0 ± 1.6"; the mean alone if sd is NaN."""
    return percent(mean, digits) + ("" if np.isnan(sd) else f" ± {percent(sd, digits)}")


def p_value(p: float) -> str:
    return NONE if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
