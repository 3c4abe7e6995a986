"""The conclusion of a report in a few sentences: what was compared, what scores highest, how sure.

A difference is called shown only if the main test shows it after correction; the highest score
alone is called highest, never better. A difference that is not shown is not called absent.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ser.report.cells import Cell
from ser.report.contrasts import Contrast
from ser.report.data import ReportData
from ser.report.names import listed
from ser.report.paper import partial
from ser.report.scores import Summary
from ser.report.scoring import Score, titles
from ser.report.text import p_value

MOST = 4  # targets that have a sentence of their own
NOTHING = "No system has a seed with all of its folds, so there is no score yet."
ALONE = "There is no other system to compare it with."
UNTESTED = (
    "No test compares the systems: report.baseline=NAME names the system that the others are "
    "tested against."
)
SYNTHETIC = "The speech is synthetic: the scores say nothing about people."
ONE_SPEAKER = (
    "Only one speaker is tested, so nothing is known about the variation between speakers."
)
ONE_SEED = "Each system has one seed, so the variation between repeated trainings is unknown."

# A system on a target: its cell, its scores, and the interval of its pooled score over speakers.
Scored = tuple[Cell, Summary, tuple[float, float] | None]


@dataclass(frozen=True)
class Conclusion:
    """The conclusion of a report.

    Attributes:
        compared: What was compared, on which data.
        results: What scores highest, and whether the main test shows it.
        cautions: What limits the results.
    """

    compared: str
    results: tuple[str, ...]
    cautions: tuple[str, ...]


def conclusion(data: ReportData) -> Conclusion:
    """Return the conclusion of a report."""
    columns = [column for column in data.columns if _scored(data, column)]
    if not columns:
        return Conclusion(_compared(data), (NOTHING,), tuple(_cautions(data)))
    if len(columns) == 1:
        results = list(_results(data, columns[0]))
    elif len(columns) <= MOST:
        results = list(_several(data, columns))
    else:
        results = list(_counted(data, columns))
    results += [ALONE] if len(data.systems) == 1 else [] if data.compares else [UNTESTED]
    return Conclusion(_compared(data), tuple(results), tuple(_cautions(data)))


def sentences(data: ReportData) -> list[str]:
    """Return the conclusion of a report as sentences, in the order in which they are read."""
    whole = conclusion(data)
    return [whole.compared, *whole.results, *whole.cautions]


# ---- what was compared


def _compared(data: ReportData) -> str:
    """Return what was compared, e.g. "5 systems are compared on emotion of emodb: ..."."""
    count = len(data.systems)
    what = f"{count} systems are compared" if count > 1 else f"One system, {data.systems[0]},"
    targets: dict[str, list[str]] = {}
    for corpus, target in data.columns:
        targets.setdefault(corpus, []).append(target)
    where = [f"{listed(names)} of {corpus}" for corpus, names in targets.items()]
    on = f"{what} {'on' if count > 1 else 'is scored on'} {listed(where)}"
    scored = [(cell, summed) for cell, summed in data.scored]
    if not scored:
        return f"{on}."
    utterances = _span([summed.utterances for _, summed in scored], "utterances")
    if not all(cell.knows_speakers for cell, _ in scored):
        return f"{on}: {utterances}."
    speakers = _span([cell.speakers for cell, _ in scored], "speakers")
    is_independent = all(cell.is_speaker_independent for cell, _ in scored)
    apart = "; no model is tested on a speaker it was trained on" if is_independent else ""
    return f"{on}: {utterances} of {speakers}{apart}."


def _span(numbers: Sequence[int], what: str) -> str:
    low, high = min(numbers), max(numbers)
    what = what.removesuffix("s") if high == 1 else what
    return f"{low:,} {what}" if low == high else f"{low:,} to {high:,} {what}"


# ---- what scores highest


def _scored(data: ReportData, column: tuple[str, str]) -> list[Scored]:
    """Return the systems that have scores on a target, the highest pooled score first."""
    rows = [
        (cell, summed, interval)
        for cell, summed, interval in data.rows
        if cell.column == column and summed is not None
    ]
    return sorted(rows, key=lambda row: -_value(row))


def _value(row: Scored) -> float:
    return row[1].mean("pooled", row[0].scoring.primary.name)


def main_tests(data: ReportData, column: tuple[str, str]) -> list[Contrast]:
    """Return the main tests of a target."""
    return [test for test in data.main_tests if test.cell.column == column]


def _results(data: ReportData, column: tuple[str, str]) -> Iterator[str]:
    """Yield what scores highest on the only target, and what the main tests show."""
    rows, tests = _scored(data, column), main_tests(data, column)
    best = rows[0][0]
    own = [test for test in tests if best.system in _pair(test)]
    details = [*_interval(rows[0]), *_next(rows, own)]
    yield f"{_highest(rows)}" + (f" ({'; '.join(details)})." if details else ".")
    if own:
        yield f"It {_verdicts(best, own)}{_how(data, own)}."
    if others := [test for test in tests if test not in own and test.is_significant]:
        how = "" if any(test.result for test in own) else _how(data, others)
        yield f"{'Also shown' if own else 'Shown'}: {_sides(others)}{how}."


def _several(data: ReportData, columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield a sentence on each target, and how systems were tested."""
    for column in columns:
        rows = _scored(data, column)
        best = rows[0][0]
        own = [test for test in main_tests(data, column) if best.system in _pair(test)]
        details = "".join(f" ({each})" for each in _next(rows, own))
        verdict = f"; it {_verdicts(best, own)}" if own else ""
        yield f"On {data.column_name(column)}, {_highest(rows)}{details}{verdict}."
    if how := _how(data, data.main_tests):
        how = how.removeprefix("; ")
        yield f"{how[0].upper()}{how[1:]}."


