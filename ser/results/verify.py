"""Check that the files of finished runs agree with each other: `python -m ser verify`.

This finds inconsistency, not forgery: whoever changes a file can also change the digests.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser.errors import UserError, last_line
from ser.results.files import changed_files, read_sealed
from ser.results.folder import RunFolder
from ser.results.paths import COST, RESULT
from ser.results.result_folder import PREDICTIONS, UTTERANCES, ResultFolder
from ser.results.tables import TASK, split_scores

LISTED = 3  # examples in a message
# Probabilities are rounded in a file: to nine digits in a run, to four or more where published.
EXACT, ROUGH = 1e-6, 1e-3
OF_PROBABILITIES = ("ece",)  # scores that change by rounding
NO_DIGESTS = "no digests: made before runs had them, so that only the tables can be compared"


def verify(paths: Sequence[Path]) -> int:
    """Print every inconsistency of finished runs.

    Args:
        paths: Folders of finished runs, or folders that contain some.

    Returns:
        1 if there is any inconsistency, else 0.

    Raises:
        UserError: A folder has no finished run.
    """
    folders = list(dict.fromkeys(run for path in paths for run in RunFolder.all_finished(path)))
    inconsistent = 0
    for folder in folders:
        problems = list(inconsistencies(folder))
        for problem in problems:
            print(f"{folder.path}: {problem}")
        if not problems and not _has_digests(folder):
            print(f"{folder.path}: {NO_DIGESTS}")
        inconsistent += bool(problems)
    print(f"{len(folders)} runs: {len(folders) - inconsistent} consistent, {inconsistent} not")
    return 1 if inconsistent else 0


def inconsistencies(folder: RunFolder) -> Iterator[str]:
    """Yield what contradicts in the files of a finished run and of its evaluations."""
    yield from _inconsistencies(folder)
    for evaluation in (*folder.evaluations(), *folder.all_corrupted()):
        for problem in _inconsistencies(evaluation):
            yield f"{evaluation.path.relative_to(folder.path)}: {problem}"


def _inconsistencies(folder: ResultFolder) -> Iterator[str]:
    try:
        record = folder.read_record() or {}
        for message in changed_files(folder.path, record.get("digests") or {}):
            yield f"{message} ({folder.RECORD} has its digest)"
        if isinstance(folder, RunFolder):
            if record.get("digests") and not folder.cost_file.exists():
                yield f"{folder.cost_file} is missing"
            cost = read_sealed(folder.cost_file) or {}
            if record.get("digests") and folder.cost_file.exists() and "digests" not in cost:
                yield f"{folder.cost_file} has no digests"
            for message in changed_files(folder.path, cost.get("digests") or {}):
                yield f"{message} ({COST} has its digest)"
        yield from _table_problems(folder, record)
    except UserError as error:
        yield str(error)
    except KeyError as error:
        yield f"{folder.RECORD} or {PREDICTIONS} has no {error}"
    except (AttributeError, TypeError, ValueError, OSError) as error:
        yield f"a file cannot be read ({type(error).__name__}: {last_line(error)})"


def _table_problems(folder: ResultFolder, record: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions between predictions, utterances and the record."""
    predictions = folder.read_predictions()
    if "tasks" in record:
        yield from _tasks_problems(predictions, record)
    else:
        yield from _task_problems(predictions, list(record["classes"]), record)
    speech = folder.read_utterances() if folder.utterances_file.exists() else None
    if speech is not None:
        yield from _utterance_problems(predictions, speech)
    if speech is not None and "speakers" in record and "speaker" in speech:
        yield from _speaker_problems(speech, record)
    if isinstance(folder, RunFolder) and "training_audio" in record:
        file = folder.checkpoints / "training_audio.txt"
        if len(set(file.read_text().split())) != record["training_audio"]:
            yield f"{file.name} does not list {record['training_audio']} audio files"


