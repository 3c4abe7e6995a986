"""Names of systems in words, and lists of names."""

from collections.abc import Sequence

from ser.report.cells import Cell

MOST = 4  # names that are listed before the others are counted


def described(cell: Cell) -> str:
    """Return what a system consists of, e.g. "pca + svm on is10"; empty without a finished run.

    The name of a system may be that of an experiment, which does not say this.
    """
    for run in cell.runs.values():
        choices = run.planned.choices
        representation = choices.get("representation", "identity")
        parts = [] if representation == "identity" else [representation]
        features = f" on {choices['features']}" if "features" in choices else ""
        return " + ".join([*parts, choices["model"]]) + features
    return ""


def listed(names: Sequence[str], most: int = MOST) -> str:
    """List names in words.

    Examples:
        >>> listed(["a", "b", "c"])
        'a, b and c'
        >>> listed(["a", "b", "c", "d"], most=2)
        'a, b and 2 others'
    """
    shown = list(names)
    if len(shown) > most:
        shown = [*shown[:most], f"{len(names) - most} others"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
