"""Predictions of a run, reduced to sums.

Every number of a report is a function of sums, such as confusion matrices, which add up over folds,
speakers and seeds. Predictions are counted as they are read, so that 1,500 runs need little memory.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from ser.report.classes import ClassScoring
from ser.report.scoring import Scoring
from ser.report.values import ValueScoring
from ser.results import PREDICTIONS, QUOTE, RESULT, UTTERANCES, ResultFolder, restored_text

# Columns of `utterances.csv` that scores are broken down by, the second ones where they have
# several values.
SEVERAL = ("age", "corpus", "language", "split")
COLUMNS = ("gender", "session", "speaker", "style", "text", *SEVERAL)
# Groups of speakers whose scores are compared. A speaker may be in several, e.g. of languages.
GROUPS = ("gender", "language", "age")
AGES = (18, 30, 45, 60)  # lowest ages of the groups, beside that from 0
TASK = "task"  # column of runs with several tasks

# Sums by column of `utterances.csv` and its value; by `by_speaker(column)` and (speaker, value).
Slices = Mapping[str, Mapping[Hashable, np.ndarray]]


def by_speaker(column: str) -> str:
    """Return the key of the slices by speaker and value of a column of `GROUPS`."""
    return f"speaker, {column}"


@dataclass(frozen=True)
class Tested:
    """The N utterances of one split of one fold, which the runs of the fold share.

    Attributes:
        hashes: (N,) uint64 hashes of the utterance ids.
        columns: By column of `utterances.csv`, the index of the value of each utterance, and the
            values; None if the run has no such file.
    """

    hashes: np.ndarray
    columns: Mapping[str, tuple[np.ndarray, list[Hashable]]] | None


@dataclass(frozen=True)
class Counts:
    """Counted predictions of one run and task on one split.

    Attributes:
        sums: What scores are computed from, see `Scoring`.
        details: What figures are drawn from.
        slices: Sums by speaker, gender, ...; None if the run has no `utterances.csv`.
        digest: Equal for equal sets of utterances with equal truths.
        tested: The N utterances.
        truth: (N,) numbers of their classes, or values.
    """

    sums: np.ndarray
    details: np.ndarray
    slices: Slices | None
    digest: int
    tested: Tested
    truth: np.ndarray


@dataclass(frozen=True)
class Utterances:
    """Predicted utterances and their attributes, which the runs of one fold share.

    Attributes:
        utterance, part, task: Columns of `predictions.csv`; no task if there is but one.
        source: Content of `utterances.csv`; None if there is none.
        rows: Row numbers of each split, by task.
        tested: Utterances of each split, by task.
        digests: Digest of the utterances of each split in `utterances.csv`, train included.
    """

    utterance: pa.ChunkedArray
    part: pa.ChunkedArray
    task: pa.ChunkedArray | None
    source: bytes | None
    rows: Mapping[str | None, Mapping[str, np.ndarray]]
    tested: Mapping[str | None, Mapping[str, Tested]]
    digests: Mapping[str, int]

    def digest(self, splits: Sequence[str]) -> int | None:
        """Return a digest of the utterances of some splits together; None if it is unknown."""
        known = [self.digests.get(split) for split in splits]
        return None if None in known else sum(each or 0 for each in known) % 2**64

    def match(self, table: pa.Table, source: bytes | None) -> bool:
        """Return whether a run predicts the same utterances, in the same order."""
        return (
            self.source == source
            and self.utterance.equals(table["utterance"])
            and self.part.equals(table["part"])
            and (self.task is None) == (TASK not in table.column_names)
            and (self.task is None or self.task.equals(table[TASK]))
        )


def scoring_of(classes: Sequence[str]) -> Scoring:
    """Return the scoring of a target with these classes; it has values if there are none."""
    return ClassScoring(tuple(classes)) if classes else ValueScoring()


def read_tasks(
    folder: ResultFolder, scorings: Mapping[str | None, Scoring], shared: Utterances | None
) -> tuple[dict[str | None, dict[str, Counts]], Utterances]:
    """Count the predictions of a run.

    Args:
        folder: Results of the run.
        scorings: Scoring of each task; with the name None if the run has but one.
        shared: Utterances of another run of the fold, reused if they match; saves time.

    Returns:
        Counts by task and split, and the utterances of the run.

    Raises:
        ValueError: A file contradicts another.
    """
    table = _read_predictions(folder, scorings)
    file = folder.utterances_file
    source = file.read_bytes() if file.exists() else None
    if shared is None or not shared.match(table, source):
        shared = _read_utterances(folder, table, source)
    if set(shared.rows) != set(scorings):
        raise ValueError(f"{PREDICTIONS} has other tasks than {RESULT}")
    return {
        task: dict(_count(table, scoring, shared, task)) for task, scoring in scorings.items()
    }, shared


def _read_predictions(folder: ResultFolder, scorings: Mapping[str | None, Scoring]) -> pa.Table:
    # pyarrow takes a quarter of the time of pandas, which matters for 1,500 runs.
    kinds = {scoring.value for scoring in scorings.values()}
    value = kinds.pop() if len(kinds) == 1 else pa.string()
    types = dict.fromkeys(("utterance", "part"), pa.string())
    types |= dict.fromkeys(("truth", "prediction"), value)
    probabilities = [name for each in scorings.values() for name in each.probabilities]
    types |= dict.fromkeys(probabilities, pa.float64())
    types |= {} if None in scorings else {TASK: pa.string()}
    table = pyarrow.csv.read_csv(
        folder.predictions_file,
        pyarrow.csv.ReadOptions(use_threads=False),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(include_columns=list(types), column_types=types),
    )
    if value == pa.string():
        # Without a majority of raters there is no truth, and no score of the utterance.
        has_truth = pyarrow.compute.not_equal(table["truth"], "")
        if not pyarrow.compute.all(has_truth).as_py():
            table = table.filter(has_truth)
    for name in [name for name, kind in types.items() if kind == pa.string()]:
        if pyarrow.compute.any(pyarrow.compute.starts_with(table[name], QUOTE)).as_py():
            texts = pa.array(map(restored_text, table[name].to_pylist()), pa.string())
            table = table.set_column(table.schema.get_field_index(name), name, texts)
    return table


def _read_utterances(folder: ResultFolder, table: pa.Table, source: bytes | None) -> Utterances:
    utterance, part = table["utterance"], table["part"]
    task = table[TASK] if TASK in table.column_names else None
    parts, ids = part.to_pandas(), utterance.to_pandas()
    tasks = None if task is None else task.to_pandas()
    names = [None] if tasks is None else list(map(str, tasks.unique()))
    rows = {
        name: {
            str(split): np.flatnonzero((parts == split) & (True if name is None else tasks == name))
            for split in parts.unique()
        }
        for name in names
    }
    hashes = _hashes(ids)
    known, digests = {}, {}
    if source is not None:
        known = {str(name): group for name, group in folder.read_utterances().groupby("part")}
        # Sums, so that the order of utterances does not matter.
        digests = {name: int(_hashes(group["utterance"]).sum()) for name, group in known.items()}
    tested = {
        name: {
            split: Tested(
                hashes[of_split],
                None if source is None else _factorize(known[split], ids.iloc[of_split]),
            )
            for split, of_split in of_task.items()
        }
        for name, of_task in rows.items()
    }
    return Utterances(utterance, part, task, source, rows, tested, digests)


def _hashes(ids: pd.Series) -> np.ndarray:
    return pd.util.hash_array(ids.to_numpy(object))


def _factorize(known: pd.DataFrame, ids: pd.Series) -> dict[str, tuple[np.ndarray, list[Hashable]]]:
    places = pd.Index(known["utterance"]).get_indexer(pd.Index(ids))
    if (places < 0).any():
        raise ValueError(f"{UTTERANCES} lacks utterances of {PREDICTIONS}")
    columns: dict[str, tuple[np.ndarray, list[Hashable]]] = {}
    for column in COLUMNS:
        if column in known:
            cells = known[column].iloc[places]
            codes, values = pd.factorize(cells.map(_age_group) if column == "age" else cells)
            columns[column] = (codes, [str(value) for value in values])
    for column in GROUPS:
        if column in columns and "speaker" in columns:
            columns[by_speaker(column)] = _crossed(columns["speaker"], columns[column])
    return columns


def _crossed(
    first: tuple[np.ndarray, list[Hashable]], second: tuple[np.ndarray, list[Hashable]]
) -> tuple[np.ndarray, list[Hashable]]:
    """Return the pairs of values of two columns that occur."""
    size = len(second[1])
    codes, pairs = pd.factorize(first[0] * size + second[0])
    return codes, [(first[1][pair // size], second[1][pair % size]) for pair in pairs]


def _age_group(age: str) -> str:
    """Return the group of an age in years; empty if it is unknown.

    Examples:
        >>> [_age_group(age) for age in ("29.5", "60", "")]
        ['18-29', '60+', '']
    """
    if not age:
        return ""
    groups = zip((0, *AGES), (*(f"-{limit - 1}" for limit in AGES), "+"), strict=True)
    return [f"{low}{to}" for low, to in groups if low <= float(age)][-1]


def _count(
    table: pa.Table, scoring: Scoring, utterances: Utterances, task: str | None
) -> Iterator[tuple[str, Counts]]:
    predictions = scoring.predictions(table if task is None else _of_task(table, task))
    for part, in_table in utterances.rows[task].items():
        rows = in_table if task is None else _places(utterances.rows[task])[in_table]
        own, tested = predictions.at(rows), utterances.tested[task][part]
        slices = None
        if tested.columns is not None:
            slices = {
                column: dict(zip(values, own.by_code(codes, len(values)), strict=True))
                for column, (codes, values) in tested.columns.items()
            }
        # A sum, so that neither the order of utterances nor their division into folds matters.
        digest = int((tested.hashes * own.marks()).sum())
        yield part, Counts(own.sums(), own.details(), slices, digest, tested, own.truth)


def _of_task(table: pa.Table, task: str) -> pa.Table:
    return table.filter(pyarrow.compute.equal(table[TASK], task))


def _places(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the row number within a task by row number of the table."""
    every = np.sort(np.concatenate(list(rows.values())))
    places = np.zeros(every[-1] + 1, np.int64)
    places[every] = np.arange(len(every))
    return places
