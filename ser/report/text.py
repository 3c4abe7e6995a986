"""Numbers as text."""

import re
from collections.abc import Iterable

import numpy as np

NONE = "-"
NUMBER = re.compile(r"(?<![\w.])(?:0|[1-9]\d*)(?![\w.])")  # a word of its own, no name like 03


def percent(value: float, digits: int = 1) -> str:
    return NONE if np.isnan(value) else f"{100 * value:.{digits}f}"


def spread(mean: float, sd: float, digits: int = 1) -> str:
    """Format mean and standard deviation, e.g. "76.0 ± 1.6"; the mean alone if sd is NaN."""
    return percent(mean, digits) + ("" if np.isnan(sd) else f" ± {percent(sd, digits)}")


def p_value(p: float) -> str:
    return NONE if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def with_ranges(texts: Iterable[str]) -> list[str]:
    """Return texts; of those that differ in whole numbers only, one with the ranges of these.

    Examples:
        >>> with_ranges(["3 of 9 labels are withheld", "4 of 9 labels are withheld"])
        ['3 to 4 of 9 labels are withheld']
    """
    groups: dict[tuple[str, ...], list[list[int]]] = {}
    for text in texts:
        groups.setdefault(tuple(NUMBER.split(text)), []).append([*map(int, NUMBER.findall(text))])
    joined = []
    for (first, *others), numbers in groups.items():
        ranges = [(min(each), max(each)) for each in zip(*numbers, strict=True)]
        shown = [f"{low} to {high}" if low < high else str(low) for low, high in ranges]
        joined.append(first + "".join(map("".join, zip(shown, others, strict=True))))
    return joined
