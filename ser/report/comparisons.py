"""Tests of systems against a reference: four kinds, each corrected over the whole report."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ser.errors import UserError
from ser.report import statistics
from ser.report.cells import Cell, matches
from ser.report.scores import summary
from ser.report.statistics import Comparison

COMPARISONS = "report.comparisons"  # option
DRAWS = 10_000
LEVEL = 0.05

OTHER_UTTERANCES = "both are tested on different utterances"


@dataclass(frozen=True)
class Kind:
    """A kind of test.

    Attributes:
        title: What varies between the compared scores.
        description: The test and what it asks, in a few sentences.
        effect: Symbol of its standardised effect size; empty if it has none.
    """

    title: str
    description: str
    effect: str


KINDS = {
    "seeds": Kind(
        "over seeds",
        "one-tailed Welch's t-test over seeds, as in parthasarathy2019. It asks whether the system "
        "would score higher again if both were retrained and tested on the same utterances; it "
        "does not generalise to other speakers. d: difference divided by the standard deviation "
        "over seeds",
        "d",
    ),
    "proportions": Kind(
        "proportions",
        "two-sided z-test of two proportions, as in sahu2017: the mean UA is treated as the share "
        "of correct predictions among the n utterances tested with one seed. Approximate: UA is a "
        "mean of recalls, and utterances of one speaker are not independent",
        "",
    ),
    "folds": Kind(
        "over folds",
        "two-sided paired t-test over folds with the variance correction of Nadeau and Bengio "
        "(2003) for overlapping training splits. Pairs have equal fold and seed; their differences "
        "are averaged over the seeds of a fold, which are tested on the same utterances and "
        "therefore not independent. It compares means of fold UAs. d_z: mean difference divided by "
        "the standard deviation over folds",
        "d_z",
    ),
    "speakers": Kind(
        "over speakers",
        f"two-sided bootstrap of the difference of pooled UA, mean over seeds: {DRAWS:,} resamples "
        "of speakers, the same for both systems; confidence interval and p by Student's t with "
        "one degree of freedom less than speakers. It generalises to other speakers, for the "
        "models as trained",
        "",
    ),
}


@dataclass(frozen=True)
class Contrast:
    """A system against its reference on one target of one corpus.

    Attributes:
        kind: Key of `KINDS`.
        cell: Cell of the system.
        reference: Cell of the reference in the same column.
        n: Number of seeds, utterances, folds or speakers that the test uses, in words.
        result: Result of the test; None if it was not possible.
        reason: Why the test was not possible; else empty.
        p_holm: p with Holm's correction over all tests of this kind.
    """

    kind: str
    cell: Cell
    reference: Cell
    n: str
    result: Comparison | None
    reason: str
    p_holm: float = float("nan")

    @property
    def verdict(self) -> str:
        if self.result is None:
            return f"not tested: {self.reason}"
        if not self.is_significant:
            return "not shown to be higher" if self.kind == "seeds" else "no difference shown"
        return "higher" if self.result.difference > 0 else "lower"

    @property
    def is_significant(self) -> bool:
        return self.p_holm < LEVEL


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
    candidates = exact or [system for system in systems if matches(system, name)]
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
        for test in _tests(cell, by_place[reference, cell.column])
    ]
    return [test for kind in KINDS for test in _corrected([t for t in tests if t.kind == kind])]


def confusions_by_speaker(cell: Cell) -> dict[str, np.ndarray] | None:
    """Return confusion matrices (S, C, C) by speaker; None if speakers are unknown."""
    return cell.slices("speaker") if cell.knows_speakers else None


def confidence_interval(cell: Cell) -> tuple[float, float] | None:
    """Return the 95% interval of a cell's pooled UA over speakers; None if it is unknown."""
    speakers = confusions_by_speaker(cell)
    if speakers is None:
        return None
    drawn = statistics.weights(len(speakers), DRAWS)
    return statistics.speaker_interval(_stacked(speakers), drawn)


def _corrected(tests: list[Contrast]) -> Iterator[Contrast]:
    p_values = [test.result.p for test in tests if test.result]
    adjusted = iter(statistics.holm(p_values))
    for test in tests:
        yield replace(test, p_holm=next(adjusted)) if test.result else test


