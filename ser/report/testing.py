"""Tables of the tests of systems against their references, and what the main test would need."""

from collections.abc import Sequence

from ser.report.contrasts import KINDS, LEVEL, Contrast
from ser.report.data import ReportData
from ser.report.power import MOST, POWER
from ser.report.scoring import titles, units
from ser.report.tables import Table
from ser.report.text import NONE, p_value

NEEDED = f"n for {POWER:.0%}"  # column
ABOUT_NEEDED = (
    f"{NEEDED}: number of {{units}} with which {POWER:.0%} of further experiments would show the "
    "observed difference, if that is the true one. Simulated: differences of {units} are drawn "
    "with replacement and tested at level {level:.2g} (0.05 divided by the number of main tests). "
    "It is for planning, and no evidence in itself; few {units} make it rough."
)
WHY_SESSIONS = (
    "The main test is over sessions, because folds share trainings, so that the speakers of one "
    "are not independent."
)


def main(data: ReportData) -> Table | None:
    """Return the main tests, each over speakers or over sessions; None if there are none."""
    tests = data.main_tests
    if not tests:
        return None
    kinds = list(dict.fromkeys(test.kind for test in tests))
    over = " or ".join(KINDS[kind].title for kind in kinds)
    notes = [_note(tests, kind) for kind in kinds]
    notes += [WHY_SESSIONS] if "sessions" in kinds else []
    if any(test.needed for test in tests):
        tested = sum(test.result is not None for test in tests)
        notes.append(ABOUT_NEEDED.format(units=" or ".join(kinds), level=LEVEL / tested))
    rows = tuple(
        (*row[:-1], needed(test), row[-1])
        for test, row in zip(tests, (_row(data, test, "d_z") for test in tests), strict=True)
    )
    columns = _columns("d_z")
    title = f"Main test, {over}: system - reference, difference in {_units(tests)}"
    return Table(title, (*columns[:-1], NEEDED, columns[-1]), rows, 3, notes=tuple(notes))


def secondary(data: ReportData, kind: str) -> Table | None:
    """Return the secondary tests of one kind; None if there are none."""
    tests = [test for test in data.tests_of(kind) if not test.is_main]
    if not tests:
        return None
    effect = KINDS[kind].effect
    rows = tuple(_row(data, test, effect) for test in tests)
    over = KINDS[kind].title
    title = f"Secondary test, {over}: system - reference, difference in {_units(tests)}"
    return Table(title, _columns(effect), rows, 3, notes=(_note(tests, kind),))


def _columns(effect: str) -> tuple[str, ...]:
    names = ["target", "system", "reference", "difference", "95%", *([effect] if effect else [])]
    return (*names, "p", "p (Holm)", "n", "than the reference")


def _row(data: ReportData, test: Contrast, effect: str) -> tuple[str, ...]:
    result, score = test.result, test.cell.scoring.primary
    head = (data.column_name(test.cell.column), test.cell.system, test.reference.system)
    if result is None:
        return (*head, *[NONE] * (4 + bool(effect)), test.n or NONE, test.verdict)
    size = [NONE if result.effect is None else f"{result.effect:.2f}"] if effect else []
    limits = f"{score.signed(result.low)} to {score.signed(result.high)}"
    p_values = (p_value(result.p), p_value(test.p_holm))
    return (*head, score.signed(result.difference), limits, *size, *p_values, test.n, test.verdict)


def _note(tests: Sequence[Contrast], kind: str) -> str:
    """Describe a kind of test and what it assumes."""
    name = titles([test.cell.scoring for test in tests])
    text = KINDS[kind].description.format(score=name, scores=name.replace(" or ", "s or ") + "s")
    return f"{text[0].upper()}{text[1:]}. Assumes: {KINDS[kind].assumes}."


def _units(tests: Sequence[Contrast]) -> str:
    return units([test.cell.scoring for test in tests])


# ---- power


def needed(test: Contrast) -> str:
    """Return the number of units that a main test needs, e.g. "14" or "> 10,000"."""
    if test.needed is None:
        return NONE
    return f"> {MOST:,}" if test.needed > MOST else f"{test.needed:,}"


def power(data: ReportData, test: Contrast) -> str:
    """Return how many units a main test needs to show the observed difference; empty if none.

    Of a further experiment, see `ser.report.power`.
    """
    if test.result is None or test.needed is None:
        return ""
    score = test.cell.scoring.primary
    size = f"{score.signed(test.result.difference)} {score.difference}"
    many = f"more than {MOST:,}" if test.needed > MOST else f"{test.needed:,}"
    return (
        f"To show a difference of {size} between {test.cell.system} and {test.reference.system} on "
        f"{data.column_name(test.cell.column)} in {POWER:.0%} of experiments, {many} {test.kind} "
        f"are needed; {test.n.partition(' ')[0]} were tested."
    )
