"""What a leaderboard shows: systems by corpus and target, with intervals and tests over speakers.

Everything is computed from published predictions (`ser.benchmark.published`), with the statistics
of reports.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ser.benchmark.published import Submission
from ser.benchmark.splits import Splits
from ser.errors import UserError
from ser.report import statistics
from ser.report.contrasts import DRAWS, LEVEL
from ser.report.counts import scoring_of
from ser.report.scoring import Scoring
from ser.report.statistics import Comparison

AUDIT = "audit"  # folder beside protocol folders, as `python -m ser audit --out` writes it


@dataclass(frozen=True)
class Task:
    """A corpus, a target and the folds that are scored together.

    Attributes:
        splits: Splits of the protocol.
        folds: Numbers of folds: all, or one where each fold tests another corpus.
        title: Corpora and target in words.
    """

    splits: Splits
    folds: tuple[int, ...]
    title: str

    @cached_property
    def scoring(self) -> Scoring:
        return scoring_of(self.splits.classes)

    @property
    def chance(self) -> float:
        """Score of a prediction that ignores the audio."""
        return 1 / len(self.splits.classes) if self.splits.classes else 0.0

    @property
    def utterances(self) -> int:
        return sum(len(self.splits.part(fold, "test")) for fold in self.folds)

    @property
    def speakers(self) -> int:
        return len(set().union(*(self.splits.speakers(fold, "test") for fold in self.folds)))

    @property
    def audit(self) -> Path | None:
        """Folder of the audit of the corpus; None: there is none beside the results."""
        folder = self.splits.path.parent / AUDIT
        return folder if (folder / "baselines.csv").exists() else None


@dataclass(frozen=True)
class Entry:
    """A system on a task.

    Attributes:
        system: Name.
        seeds: Scores by seed, of complete seeds only.
        sums: (S, K, ...) sums by seed and speaker.
        speakers: K names.
        interval: 95% of the score over speakers; None: it is unknown.
        missing: What is missing, in words; empty if nothing is.
        submission: The published results; None: the system has none on this task.
        test: Test against the reference; None: it is the reference, or was not possible.
        p_holm: p of the test with Holm's correction over the systems of the task.
    """

    system: str
    seeds: np.ndarray
    sums: np.ndarray
    speakers: tuple[str, ...]
    interval: tuple[float, float] | None
    missing: str
    submission: Submission | None
    test: Comparison | None = None
    p_holm: float = float("nan")

    @property
    def score(self) -> float:
        """Mean over seeds; NaN without a complete seed."""
        return float(self.seeds.mean()) if len(self.seeds) else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; NaN with one."""
        return float(self.seeds.std(ddof=1)) if len(self.seeds) > 1 else float("nan")

    @property
    def verdict(self) -> str:
        if self.test is None or not self.p_holm < LEVEL:
            return ""
        return "higher" if self.test.difference > 0 else "lower"

    @property
    def seconds(self) -> list[float]:
        """Seconds of each run, where they are known."""
        runs = self.submission.runs if self.submission else ()
        return [float(run.cost["seconds"]) for run in runs if run.cost.get("seconds") is not None]

    @property
    def encoder(self) -> str | None:
        """Name of the pretrained encoder whose features are used; None: none, or unknown."""
        config = self.submission.config if self.submission else None
        return None if config is None else config.features.get("model")

    @property
    def layers(self) -> list[int]:
        """Layers of a pretrained encoder that inner folds chose, in any fold."""
        runs = self.submission.runs if self.submission else ()
        return sorted({run.record["layer"] for run in runs if "layer" in run.record})


@dataclass(frozen=True)
class Board:
    """The systems on one task, the best first; those without a score last.

    Attributes:
        task: Corpus, target and folds.
        reference: System that the others are tested against; None: it has no score here.
        entries: Systems.
        ceiling: Score of one rater against the others; None: it is unknown.
        pairs: Tests of further pairs: system, reference, result, p with Holm's correction over
            these pairs.
    """

    task: Task
    reference: str | None
    entries: tuple[Entry, ...]
    ceiling: float | None
    pairs: tuple[tuple[str, str, Comparison, float], ...] = field(default=())

    @property
    def best(self) -> Entry | None:
        """The system with the highest score; None: there is no score."""
        first = self.entries[0]
        return first if len(first.seeds) else None

    def entry(self, system: str) -> Entry | None:
        return next((each for each in self.entries if each.system == system), None)


@dataclass(frozen=True)
class References:
    """What systems are tested against, by whether the target has classes.

    Attributes:
        classes: Reference system for classes.
        values: Reference system for values.
        pairs: Further pairs, a system and its reference.
    """

    classes: str
    values: str
    pairs: tuple[tuple[str, str], ...]


def boards(submissions: Sequence[Submission], references: References) -> list[Board]:
    """Return a board for each corpus and target, in the order of their folders.

    Raises:
        UserError: Two folders hold the same system on the same splits.
    """
    by_task: dict[Path, list[Submission]] = defaultdict(list)
    for each in submissions:
        by_task[each.splits.path].append(each)
    expected: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for each in submissions:
        expected[bool(each.splits.classes)].setdefault(each.system)
    return [
        _board(task, own, list(expected[bool(task.splits.classes)]), references)
        for own in by_task.values()
        for task in _tasks(own[0].splits)
    ]


