"""Tests of one system against its reference: over seeds, proportions, over folds, over speakers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse.csgraph import connected_components

from ser.report import power, statistics
from ser.report.cells import Cell
from ser.report.scores import Summary, summary
from ser.report.statistics import Comparison

DRAWS = 10_000
LEVEL = 0.05
OTHER_UTTERANCES = "tested on different utterances or classes"


@dataclass(frozen=True)
class Kind:
    """A kind of test.

    Attributes:
        title: What varies between the compared scores.
        description: The test and what it asks, in a few sentences; {score} and {scores} are
            the score.
        assumes: What has to hold for its p value.
        effect: Symbol of its standardised effect size; empty if it has none.
    """

    title: str
    description: str
    assumes: str
    effect: str


_BOOTSTRAP = (
    "two-sided bootstrap of the difference of pooled {{score}}, mean over seeds: "
    f"{DRAWS:,} resamples of {{units}}, the same for both systems; confidence interval and p by "
    "Student's t with one degree of freedom less than {units}. d_z (Cohen 1988): difference "
    "divided by its standard deviation between {units}, so that t is d_z times the root of their "
    "number"
)
KINDS = {
    "seeds": Kind(
        "over seeds",
        "one-tailed Welch's t-test over seeds, as in parthasarathy2019. It asks whether the system "
        "would score higher again if both were retrained and tested on the same utterances. d: "
        "difference divided by the standard deviation over seeds",
        "only random numbers vary. It does not generalise to other speakers",
        "d",
    ),
    "proportions": Kind(
        "proportions",
        "two-sided z-test of two proportions, as in sahu2017: the mean UA is treated as the share "
        "of correct predictions among the n distinct utterances tested with one seed. Not tested "
        "where test splits of folds overlap, because predictions of the same utterance are not "
        "independent",
        "utterances are independent, which those of one speaker are not; UA is a share, although "
        "it is a mean of recalls; and both systems are tested on different utterances, although "
        "they are the same. Approximate",
        "",
    ),
    "folds": Kind(
        "over folds",
        "two-sided paired t-test over folds with the variance correction of Nadeau and Bengio "
        "(2003) for overlapping training splits. Pairs have equal fold and seed; their differences "
        "are averaged over the seeds of a fold, which are tested on the same utterances, and over "
        "folds that share a training split, e.g. both of a session in session_swap, whose runs are "
        "one training: these are not independent. The means are the units of the test; n tells "
        "their number. It compares means of fold {scores}. d_z: mean of the units divided by their "
        "standard deviation",
        "the correlation between trainings is the share of test utterances, a rule of thumb; and "
        "differences are normally distributed over folds",
        "d_z",
    ),
    "speakers": Kind(
        "over speakers",
        f"{_BOOTSTRAP.format(units='speakers')}. It generalises to other speakers, for the models "
        "as trained",
        "speakers are an independent sample. Where one training tests several of them, or they "
        "talk with each other, p is too small if that makes their differences alike",
        "d_z",
    ),
    "sessions": Kind(
        "over sessions",
        f"{_BOOTSTRAP.format(units='sessions')}. A session is all speakers whose folds share a "
        "training, as the two of a dialogue do in session_swap: its chance, and their dialogue, "
        "are in the differences of both. It generalises to other sessions, for the models as "
        "trained",
        "sessions are an independent sample. They are few, so that only large differences are "
        "shown",
        "d_z",
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
        p_holm: p with Holm's correction over all main tests, or all others of this kind.
        is_main: Whether conclusions are drawn from this test. It is over sessions if folds share
            trainings, else over speakers; the others are secondary.
        units: Difference of each unit (speaker or session) of the main test, with the mean and
            standard deviation of that test; empty for other tests.
        needed: Number of units that the main test needs to show the observed difference, see
            `ser.report.power`; None if there is none.
    """

    kind: str
    cell: Cell
    reference: Cell
    n: str
    result: Comparison | None
    reason: str
    p_holm: float = float("nan")
    is_main: bool = False
    units: tuple[float, ...] = ()
    needed: int | None = None

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


def kinds_of(cell: Cell) -> list[str]:
    """Return the kinds of tests that apply to the score of a cell, whatever its folds are."""
    of_all = [kind for kind in KINDS if kind != "sessions"]
    return [kind for kind in of_all if kind != "proportions" or cell.scoring.has_proportions]


