"""Every system against the baseline, by four tests, each corrected over the whole table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ser.errors import UserError
from ser.report import statistics
from ser.report.scores import Cell, is_named, summary
from ser.report.statistics import Comparison

DRAWS = 10_000
LEVEL = 0.05


@dataclass(frozen=True)
class Kind:
    """A test.

    Attributes:
        title: what it compares.
        how: in a sentence or two: what is computed, what it asks, what it does not.
        effect: name of its standardised effect; empty: none.
    """

    title: str
    how: str
    effect: str


KINDS = {
    "seeds": Kind(
        "over seeds",
        "one-tailed t-test (Welch) over seeds, as in parthasarathy2019. It asks whether the system "
        "would again score higher if both were trained again and tested on the same utterances; "
        "it tells nothing of other speakers. d: difference in standard deviations over seeds",
        "d",
    ),
    "proportions": Kind(
        "proportions",
        "two-sided z-test of two proportions, as in sahu2017: the mean UA is taken for the share "
        "of hits among n utterances, n being those tested with one seed. Rough: UA is a mean of "
        "recalls, and utterances of one speaker are not independent",
        "",
    ),
    "folds": Kind(
        "over folds",
        "two-sided paired t-test: differences of runs with equal fold and seed, averaged over the "
        "seeds of a fold, as these are tested on the same utterances and are no independent pairs; "
        "then t over folds, its variance corrected for the training parts that folds share (Nadeau "
        "and Bengio 2003). It compares means of fold UAs. d_z: mean difference in standard "
        "deviations over folds",
        "d_z",
    ),
    "speakers": Kind(
        "over speakers",
        f"two-sided bootstrap of the difference of pooled UA, mean over seeds: {DRAWS:,} draws of "
        "speakers, the same for both systems; interval and p by Student's t with as many degrees "
        "of freedom as speakers, less one. It asks about other speakers, with the models trained "
        "as they are",
        "",
    ),
}


@dataclass(frozen=True)
class Contrast:
    """A system against the baseline on one target of one corpus.

    Attributes:
        kind: key of `KINDS`.
        cell, baseline: the system's, and the baseline's in the same column.
        n: seeds of both, utterances, folds or speakers: what the test counts.
        found: None where nothing could be tested.
        why: it could not; empty if it could.
        p_holm: p corrected over all tests of this kind.
    """

    kind: str
    cell: Cell
    baseline: Cell
    n: str
    found: Comparison | None
    why: str
    p_holm: float = float("nan")

    @property
    def verdict(self) -> str:
        """What may be said, soberly."""
        if self.found is None:
            return f"not tested: {self.why}"
        if not self.is_shown:
            return "not shown to be higher" if self.kind == "seeds" else "no difference shown"
        return "higher" if self.found.difference > 0 else "lower"

    @property
    def is_shown(self) -> bool:
        return self.p_holm < LEVEL


def baseline_of(cells: Sequence[Cell], name: str) -> str:
    """The system that a name means.

    Raises:
        UserError: none, or several.
    """
    systems = sorted({cell.system for cell in cells})
    exact = [system for system in systems if system == name]
    (*found,) = exact or (system for system in systems if is_named(system, name))
    if len(found) != 1:
        what = "is not in this grid" if not found else f"may be {' or '.join(found)}"
        raise UserError(f"the baseline {name} {what}; systems are: {', '.join(systems)}")
    return found[0]


def compared(cells: Sequence[Cell], baseline: str) -> list[Contrast]:
    """The tests of every other system against the baseline, by kind, then by cell."""
    bases = {cell.column: cell for cell in cells if cell.system == baseline}
    tests = [
        test
        for cell in cells
        if cell.system != baseline and cell.column in bases
        for test in _tests(cell, bases[cell.column])
    ]
    return [test for kind in KINDS for test in _corrected([t for t in tests if t.kind == kind])]


def speakers_of(cell: Cell) -> dict[str, np.ndarray] | None:
    """Confusion matrices (S, C, C) by speaker; None where the runs do not tell speakers."""
    return cell.slices("speaker") if cell.tells_speakers else None


def own_interval(cell: Cell) -> tuple[float, float] | None:
    """Interval of 95% of a cell's pooled UA over speakers; None where it cannot be had."""
    speakers = speakers_of(cell)
    if speakers is None:
        return None
    drawn = statistics.weights(len(speakers), DRAWS)
    return statistics.speaker_interval(_stacked(speakers), drawn)


def _corrected(tests: list[Contrast]) -> Iterator[Contrast]:
    p_values = [test.found.p for test in tests if test.found]
    adjusted = iter(statistics.holm(p_values))
    for test in tests:
        yield replace(test, p_holm=next(adjusted)) if test.found else test