def _tests(cell: Cell, base: Cell) -> Iterator[Contrast]:
    # The split and join that the system's own paper reports.
    base = replace(base, part=cell.part, joined=cell.joined)
    for each in (cell, base):
        if summary(each, cell.part) is None:
            reason = f"{each.system} has no complete seed with a {cell.part} split"
            yield from (Contrast(kind, cell, base, "", None, reason) for kind in KINDS)
            return
    yield _over_seeds(cell, base)
    yield _over_proportions(cell, base)
    yield _over_folds(cell, base)
    yield _over_speakers(cell, base)


def _over_seeds(cell: Cell, base: Cell) -> Contrast:
    first, second = (_ua(each) for each in (cell, base))
    n = f"{len(first)} and {len(second)} seeds"
    result = statistics.over_seeds(first, second)
    too_few = min(len(first), len(second)) < 2
    reason = "needs two seeds of each" if too_few else "no score varies with the seed"
    return Contrast("seeds", cell, base, n, result, "" if result else reason)


def _over_proportions(cell: Cell, base: Cell) -> Contrast:
    counts = [int(each.confusions(cell.part)[0].sum()) // each.repeats for each in (cell, base)]
    result = statistics.over_proportions(_ua(cell).mean(), _ua(base).mean(), (counts[0], counts[1]))
    n = " and ".join(f"{count:,}" for count in dict.fromkeys(counts)) + " utterances"
    reason = "" if result else "every prediction is correct"
    return Contrast("proportions", cell, base, n, result, reason)


def _over_folds(cell: Cell, base: Cell) -> Contrast:
    seeds = sorted(set(cell.seeds) & set(base.seeds))
    n = f"{len(cell.folds)} folds, {len(seeds)} seeds"
    reason = _not_paired(cell, base, seeds)
    if reason:
        return Contrast("folds", cell, base, n, None, reason)
    first, second = (summary(replace(each, seeds=tuple(seeds)), cell.part) for each in (cell, base))
    assert first is not None
    assert second is not None
    tested = cell.confusions(cell.part).sum(axis=(2, 3)).ravel()
    runs = cell.complete_runs
    share = np.mean([t / run.trained_on for t, run in zip(tested, runs, strict=True)])
    result = statistics.over_folds(first.folds - second.folds, float(share))
    reason = "needs two folds" if len(cell.folds) < 2 else "the difference is equal in all folds"
    return Contrast("folds", cell, base, n, result, "" if result else reason)


def _not_paired(cell: Cell, base: Cell, seeds: Sequence[int]) -> str:
    """Return why runs cannot be paired by fold and seed; empty if they can."""
    if not seeds:
        return "no seed is complete in both"
    if cell.tested_on is not None:
        return f"every fold is tested on the same utterances of {cell.tested_on}"
    is_paired = cell.folds == base.folds and all(
        _digest(cell, seed, fold) == _digest(base, seed, fold)
        for seed in seeds
        for fold in cell.folds
    )
    return "" if is_paired else OTHER_UTTERANCES


def _over_speakers(cell: Cell, base: Cell) -> Contrast:
    first, second = confusions_by_speaker(cell), confusions_by_speaker(base)
    if first is None or second is None:
        reason = (
            "speakers are unknown, because runs of an earlier version lack utterances.csv: "
            "train them again with force=true"
        )
        return Contrast("speakers", cell, base, "", None, reason)
    n = f"{len(first)} speakers"
    if len(_digests(cell) | _digests(base)) > 1:
        return Contrast("speakers", cell, base, n, None, OTHER_UTTERANCES)
    drawn = statistics.weights(len(first), DRAWS)
    result = statistics.over_speakers(_stacked(first), _stacked(second), drawn)
    too_few = len(first) < 2
    reason = "needs two speakers" if too_few else "the difference is equal in all resamples"
    return Contrast("speakers", cell, base, n, result, "" if result else reason)


def _ua(cell: Cell) -> np.ndarray:
    scores = summary(cell, cell.part)
    assert scores is not None
    return scores.seeds[cell.joined]["ua"]


def _digest(cell: Cell, seed: int, fold: int) -> int | None:
    counts = cell.runs[seed, fold].parts.get(cell.part)
    return None if counts is None else counts.digest


def _digests(cell: Cell) -> set[int]:
    """Return digests of utterances and truths per seed: one, if all seeds are tested alike."""
    digests = [[_digest(cell, seed, fold) or 0 for fold in cell.folds] for seed in cell.seeds]
    return {sum(each) % 2**64 for each in digests}


def _stacked(speakers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return matrices (S, K, C, C) with speakers in alphabetical order."""
    return np.stack([speakers[name] for name in sorted(speakers)], axis=1)