def contrasts(cell: Cell, base: Cell) -> Iterator[Contrast]:
    """Yield the tests of a system against its reference, one of each kind.

    Both are scored on the split, and with the join of folds, that the system's own paper reports.
    """
    base = replace(base, part=cell.part, joined=cell.joined)
    for each in (cell, base):
        if summary(each, cell.part) is None:
            reason = f"{each.system} has no complete seed with a {cell.part} split"
            untested = (Contrast(kind, cell, base, "", None, reason) for kind in kinds_of(cell))
            yield from (replace(test, is_main=test.kind == "speakers") for test in untested)
            return
    yield _over_seeds(cell, base)
    if "proportions" in kinds_of(cell):
        yield _over_proportions(cell, base)
    yield _over_folds(cell, base)
    units = shared_units(cell, base)
    by_speaker = _over_speakers(cell, base)
    if units is None:
        yield replace(by_speaker, is_main=True)
    else:
        yield replace(by_speaker, units=())
        yield replace(_over_sessions(cell, base, units), is_main=True)


def _over_seeds(cell: Cell, base: Cell) -> Contrast:
    first, second = (_primary(each) for each in (cell, base))
    n = f"{len(first)} and {len(second)} seeds"
    if not _are_tested_alike(cell, base):
        return Contrast("seeds", cell, base, n, None, OTHER_UTTERANCES)
    result = statistics.over_seeds(first, second)
    too_few = min(len(first), len(second)) < 2
    reason = "needs two seeds of each" if too_few else "no score varies with the seed"
    return Contrast("seeds", cell, base, n, result, "" if result else reason)


def _over_proportions(cell: Cell, base: Cell) -> Contrast:
    first, second = _summary(cell), _summary(base)
    counts = first.utterances, second.utterances
    n = " and ".join(f"{count:,}" for count in dict.fromkeys(counts)) + " utterances"
    if overlap := first.overlap or second.overlap:
        return Contrast("proportions", cell, base, n, None, overlap)
    result = statistics.over_proportions(_primary(cell).mean(), _primary(base).mean(), counts)
    reason = "" if result else "every prediction is correct"
    return Contrast("proportions", cell, base, n, result, reason)


def _over_folds(cell: Cell, base: Cell) -> Contrast:
    seeds = tuple(sorted(set(cell.seeds) & set(base.seeds)))
    reason = _not_paired(cell, base, seeds)
    if reason:
        return Contrast("folds", cell, base, _numbers(len(cell.folds), 0, seeds), None, reason)
    both = replace(cell, seeds=seeds), replace(base, seeds=seeds)
    first, second = map(_summary, both)
    # A split may be empty in some folds; `Summary.folds` is of the others.
    tested = cell.scoring.count(cell.sums(cell.part)[0])
    places = np.flatnonzero(tested)
    unit_of = training_units(both)[places]
    units = np.unique(unit_of)
    differences, shares = first.folds - second.folds, []
    for unit in units:
        folds = places[unit_of == unit]
        fitted = [_fitted_on(each, folds) for each in both]
        shares.append(tested[folds].sum() / min(fitted))  # the larger share is on the safe side
    means = np.array([differences[unit_of == unit].mean() for unit in units])
    result = statistics.over_folds(means, float(np.mean(shares)))
    too_few = len(units) < 2
    reason = "needs two training splits" if too_few else "the difference is equal in all of them"
    n = _numbers(len(places), len(units), seeds)
    return Contrast("folds", cell, base, n, result, "" if result else reason)


def training_units(cells: Sequence[Cell]) -> np.ndarray:
    """Return the unit of each fold, (F,): folds in which a system has the same training are one.

    A run whose training data are unknown shares them with no other run.

    Args:
        cells: Cells with the same folds and seeds.
    """
    alike = np.eye(len(cells[0].folds), dtype=bool)
    for cell in cells:
        for seed in cell.seeds:
            runs = [cell.runs[seed, fold] for fold in cell.folds]
            known = [run.digests[cell.part] for run in runs]
            alike |= [[a is not None and a == b for b in known] for a in known]
    return connected_components(alike, directed=False)[1]


def _fitted_on(cell: Cell, folds: Sequence[int]) -> float:
    """Return the number of utterances that a system was fitted on, mean over folds and seeds."""
    runs = [cell.runs[seed, cell.folds[place]] for seed in cell.seeds for place in folds]
    return float(np.mean([run.fits[cell.part].utterances for run in runs]))