def _tests(cell: Cell, base: Cell) -> Iterator[Contrast]:
    # On what the system's own paper reports.
    base = replace(base, part=cell.part, joined=cell.joined)
    for each, whose in ((cell, cell.system), (base, "the baseline")):
        if summary(each, cell.part) is None:
            why = f"{whose} has no complete seed with a {cell.part} part"
            yield from (Contrast(kind, cell, base, "", None, why) for kind in KINDS)
            return
    yield _over_seeds(cell, base)
    yield _over_proportions(cell, base)
    yield _over_folds(cell, base)
    yield _over_speakers(cell, base)


def _over_seeds(cell: Cell, base: Cell) -> Contrast:
    first, second = (_ua(each) for each in (cell, base))
    n = f"{len(first)} and {len(second)} seeds"
    found = statistics.over_seeds(first, second)
    few = min(len(first), len(second)) < 2
    why = "needs two seeds of each" if few else "no score varies with the seed"
    return Contrast("seeds", cell, base, n, found, "" if found else why)


def _over_proportions(cell: Cell, base: Cell) -> Contrast:
    counts = [int(each.confusions(cell.part)[0].sum()) // each.repeats for each in (cell, base)]
    found = statistics.over_proportions(_ua(cell).mean(), _ua(base).mean(), (counts[0], counts[1]))
    n = " and ".join(f"{count:,}" for count in dict.fromkeys(counts)) + " utterances"
    return Contrast(
        "proportions", cell, base, n, found, "" if found else "every prediction is right"
    )


def _over_folds(cell: Cell, base: Cell) -> Contrast:
    seeds = sorted(set(cell.seeds) & set(base.seeds))
    n = f"{len(cell.folds)} folds, {len(seeds)} seeds"
    if not seeds:
        return Contrast("folds", cell, base, n, None, "no seed is complete in both")
    if cell.tested_on is not None:
        why = f"every fold is tested on the same utterances of {cell.tested_on}"
        return Contrast("folds", cell, base, n, None, why)
    if not _alike(cell, base, seeds):
        return Contrast(
            "folds", cell, base, n, None, "tested on other utterances than the baseline"
        )
    first, second = (summary(replace(each, seeds=tuple(seeds)), cell.part) for each in (cell, base))
    assert first is not None
    assert second is not None
    tested = cell.confusions(cell.part).sum(axis=(2, 3)).ravel()
    share = np.mean([t / run.trained_on for t, run in zip(tested, cell.counted, strict=True)])
    found = statistics.over_folds(first.folds - second.folds, float(share))
    why = "needs two folds" if len(cell.folds) < 2 else "every fold differs by the same"
    return Contrast("folds", cell, base, n, found, "" if found else why)


def _over_speakers(cell: Cell, base: Cell) -> Contrast:
    first, second = speakers_of(cell), speakers_of(base)
    if first is None or second is None:
        why = "runs of an earlier version do not tell speakers: train them again with force=true"
        return Contrast("speakers", cell, base, "", None, why)
    n = f"{len(first)} speakers"
    if len(_spoken(cell) | _spoken(base)) > 1:
        why = "tested on other utterances than the baseline"
        return Contrast("speakers", cell, base, n, None, why)
    drawn = statistics.weights(len(first), DRAWS)
    found = statistics.over_speakers(_stacked(first), _stacked(second), drawn)
    why = "needs two speakers" if len(first) < 2 else "every draw differs by the same"
    return Contrast("speakers", cell, base, n, found, "" if found else why)


def _ua(cell: Cell) -> np.ndarray:
    found = summary(cell, cell.part)
    assert found is not None
    return found.seeds[cell.joined]["ua"]


def _alike(cell: Cell, base: Cell, seeds: Sequence[int]) -> bool:
    """Whether each run has a counterpart that was tested on the same utterances."""
    return cell.folds == base.folds and all(
        _digest(cell, seed, fold) == _digest(base, seed, fold)
        for seed in seeds
        for fold in cell.folds
    )


def _digest(cell: Cell, seed: int, fold: int) -> int | None:
    counts = cell.runs[seed, fold].parts.get(cell.part)
    return None if counts is None else counts.digest


def _spoken(cell: Cell) -> set[int]:
    """A digest of the utterances and truths of each seed: one, where seeds are tested alike."""
    digests = [[_digest(cell, seed, fold) or 0 for fold in cell.folds] for seed in cell.seeds]
    return {sum(each) % 2**64 for each in digests}


def _stacked(speakers: Mapping[str, np.ndarray]) -> np.ndarray:
    """(S, K, C, C), speakers by name."""
    return np.stack([speakers[name] for name in sorted(speakers)], axis=1)
