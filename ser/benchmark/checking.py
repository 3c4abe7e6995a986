"""What contradicts in the published results of a system: predictions, scores, splits, commits.

Each problem is one line that begins with the file or folder it is about. Nothing needs audio. As
everywhere, this finds inconsistency, not forgery: whoever changes a file can change all others.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics
from ser.benchmark.published import (
    BY_SPEAKER,
    CONFIG,
    SUBMISSION,
    PublishedRun,
    Submission,
    sums_by_speaker,
)
from ser.benchmark.splits import FACTS, NODES, SPLITS, TRUTH, Splits
from ser.config import run_key
from ser.data.fingerprint import run_options
from ser.errors import UserError, last_line
from ser.results import COST, RESULT, changed_files, split_scores
from ser.results.verify import EXACT, class_problems, listed, split_problems

TRAINING = {"train": ("train",), "train+val": ("train", "val")}  # what a system may be fitted on
TRAINING_LIST = "training.txt"  # of other tools: utterances that a run was fitted on, one a line
# What a file causes that does not have the form it should have.
DAMAGE = (AttributeError, KeyError, TypeError, ValueError, IndexError, OSError)


def submission_problems(submission: Submission) -> Iterator[str]:
    """Yield what contradicts in the files of one system."""
    path, facts, splits = submission.path, submission.facts, submission.splits
    for message in changed_files(path, facts.get("digests") or {}):
        yield f"{message} ({SUBMISSION} has its digest)"
    listed_files = set(facts.get("digests") or {})
    for run in submission.runs:
        if listed_files and not any(name.startswith(f"{run.name}/") for name in listed_files):
            yield f"{run.path} is not in {path / SUBMISSION}: a run was added"
    if facts.get("training", "train") not in TRAINING:
        yield f"{path / SUBMISSION}: training must be one of {', '.join(TRAINING)}"
    for seed in sorted({run.seed for run in submission.runs}):
        folds = {run.fold for run in submission.runs if run.seed == seed}
        if absent := sorted(set(range(splits.folds)) - folds):
            yield f"{path}: seed {seed} lacks fold {', '.join(map(str, absent))}"
        if more := sorted(folds - set(range(splits.folds))):
            yield f"{path}: there is no fold {', '.join(map(str, more))} in {FACTS}"
    for run in submission.runs:
        if run.fold < splits.folds:
            yield from _run_problems(run, submission)


def _run_problems(run: PublishedRun, submission: Submission) -> Iterator[str]:
    checks = (_prediction_problems, _record_problems, _identity_problems, _training_problems)
    for check in checks:
        try:
            yield from check(run, submission)
        except UserError as error:
            yield str(error)
        except DAMAGE as error:
            yield unreadable(run.path, error)


def unreadable(path: Path, error: Exception) -> str:
    """Return the problem of a folder with a file that has not the form it should have."""
    return f"{path}: a file cannot be read ({type(error).__name__}: {last_line(error)})"


# ---- predictions


def _prediction_problems(run: PublishedRun, submission: Submission) -> Iterator[str]:
    """Yield problems of the predictions, and of scores that do not follow from them."""
    file, splits, table = run.predictions_file, run.splits, run.predictions()
    yield from _utterance_problems(table, run)
    columns = {f"p_{name}" for name in splits.classes}
    given = {str(name) for name in table if str(name).startswith("p_")}
    if given != columns and (given or "format" in run.record):
        differ = [name.removeprefix("p_") for name in sorted(given ^ columns)]
        yield f"{file}: its classes are not those of {FACTS}: {listed(differ)}"
        return
    if given:
        for problem in class_problems(table, splits.classes, str(file), FACTS):
            yield problem
    elif splits.classes:
        unknown = table.loc[~table["prediction"].isin(splits.classes), "prediction"]
        if len(unknown):
            yield f"{file} has a prediction that {FACTS} lacks: {listed(unknown)}"
            return
    elif not np.isfinite(table["prediction"].to_numpy(float)).all():
        yield f"{file} has predictions that are not finite numbers"
        return
    record = run.record
    if not record:
        return
    if TRUTH in table:
        for part in ("val", "test"):
            if part in record or (table["part"] == part).any():
                for problem in _split_problems(table, part, splits, record):
                    yield f"{run.path / RESULT}: {problem}"
        if (run.path / BY_SPEAKER).exists() and not _has_sums(table, run):
            yield f"{run.path / BY_SPEAKER} has not the sums of predictions and labels"
    else:
        yield from _sum_problems(table, run)


def _has_sums(table: pd.DataFrame, run: PublishedRun) -> bool:
    """Return whether `speakers.json` follows from predictions with the truth."""
    sums, recorded = sums_by_speaker(table[table[TRUTH].notna()], run.splits), run.recorded_sums()
    return set(sums) == set(recorded) and all(
        np.allclose(sums[name], each, rtol=EXACT, atol=EXACT) for name, each in recorded.items()
    )


def _split_problems(
    table: pd.DataFrame, part: str, splits: Splits, record: Mapping[str, Any]
) -> Iterator[str]:
    """Yield differences between the recorded scores of a split and those of its predictions."""
    known, classes = table[table[TRUTH].notna()], splits.classes
    if "format" in record:
        yield from split_problems(known, part, classes, record, rounded=True)
        return
    # Another tool has recorded some scores, and may have predicted classes alone.
    lacking = {f"p_{name}": (known["prediction"] == name) * 1.0 for name in classes}
    complete = known if set(lacking) <= set(known) else known.assign(**lacking)
    scores = split_scores(complete, part, classes) or {}
    given = {name: each for name, each in (record.get(part) or {}).items() if name in scores}
    own = {part: {**scores, **given}}
    yield from split_problems(complete, part, classes, own, rounded=True)


def _utterance_problems(table: pd.DataFrame, run: PublishedRun) -> Iterator[str]:
    """Yield doubled, missing and unexpected utterances."""
    file, splits = run.predictions_file, run.splits
    doubled = table.loc[table["utterance"].duplicated(), "utterance"]
    if len(doubled):
        yield f"{file} has utterances twice: {listed(doubled)}"
    parts = {str(part): set(rows["utterance"]) for part, rows in table.groupby("part")}
    if unknown := set(parts) - {"val", "test"}:
        yield f"{file}: unknown part {listed(sorted(unknown))}"
    if "format" in run.record:
        parts = {"val": set(), **parts}
    for part, ids in {"test": set[str](), **parts}.items():
        if part in unknown:
            continue
        expected = set(splits.part(run.fold, part))
        if ids == expected:
            continue
        others = [k for k in range(splits.folds) if ids and ids == set(splits.part(k, part))]
        if others:
            yield f"{file}: its {part} utterances are those of fold {others[0]}, not {run.fold}"
            continue
        if lacking := expected - ids:
            yield f"{file} lacks {part} utterances of fold {run.fold}: {listed(sorted(lacking))}"
        if more := ids - expected:
            trained = more & set(splits.part(run.fold, "train"))
            what = "training utterances" if trained else "utterances that are not in the split"
            yield f"{file} has among {part} {what} of fold {run.fold}: {listed(sorted(more))}"


def _sum_problems(table: pd.DataFrame, run: PublishedRun) -> Iterator[str]:
    """Yield contradictions of recorded scores with sums by speaker, where there is no truth."""
    splits, test = run.splits, table[table["part"] == "test"]
    sums, recorded = run.recorded_sums(), run.record["test"]
    speakers = splits.speakers(run.fold, "test")
    if set(sums) - {""} != speakers:
        yield f"{run.path / BY_SPEAKER} has other speakers than the test split of fold {run.fold}"
        return
    total = np.sum(list(sums.values()), axis=0)
    if splits.classes:
        scores: dict[str, Any] = metrics.scores(total)
        if total.tolist() != recorded.get("confusion"):
            yield f"{run.path / RESULT}: test confusion is not the sum of {BY_SPEAKER}"
    else:
        values = metrics.value_scores(total)
        scores = {name: None if np.isnan(each) else each for name, each in values.items()}
    for name, value in scores.items():
        then = recorded.get(name)
        pair = np.array([value, then], float)  # None becomes NaN
        if not np.isclose(pair[0], pair[1], rtol=0, atol=EXACT, equal_nan=True):
            yield f"{run.path / RESULT}: test {name.upper()} is {value} by {BY_SPEAKER}, not {then}"
    # What predictions alone can tell of the sums.
    for speaker, rows in test.groupby(
        splits.table["speaker"].reindex(test["utterance"]).to_numpy()
    ):
        own, of_speaker = rows["prediction"], sums[str(speaker)]
        if splits.classes:
            counts = [int((own == name).sum()) for name in splits.classes]
            agree = counts == of_speaker.sum(axis=0).tolist()
        else:
            agree = bool(np.isclose([len(own), own.sum()], of_speaker[[0, 2]], rtol=1e-4).all())
        if not agree:
            yield f"{run.predictions_file}: speaker {speaker} has not the sums of {BY_SPEAKER}"


# ---- records


def _record_problems(run: PublishedRun, submission: Submission) -> Iterator[str]:
    """Yield contradictions of `result.json` with the splits and with the place of the run."""
    record, splits, file = run.record, run.splits, run.path / RESULT
    if "format" not in record:
        return
    expected = {
        "fold_index": run.fold,
        "seed": run.seed,
        "fold_count": splits.folds,
        "classes": list(splits.classes),
        "speaker_independent": splits.facts["speaker_independent"],
        "text_independent": splits.facts["text_independent"],
    }
    for name, value in expected.items():
        if record.get(name) != value:
            yield f"{file}: {name} is {record.get(name)}, but {value} by its place and {FACTS}"
    choices = {**submission.facts.get("choices", {}), **{g: splits.facts[g] for g in NODES}}
    for group, choice in record["system"].items():
        if choices.get(group) != choice:
            yield f"{file}: {group} is {choice}, but {choices.get(group)} by {SUBMISSION}"
    for part, speakers in record["speakers"].items():
        if set(map(str, speakers)) != splits.speakers(run.fold, part):
            yield f"{file}: its {part} speakers are not those of fold {run.fold} in {SPLITS}"
    if splits.truth is not None and splits.classes:
        for part, counts in record["class_counts"].items():
            known = splits.truth[splits.part(run.fold, part)].value_counts()
            if any(known.get(name, 0) != count for name, count in counts.items()):
                yield f"{file}: class_counts of {part} are not those of {SPLITS}"


def _identity_problems(run: PublishedRun, submission: Submission) -> Iterator[str]:
    """Yield what shows that a run is of another commit, configuration or data."""
    facts, record, file = submission.facts, run.record, run.path / RESULT
    commits = facts.get("commits", [facts["commit"]] if "commit" in facts else None)
    if commits is not None and run.cost and str(run.cost.get("commit")) not in map(str, commits):
        yield (
            f"{run.path / COST}: made by commit {run.cost.get('commit')}, but {SUBMISSION} "
            f"declares {', '.join(map(str, commits))}"
        )
    if "format" not in record:
        return
    made_by = record["versions"]["ser"]
    if made_by != facts.get("version"):
        yield f"{file}: made by ser {made_by}, but {SUBMISSION} says {facts.get('version')}"
    if not is_of_this_version(submission):
        return  # another version may leave out other options
    cfg = submission.config
    if cfg is None:
        yield f"{submission.path / CONFIG} is missing"
        return
    cfg.seed, cfg.fold.index = run.seed, run.fold
    options = run_key.result_options(cfg)
    if run_key.digest(options) != record.get("options"):
        yield f"{file}: its options are not those of {CONFIG}, fold {run.fold} and seed {run.seed}"
    if has_known_key(submission):
        fingerprint = run.splits.facts["fingerprints"][run.fold]
        made = run_options(cfg, fingerprint, str(facts["features"]), options)
        if run_key.digest(made) != record.get("run_key"):
            yield (
                f"{file}: its run_key is not that of {CONFIG} and the fingerprint in {FACTS}: made "
                "from other audio, labels, splits or options"
            )


def has_known_key(submission: Submission) -> bool:
    """Return whether the keys of runs follow from what is published.

    They do not for representations fitted beyond the training split, nor with recorded noise.
    """
    cfg = submission.config
    if cfg is None or "features" not in submission.facts:
        return False
    return cfg.fit_on == "target" and not cfg.skip_faulty and cfg.get("augment") is None


def is_of_this_version(submission: Submission) -> bool:
    """Return whether the runs are of this version, so that their options can be compared."""
    return bool(submission.facts.get("version") == version("ser"))


# ---- training


def _training_problems(run: PublishedRun, submission: Submission) -> Iterator[str]:
    """Yield what a run says it was fitted on, but must not have been."""
    declared = submission.facts.get("training", "train")
    allowed: Sequence[str] = TRAINING.get(declared, ())
    splits, file = run.splits, run.path / TRAINING_LIST
    if fitted := run.record.get("fitted_on"):
        parts = fitted["splits"]
        if not set(parts) <= set(allowed):
            yield f"{run.path / RESULT}: fitted on {'+'.join(parts)}, {SUBMISSION} says {declared}"
        most = sum(len(splits.part(run.fold, part)) for part in parts)
        if fitted["utterances"] > most:
            yield f"{run.path / RESULT}: fitted on {fitted['utterances']} utterances of {most}"
    if not file.exists():
        return
    ids = pd.Index(file.read_text().split("\n")).drop("", errors="ignore")
    if len(unknown := ids.difference(splits.table.index)):
        yield f"{file} has utterances that are not in {SPLITS}: {listed(unknown)}"
    known = splits.table.loc[ids.intersection(splits.table.index)]
    cells = known[f"fold_{run.fold}"]
    if len(wrong := cells[~cells.isin(allowed)]):
        yield f"{file} has utterances of {' and '.join(sorted(set(wrong)))}: {listed(wrong.index)}"
    shared = set(known["speaker"]) & splits.speakers(run.fold, "test")
    if splits.is_independent and shared:
        yield f"{file}: test speakers of fold {run.fold} in training: {listed(sorted(shared))}"
