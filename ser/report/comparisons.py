"""Tests of systems against a reference: which pairs, and the correction of p."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ser.errors import UserError
from ser.report import power, statistics
from ser.report.cells import Cell, matches
from ser.report.contrasts import (
    DRAWS,
    KINDS,
    LEVEL,
    Contrast,
    contrasts,
    stacked,
    sums_by_speaker,
)

COMPARISONS = "report.comparisons"  # option


def resolve(cells: Sequence[Cell], name: str, option: str) -> str:
    """Return the system that a name denotes.

    Args:
        cells: Cells of the report.
        name: Name of the system or of its experiment.
        option: Option that has the name, for the error.

    Raises:
        UserError: No system has this name, or several have.
    """
    systems = sorted({cell.system for cell in cells})
    exact = [system for system in systems if system == name]
    # A system that was trained on several tasks alone may be named without them.
    short = {system: system.partition(" target=")[0] for system in systems}
    candidates = (
        exact
        or [system for system in systems if matches(system, name)]
        or [system for system in systems if matches(short[system], name)]
    )
    if len(candidates) != 1:
        what = f"may be {' or '.join(candidates)}" if candidates else "is not in this grid"
        raise UserError(f"{option}: {name} {what}; systems are: {', '.join(systems)}")
    return candidates[0]


def pairs(
    cells: Sequence[Cell], baseline: str | None, comparisons: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return each pair of a system and its reference once: those of the baseline come first.

    A pair of `comparisons` replaces the same pair in the direction of the baseline.

    Args:
        cells: Cells of the report.
        baseline: System that all others are compared with; None if there is none.
        comparisons: Further pairs of names.

    Raises:
        UserError: As for `resolve`.
    """
    named = [
        (resolve(cells, system, COMPARISONS), resolve(cells, reference, COMPARISONS))
        for system, reference in comparisons
    ]
    known = {frozenset(pair) for pair in named}
    systems = dict.fromkeys(cell.system for cell in cells)
    others = [(s, baseline) for s in systems if baseline is not None and s != baseline]
    return list(dict.fromkeys([*(p for p in others if frozenset(p) not in known), *named]))


def compare(cells: Sequence[Cell], pairs: Sequence[tuple[str, str]]) -> list[Contrast]:
    """Test systems against their references; ordered by kind, then by pair, then by cell.

    Args:
        cells: Cells of the report.
        pairs: Systems and references, from `pairs`.
    """
    by_place = {(cell.system, cell.column): cell for cell in cells}
    tests = [
        test
        for system, reference in pairs
        for cell in cells
        if cell.system == system and (reference, cell.column) in by_place
        for test in contrasts(cell, by_place[reference, cell.column])
    ]
    main = list(_with_needed(_corrected([test for test in tests if test.is_main])))
    others = [test for test in tests if not test.is_main]
    secondary = [
        test for kind in KINDS for test in _corrected([t for t in others if t.kind == kind])
    ]
    order = list(KINDS)
    return sorted([*secondary, *main], key=lambda test: order.index(test.kind))


def confidence_interval(cell: Cell) -> tuple[float, float] | None:
    """Return the 95% interval of a cell's pooled score over speakers; None if it is unknown."""
    speakers = sums_by_speaker(cell)
    if speakers is None:
        return None
    drawn = statistics.weights(len(speakers), DRAWS)
    scoring = cell.scoring
    return statistics.speaker_interval(stacked(speakers), drawn, scoring.resampled, scoring.limits)


def _corrected(tests: list[Contrast]) -> Iterator[Contrast]:
    """Yield tests with Holm's correction over all of them."""
    p_values = [test.result.p for test in tests if test.result]
    adjusted = iter(statistics.holm(p_values))
    for test in tests:
        yield replace(test, p_holm=next(adjusted)) if test.result else test


def _with_needed(corrected: Iterator[Contrast]) -> Iterator[Contrast]:
    """Yield main tests with the number of units that they need, at the level of Holm's first."""
    tests = list(corrected)
    level = LEVEL / max(1, sum(test.result is not None for test in tests))
    for test in tests:
        yield replace(test, needed=power.needed(test.units, level))