def _numbers(folds: int, units: int, seeds: Sequence[int]) -> str:
    """Return what a test over folds is based on, in words."""
    trainings = f" with {units} training splits" if 0 < units < folds else ""
    return f"{_count(folds, 'fold')}{trainings}, {_count(len(seeds), 'seed')}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _not_paired(cell: Cell, base: Cell, seeds: Sequence[int]) -> str:
    """Return why runs cannot be paired by fold and seed; empty if they can."""
    if not seeds:
        return "no seed is complete in both"
    if cell.tested_on is not None:
        return f"every fold is tested on the same utterances of {cell.tested_on}"
    is_paired = _are_tested_alike(cell, base) and cell.folds == base.folds
    is_paired = is_paired and all(
        _digest(cell, seed, fold) == _digest(base, seed, fold)
        for seed in seeds
        for fold in cell.folds
    )
    return "" if is_paired else OTHER_UTTERANCES


def _over_speakers(cell: Cell, base: Cell) -> Contrast:
    first, second = sums_by_speaker(cell), sums_by_speaker(base)
    if first is None or second is None:
        reason = (
            "speakers are unknown, because runs of an earlier version lack utterances.csv: "
            "train them again with force=true"
        )
        return Contrast("speakers", cell, base, "", None, reason)
    n = f"{len(first)} speakers"
    if not _are_tested_alike(cell, base):
        return Contrast("speakers", cell, base, n, None, OTHER_UTTERANCES)
    return _resampled("speakers", cell, base, n, (stacked(first), stacked(second)))


def shared_units(cell: Cell, base: Cell) -> np.ndarray | None:
    """Return the unit of each fold, (F,), if folds share trainings; else None."""
    seeds = tuple(sorted(set(cell.seeds) & set(base.seeds)))
    if cell.tested_on is not None or not seeds or cell.folds != base.folds:
        return None
    unit_of = training_units((replace(cell, seeds=seeds), replace(base, seeds=seeds)))
    return unit_of if len(np.unique(unit_of)) < len(unit_of) else None


def _over_sessions(cell: Cell, base: Cell, unit_of: np.ndarray) -> Contrast:
    n = _count(len(np.unique(unit_of)), "session")
    if not _are_tested_alike(cell, base):
        return Contrast("sessions", cell, base, n, None, OTHER_UTTERANCES)
    first, second = (
        np.stack(
            [each.sums(each.part)[:, unit_of == unit].sum(1) for unit in np.unique(unit_of)], 1
        )
        for each in (cell, base)
    )
    return _resampled("sessions", cell, base, n, (first, second))


def _resampled(
    kind: str, cell: Cell, base: Cell, n: str, sums: tuple[np.ndarray, np.ndarray]
) -> Contrast:
    """Test by a bootstrap over units, given the sums (S, K, ...) of both systems."""
    count, resampled = sums[0].shape[1], cell.scoring.resampled
    result = statistics.over_speakers(*sums, statistics.weights(count, DRAWS), resampled)
    if result is None:
        reason = f"needs two {kind}" if count < 2 else "the difference is equal in all resamples"
        return Contrast(kind, cell, base, n, None, reason)
    units = power.unit_differences(*sums, result, resampled)
    return Contrast(kind, cell, base, n, result, "", units=tuple(units.tolist()))


def _summary(cell: Cell) -> Summary:
    scores = summary(cell, cell.part)
    assert scores is not None
    return scores


def _primary(cell: Cell) -> np.ndarray:
    return _summary(cell).seeds[cell.joined][cell.scoring.primary.name]


def _digest(cell: Cell, seed: int, fold: int) -> int | None:
    counts = cell.runs[seed, fold].parts.get(cell.part)
    return None if counts is None else counts.digest


def _are_tested_alike(*cells: Cell) -> bool:
    """Return whether all seeds of all cells are tested on the same utterances with equal truths."""
    digests = {
        sum(_digest(cell, seed, fold) or 0 for fold in cell.folds) % 2**64
        for cell in cells
        for seed in cell.seeds
    }
    return len(digests) == 1


def sums_by_speaker(cell: Cell) -> dict[str, np.ndarray] | None:
    """Return sums (S, ...) by speaker; None if speakers are unknown."""
    return cell.slices("speaker") if cell.knows_speakers else None


def stacked(speakers: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return sums (S, K, ...) with speakers in alphabetical order."""
    return np.stack([speakers[name] for name in sorted(speakers)], axis=1)
