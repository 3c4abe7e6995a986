"""Check finished runs, split files and published results: `python -m ser verify`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ser.benchmark.checking import (
    DAMAGE,
    has_known_key,
    is_of_this_version,
    submission_problems,
    unreadable,
)
from ser.benchmark.published import SUBMISSION, Submission, read_submission
from ser.benchmark.splits import (
    AUDIO,
    FACTS,
    SPLITS,
    TRUTH,
    Splits,
    differences,
    has_fingerprint,
    made_again,
    read_splits,
    splits_problems,
)
from ser.config import choices
from ser.config.compose import compose_all
from ser.errors import UserError
from ser.results import RESULT
from ser.results.verify import verify as verify_runs

CORPUS = "corpus="
CHECKED = (
    "checked: splits and their speakers; of each run utterances, classes, probabilities, scores, "
    "digests, commit, and what it was fitted on"
)


@dataclass
class Findings:
    """What a verification has found.

    Attributes:
        problems: One line each.
        unchecked: What could not be checked, one line each.
    """

    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def verify(words: Sequence[str]) -> int:
    """Print every inconsistency of finished runs or published results.

    Args:
        words: Folders, and options of a corpus against which published results are checked, e.g.
            `corpus=emotale corpus.root=...`.

    Returns:
        1 if there is any inconsistency, else 0.

    Raises:
        UserError: A folder has nothing to verify, or an option is wrong.
    """
    paths = [Path(word) for word in words if "=" not in word or Path(word).exists()]
    given = _by_corpus([word for word in words if Path(word) not in paths])
    if not paths:
        raise UserError("give a folder of finished runs or of published results")
    published = [path for path in paths if _protocols(path) or _systems(path)]
    if given and not published:
        raise UserError(f"{paths[0]}: no {FACTS}; a corpus is compared with published splits only")
    runs = [path for path in paths if path not in published]
    systems = sorted({each for path in published for each in _systems(path)})
    strays = [each for path in published for each in _strays(path, systems)]
    status = verify_runs([*runs, *strays]) if runs or strays else 0
    if published:
        protocols = sorted({each for path in published for each in _protocols(path)})
        status = max(status, _verify_published(protocols, systems, given))
    return status


def _protocols(path: Path) -> list[Path]:
    """Return the protocol folders at, below or else above a folder."""
    return _folders_of(FACTS, path)


def _systems(path: Path) -> list[Path]:
    """Return the folders of systems at, below or else above a folder."""
    return _folders_of(SUBMISSION, path)


def _folders_of(name: str, path: Path) -> list[Path]:
    below = [file.parent.absolute() for file in path.rglob(name)]
    above = [each for each in path.absolute().parents if (each / name).exists()]
    return below or above[:1]


def _strays(path: Path, systems: Sequence[Path]) -> list[Path]:
    """Return the folders of runs that are not published, or have lost their `submission.json`."""
    runs = [file.parent.absolute() for file in path.rglob(RESULT)]
    return [run for run in runs if not {run, *run.parents} & set(systems)]


def _verify_published(
    protocols: Sequence[Path], systems: Sequence[Path], given: Mapping[str, Sequence[str]]
) -> int:
    """Verify split files and systems, print what is wrong and a summary, and return the status."""
    findings, splits = Findings(), dict[Path, Splits]()
    for path in protocols:
        try:
            splits[path] = read_splits(path)
        except UserError as error:
            findings.problems.append(str(error))
    corpora = sorted({each.corpus for each in splits.values()})
    if "" in given and len(corpora) > 1:
        raise UserError(f"say which of {', '.join(corpora)} is meant: {CORPUS}{corpora[0]} ...")
    for path, each in list(splits.items()):
        try:
            splits[path] = _verify_splits(each, given, findings)
        except UserError as error:
            findings.problems.append(str(error))
        except DAMAGE as error:
            findings.problems.append(unreadable(path, error))
    consistent = runs = 0
    for path in systems:
        problems: list[str] = []
        try:
            submission = read_submission(path, splits)
            runs += len(submission.runs)
            problems += submission_problems(submission)
            findings.unchecked += _unchecked(submission)
        except UserError as error:
            problems.append(str(error))
        except DAMAGE as error:
            problems.append(unreadable(path, error))
        findings.problems += problems
        consistent += not problems
    found = list(dict.fromkeys(findings.problems))
    print(*found, CHECKED, sep="\n")
    for line in dict.fromkeys(findings.unchecked):
        print(f"not checked: {line}")
    print(
        f"{len(protocols)} protocols, {len(systems)} systems, {runs} runs: {consistent} systems "
        f"consistent, {len(systems) - consistent} not; {len(found)} problems"
    )
    return 1 if found else 0


def _verify_splits(
    splits: Splits, given: Mapping[str, Sequence[str]], findings: Findings
) -> Splits:
    """Verify split files, and return them with the truth if the corpus is given."""
    findings.problems += [f"{splits.path}: {problem}" for problem in splits_problems(splits)]
    options = given.get(splits.corpus, given.get(""))
    if options is None:
        hint = f"corpus={splits.corpus} corpus.root=PATH compares it"
        findings.unchecked.append(f"{splits.path}: audio and labels of the corpus; {hint}")
        return splits
    if splits.corpus not in choices("corpus"):
        raise UserError(f"{splits.path / FACTS}: there is no corpus {splits.corpus}")
    (cfg,) = compose_all([f"{CORPUS}{splits.corpus}", *options])
    made = made_again(splits, cfg)
    findings.problems += [f"{splits.path}: {problem}" for problem in differences(splits, made)]
    if TRUTH in splits.table:
        return splits
    truth = made.table[TRUTH].reindex(splits.table.index)
    return replace(splits, table=splits.table.assign(**{TRUTH: truth}))


def _unchecked(submission: Submission) -> Iterator[str]:
    """Yield what could not be checked of a system."""
    splits, path = submission.splits, submission.path
    if TRUTH not in splits.table:
        kept = "result.json against sums by speaker only"
        yield f"{splits.path}: scores by the labels, which are not published ({kept})"
    if not all(run.record for run in submission.runs):
        yield f"{path}: scores, where there is no {RESULT}"
    if "digests" not in submission.facts:
        yield f"{path}: digests ({SUBMISSION} has none) and configuration"
    elif not is_of_this_version(submission):
        made_by = submission.facts.get("version")
        yield f"{path}: configuration, as the runs were made by ser {made_by}"
    elif not has_known_key(submission):
        yield f"{path}: run keys, which depend on data that is not published"
    if not has_fingerprint(splits) and AUDIO in splits.table:
        yield f"{splits.path}: the fingerprints by {SPLITS}"


def _by_corpus(words: Sequence[str]) -> dict[str, list[str]]:
    """Return options by the corpus that they follow; "" for those without `corpus=` before them."""
    groups: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith(CORPUS):
            name = word.removeprefix(CORPUS)
            groups.setdefault(name, [])
        else:
            groups.setdefault(name, []).append(word)
    return groups