def _tasks_problems(table: pd.DataFrame, record: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions of the predictions of several tasks."""
    tasks = record["tasks"]
    if unknown := set(table[TASK]) - set(tasks):
        yield f"{PREDICTIONS} has a task that {RESULT} lacks: {listed(sorted(unknown))}"
    for name, classes in tasks.items():
        recorded = {
            part: (record.get(part) or {}).get("tasks", {}).get(name) for part in ("val", "test")
        }
        for problem in _task_problems(table[table[TASK] == name], classes, recorded):
            yield f"task {name}: {problem}"


def _task_problems(
    table: pd.DataFrame, classes: Sequence[str], record: Mapping[str, Any]
) -> Iterator[str]:
    """Yield contradictions of the predictions of one task with its recorded scores, by split."""
    doubled = table.loc[table["utterance"].duplicated(), "utterance"]
    if len(doubled):
        yield f"{PREDICTIONS} has utterances twice: {listed(doubled)}"
    outcomes = table[["truth", "prediction"]]
    if classes:
        yield from class_problems(table, classes, PREDICTIONS)
        is_true = outcomes["truth"].isin(_true(table, classes))
        is_known = bool((is_true & outcomes["prediction"].isin(classes)).all())
    else:
        is_known = bool(np.isfinite(outcomes.to_numpy(float)).all())
        if not is_known:
            yield f"{PREDICTIONS} has values that are not finite numbers"
    if is_known:
        for part in ("val", "test"):
            yield from split_problems(table, part, classes, record)


def class_problems(
    table: pd.DataFrame, classes: Sequence[str], file: str, source: str = RESULT
) -> Iterator[str]:
    """Yield unknown classes and impossible probabilities.

    Args:
        table: Predictions, with or without the truth.
        classes: C names.
        file: Name of the file, for messages.
        source: Name of the file that has the classes, for messages.
    """
    for column in ("truth", "prediction"):
        if column not in table:
            continue
        valid = _true(table, classes) if column == "truth" else classes
        unknown = table.loc[~table[column].isin(valid), column]
        if len(unknown):
            yield f"{file} has a {column} that {source} lacks: {listed(unknown)}"
    p = table[[f"p_{name}" for name in classes]].to_numpy(float)
    sums, slack = p.sum(axis=1), 1e-4 * max(1, len(classes) / 2) + 1e-9
    wrong = ~(np.isfinite(p).all(axis=1) & (np.abs(sums - 1) <= slack) & (p >= 0).all(axis=1))
    if wrong.any():
        yield (
            f"{file} has probabilities that are not between 0 and 1 with the sum 1: "
            f"{listed(table.loc[wrong, 'utterance'])}"
        )
    numbers = pd.Index(classes).get_indexer(pd.Index(table["prediction"]))
    # Equal after rounding to nine digits: any of the most probable classes.
    wrong = (numbers >= 0) & (p[np.arange(len(p)), numbers] < p.max(axis=1, initial=0.0))
    if wrong.any():
        yield (
            f"{file} has predictions that are not the most probable class: "
            f"{listed(table.loc[wrong, 'utterance'])}"
        )


def _true(table: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """Return what a truth can be: a class, or nothing where raters have no majority."""
    soft = any(str(name).startswith("t_") for name in table)
    return [*classes, ""] if soft else list(classes)


def split_problems(
    table: pd.DataFrame,
    part: str,
    classes: Sequence[str],
    record: Mapping[str, Any],
    *,
    rounded: bool = False,
) -> Iterator[str]:
    """Yield differences between recorded scores of a split and those of its predictions.

    Args:
        table: Predictions with the truth.
        part: "val" or "test".
        classes: C names; none: values.
        record: Content of `result.json`.
        rounded: Whether the table has probabilities with few digits.
    """
    recorded, scores = record.get(part), split_scores(table, part, classes)
    if not recorded or not scores:
        if bool(recorded) != bool(scores):
            yield f"{PREDICTIONS} and the recorded scores do not both have the {part} split"
        return
    for name, value in scores.items():
        then = recorded.get(name)
        if isinstance(value, float):
            recorded_value = np.nan if then is None else then
            slack = ROUGH if rounded and name in OF_PROBABILITIES else EXACT
            if not np.isclose(value, recorded_value, rtol=0, atol=slack):
                yield f"{part} {name.upper()} is {value:.6f} by {PREDICTIONS}, recorded {then}"
        elif value != then:
            yield f"{part} {name} by {PREDICTIONS} differs from the recorded one"
    counts = table.loc[table["part"] == part, "truth"].value_counts()
    counted = record.get("class_counts", {}).get(part, {})
    if counted and any(counts.get(name, 0) != counted[name] for name in counted):
        yield f"{PREDICTIONS} has not as many {part} utterances of each class as recorded"


def _utterance_problems(predictions: pd.DataFrame, speech: pd.DataFrame) -> Iterator[str]:
    doubled = speech.loc[speech["utterance"].duplicated(), "utterance"]
    if len(doubled):
        yield f"{UTTERANCES} has utterances twice or in two splits: {listed(doubled)}"
    pairs = (
        pd.MultiIndex.from_frame(each[["part", "utterance"]].drop_duplicates())
        for each in (predictions, speech)
    )
    predicted, described = pairs
    if len(lacking := predicted.difference(described)):
        yield f"{UTTERANCES} lacks utterances of {PREDICTIONS}: {listed(lacking)}"
    parts = set(predictions["part"])
    expected = described[described.get_level_values("part").isin(parts)]
    if len(missing := expected.difference(predicted)):
        yield f"{PREDICTIONS} lacks utterances of {UTTERANCES}: {listed(missing)}"


def _speaker_problems(speech: pd.DataFrame, record: Mapping[str, Any]) -> Iterator[str]:
    known = speech[speech["speaker"].fillna("") != ""]
    speakers = {str(part): set(group) for part, group in known.groupby("part")["speaker"]}
    for part, recorded in record["speakers"].items():
        if part in speakers and speakers[part] != set(map(str, recorded)):
            yield f"the {part} speakers of {UTTERANCES} are not those of {RESULT}"
    for one, other in combinations(speakers, 2):
        shared = sorted(speakers[one] & speakers[other])
        if record.get("speaker_independent") and shared:
            yield f"speaker independent by {RESULT}, but in {one} and {other}: {listed(shared)}"


def listed(values: Any) -> str:
    """Return the first of some values, and the number of the others."""
    names = [" ".join(each) if isinstance(each, tuple) else str(each) for each in values]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _has_digests(folder: RunFolder) -> bool:
    return bool((folder.read_record() or {}).get("digests"))