def _tasks(splits: Splits) -> Iterator[Task]:
    """Yield the tasks of a protocol: one, or one for each corpus that is tested by others."""
    if splits.fold != "corpus":
        yield Task(splits, tuple(range(splits.folds)), _title(splits))
        return
    for fold in range(splits.folds):
        tested = ", ".join(sorted({name.partition("/")[0] for name in splits.part(fold, "test")}))
        trained = ", ".join(sorted({name.partition("/")[0] for name in splits.part(fold, "train")}))
        yield Task(splits, (fold,), f"{trained} to {tested}: {splits.target}")


def _title(splits: Splits) -> str:
    node = (splits.facts.get("config") or {}).get("fold") or {}
    if splits.fold == "language":
        languages = " to ".join(str(node.get(name)) for name in ("language", "test_language"))
        return f"{splits.corpus}, {languages}: {splits.target}"
    return f"{splits.corpus}: {splits.target}"


def _board(
    task: Task, submissions: Sequence[Submission], systems: Sequence[str], references: References
) -> Board:
    named: dict[str, Submission] = {}
    for each in submissions:
        if (other := named.setdefault(each.system, each)) is not each:
            raise UserError(f"{other.path} and {each.path} are both called {each.system}")
    entries = [_entry(task, system, named.get(system)) for system in systems]
    reference = references.classes if task.splits.classes else references.values
    base = next((e for e in entries if e.system == reference and len(e.seeds)), None)
    if base is not None:
        entries = _tested(task, entries, base)
    scores = {each.system: each for each in entries if len(each.seeds)}
    pairs = [
        (system, other, test)
        for system, other in references.pairs
        if system in scores and other in scores
        for test in [_test(task, scores[system], scores[other])]
        if test is not None
    ]
    corrected = statistics.holm([test.p for _, _, test in pairs])
    return Board(
        task,
        None if base is None else reference,
        tuple(sorted(entries, key=lambda e: (-e.score if len(e.seeds) else np.inf, e.system))),
        _ceiling(task, submissions),
        tuple((*pair, p) for pair, p in zip(pairs, corrected, strict=True)),
    )


def _entry(task: Task, system: str, submission: Submission | None) -> Entry:
    """Read a system's results on a task; only seeds with all folds are counted."""
    none = np.empty(0)
    if submission is None:
        return Entry(system, none, none, (), None, "missing", None)
    runs = {(run.seed, run.fold): run for run in submission.runs}
    seeds = sorted({seed for seed, _ in runs})
    complete = [seed for seed in seeds if all((seed, fold) in runs for fold in task.folds)]
    lacking = [seed for seed in seeds if seed not in complete]
    missing = f"folds missing of seed {', '.join(map(str, lacking))}" if lacking else ""
    shape = task.scoring.shape
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(complete), *shape)))
    for number, seed in enumerate(complete):
        for fold in task.folds:
            for speaker, of_speaker in runs[seed, fold].by_speaker().items():
                sums[speaker][number] += of_speaker
    if not complete:
        return Entry(system, none, none, (), None, missing, submission)
    speakers = tuple(sorted(sums))
    stacked = np.stack([sums[name] for name in speakers], axis=1)
    scoring = task.scoring
    drawn = statistics.weights(len(speakers), DRAWS)
    interval = statistics.speaker_interval(stacked, drawn, scoring.resampled, scoring.limits)
    scores = scoring.of(stacked.sum(axis=1))[scoring.primary.name]
    return Entry(system, scores, stacked, speakers, interval, missing, submission)


def _tested(task: Task, entries: Sequence[Entry], base: Entry) -> list[Entry]:
    """Return the entries with their tests against the reference."""
    tests = [None if each is base else _test(task, each, base) for each in entries]
    corrected = iter(statistics.holm([test.p for test in tests if test is not None]))
    return [
        each if test is None else replace(each, test=test, p_holm=next(corrected))
        for each, test in zip(entries, tests, strict=True)
    ]


def _test(task: Task, first: Entry, second: Entry) -> Comparison | None:
    if not len(first.seeds) or first.speakers != second.speakers:
        return None
    drawn = statistics.weights(len(first.speakers), DRAWS)
    return statistics.over_speakers(first.sums, second.sums, drawn, task.scoring.resampled)


def _ceiling(task: Task, submissions: Sequence[Submission]) -> float | None:
    """Return the score of one rater, as the runs recorded it; None: the tested have no ratings."""
    name = task.scoring.primary.name
    for submission in submissions:
        run = next((each for each in submission.runs if each.fold in task.folds), None)
        raters = (run and run.record.get("raters")) or {}
        tested = raters.get("test") or {}
        if tested.get("ratings") == 0:
            continue
        if (ceiling := (raters.get("ceiling") or {}).get(name)) is not None:
            return float(ceiling)
    return None


def audit_of(board: Board) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Return what nuisance variables predict, and the findings; None: there is no audit.

    Raises:
        UserError: A file of the audit is missing or damaged.
    """
    folder = board.task.audit
    if folder is None:
        return None
    try:
        baselines = pd.read_csv(folder / "baselines.csv", dtype={"severity": str})
        findings = pd.read_csv(folder / "findings.csv")
        _ = baselines[["nuisance", "ua", "low", "high", "chance", "severity"]]
        _ = findings[["severity", "text"]]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: not the results of an audit ({error})") from None
    return baselines, findings