def _how(data: ReportData, tests: Sequence[Contrast]) -> str:
    """Return how systems were tested, as the end of a sentence; empty if they were not."""
    tested = [test for test in tests if test.result]
    if not tested:
        return ""
    pairs = sum(test.result is not None for test in data.main_tests)
    corrected = f", p corrected for {pairs} pairs, intervals not" if pairs > 1 else ""
    return f"; test over {listed(list(dict.fromkeys(test.n for test in tested)))}{corrected}"


def _pair(test: Contrast) -> tuple[str, str]:
    return test.cell.system, test.reference.system


def _highest(rows: Sequence[Scored]) -> str:
    """Return which system scores highest, and its score."""
    cell = rows[0][0]
    score = cell.scoring.primary
    verb = "scores highest" if len(rows) > 1 else "scores"
    unit = "%" if score.in_percent else ""
    return f"{cell.system} {verb}: {score.title} {score.text(_value(rows[0]))}{unit}"


def _interval(row: Scored) -> Iterator[str]:
    """Yield the interval of a score, and whether it is above chance level."""
    cell, summed, interval = row
    score = cell.scoring.primary
    if interval is not None:
        yield f"95% interval over speakers {score.interval(interval)}"
        chance = summed.mean("pooled", str(score.chance))
        is_above = "above" if interval[0] > chance else "not shown to be above"
        yield f"{is_above} chance, {score.text(chance)}"


def _next(rows: Sequence[Scored], own: Sequence[Contrast]) -> Iterator[str]:
    """Yield the second system, and that it is not tested against the best one, if so."""
    if len(rows) > 1:
        second = rows[1][0].system
        is_tested = any(second in _pair(test) for test in own)
        untested = "" if is_tested else ", not tested against it"
        yield f"next: {second}, {rows[1][0].scoring.primary.text(_value(rows[1]))}{untested}"


def _verdicts(best: Cell, own: Sequence[Contrast]) -> str:
    """Return what the tests of the best system show."""
    above = [test for test in own if test.is_significant]
    others = [test for test in own if test.result and not test.is_significant]
    untested = [test for test in own if test.result is None]
    parts = []
    # Its mean over seeds is the highest, so that no test shows it to be lower.
    if above:
        parts.append(f"is shown above {_opponents(best, above)}")
    if others:
        parts.append(f"is not shown to differ from {_opponents(best, others)}")
    if untested:
        names = listed([_opponent(best, test) for test in untested])
        parts.append(f"could not be tested against {names}: {untested[0].reason}")
    return listed(parts)


def _opponent(best: Cell, test: Contrast) -> str:
    return next((name for name in _pair(test) if name != best.system), best.system)


def _opponents(best: Cell, tests: Sequence[Contrast]) -> str:
    return listed(
        [
            f"{_opponent(best, test)} ({_numbers(test, best.system != test.cell.system)})"
            for test in tests
        ]
    )


def _numbers(test: Contrast, is_reversed: bool) -> str:
    """Return difference, interval and p of a test, from the side of the system or reference."""
    assert test.result is not None
    score = test.cell.scoring.primary
    difference, low, high = test.result.difference, test.result.low, test.result.high
    if is_reversed:
        difference, low, high = -difference, -high, -low
    interval = f"95% interval {score.signed(low)} to {score.signed(high)}"
    return f"{_difference(difference, score)}, {interval}, {_p(test)}"


def _difference(difference: float, score: Score) -> str:
    return f"{score.signed(difference)} {'points' if score.in_percent else score.title}"


def _p(test: Contrast) -> str:
    p = p_value(test.p_holm)
    return f"p {p}" if p.startswith("<") else f"p = {p}"


def _sides(tests: Sequence[Contrast]) -> str:
    """Return differences that tests show, reference by reference."""
    shown: dict[tuple[str, str], list[str]] = {}
    for test in tests:
        assert test.result is not None
        side = "above" if test.result.difference > 0 else "below"
        numbers = f"{_difference(test.result.difference, test.cell.scoring.primary)}, {_p(test)}"
        shown.setdefault((side, test.reference.system), []).append(
            f"{test.cell.system} ({numbers})"
        )
    return "; ".join(f"{listed(names)} {side} {other}" for (side, other), names in shown.items())


def _counted(data: ReportData, columns: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield on how many targets each system scores highest, and what the tests show."""
    best = Counter(_scored(data, column)[0][0].system for column in columns)
    counts = [f"{system} on {count}" for system, count in best.most_common()]
    score = titles(data.scorings)
    yield f"Of {len(columns)} targets and corpora, {score} is highest for {listed(counts)}."
    tests = [test for column in columns for test in main_tests(data, column) if test.result]
    if not tests:
        return
    shown = [test for test in tests if test.is_significant]
    named = listed(
        [
            f"{test.cell.system} {test.verdict} than {test.reference.system} on "
            f"{data.column_name(test.cell.column)} ({_p(test)})"
            for test in shown
        ]
    )
    which = f" ({named})" if shown else ""
    yield f"{len(shown)} of {len(tests)} tested differences are shown{which}{_how(data, tests)}."


# ---- what limits the results


def _cautions(data: ReportData) -> Iterator[str]:
    """Yield what limits the results, the gravest first."""
    scored = [cell for cell, _ in data.scored]
    if any("synthetic speech" in remark for cell in data.cells for remark in cell.remarks):
        yield SYNTHETIC
    if dependent := [cell for cell in scored if not cell.is_speaker_independent]:
        names = data.cell_names(dependent)
        yield f"Tested speakers are in training, too, so nothing is shown for new ones ({names})."
    if validation := [cell for cell in scored if cell.part == "val"]:
        names = data.cell_names(validation)
        yield f"Scores are of the validation split, which may have selected the models ({names})."
    if data.finished < data.planned:
        yield f"{data.finished:,} of {data.planned:,} runs are finished{_incomplete(data)}."
    yield from partial(data)
    if any(cell.speakers == 1 for cell in scored):
        yield ONE_SPEAKER
    if scored and all(len(cell.seeds) == 1 for cell in scored):
        yield ONE_SEED


def _incomplete(data: ReportData) -> str:
    """Return which systems have fewer complete seeds than planned."""
    counts = {
        data.cell_name(cell) if len(data.columns) > 1 else cell.system: len(cell.seeds)
        for cell in data.cells
        if len(cell.seeds) < cell.planned and cell.tested_on is None
    }
    names = [f"{name} ({count or 'none'})" for name, count in counts.items()]
    return f"; fewer complete seeds than planned: {listed(names)}" if names else ""
