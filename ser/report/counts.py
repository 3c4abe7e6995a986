"""Predictions of a run, reduced to counts.

Every number of a report is a function of confusion matrices and reliabilities, which add up over
folds, speakers and seeds. Predictions are counted as they are read, so that 1,500 runs need little
memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from ser import metrics
from ser.results import PREDICTIONS, QUOTE, RESULT, UTTERANCES, ResultFolder, restored_text

# Columns of `utterances.csv` that scores are broken down by, the second ones where they have
# several values.
SEVERAL = ("corpus", "language", "split")
COLUMNS = ("gender", "session", "speaker", "style", "text", *SEVERAL)
PREDICTED = ("utterance", "part", "truth", "prediction")

# Confusion matrices (C, C) by column of `utterances.csv` and its value.
Slices = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Tested:
    """The N utterances of one split of one fold, which the runs of the fold share.

    Attributes:
        hashes: (N,) uint64 hashes of the utterance ids.
        columns: By column of `utterances.csv`, the index of the value of each utterance, and the
            values; None if the run has no such file.
    """

    hashes: np.ndarray
    columns: Mapping[str, tuple[np.ndarray, list[str]]] | None


@dataclass(frozen=True)
class Counts:
    """Counted predictions of one run on one split.

    Attributes:
        confusion: (C, C), rows are the truth.
        reliability: (BINS, 3), see `ser.metrics`.
        slices: Confusion matrices by speaker, gender, ...; None if the run has no
            `utterances.csv`.
        digest: Equal for equal sets of utterances with equal truths.
        tested: The N utterances.
        truth: (N,) numbers of their classes.
    """

    confusion: np.ndarray
    reliability: np.ndarray
    slices: Slices | None
    digest: int
    tested: Tested
    truth: np.ndarray


@dataclass(frozen=True)
class Utterances:
    """Predicted utterances and their attributes, which the runs of one fold share.

    Attributes:
        utterance, part: Columns of `predictions.csv`.
        source: Content of `utterances.csv`; None if there is none.
        rows: Row numbers of each split.
        tested: Utterances of each split.
        digests: Digest of the utterances of each split in `utterances.csv`, train included.
    """

    utterance: pa.ChunkedArray
    part: pa.ChunkedArray
    source: bytes | None
    rows: Mapping[str, np.ndarray]
    tested: Mapping[str, Tested]
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
        )


def read_counts(
    folder: ResultFolder, classes: Sequence[str], shared: Utterances | None
) -> tuple[dict[str, Counts], Utterances]:
    """Count the predictions of a run.

    Args:
        folder: Results of the run.
        classes: C names.
        shared: Utterances of another run of the fold, reused if they match; saves time.

    Returns:
        Counts by split, and the utterances of the run.

    Raises:
        ValueError: A file contradicts another.
    """
    table = _read_predictions(folder, classes)
    file = folder.utterances_file
    source = file.read_bytes() if file.exists() else None
    if shared is None or not shared.match(table, source):
        shared = _read_utterances(folder, table, source)
    return dict(_count(table, classes, shared)), shared


def _read_predictions(folder: ResultFolder, classes: Sequence[str]) -> pa.Table:
    # pyarrow takes a quarter of the time of pandas, which matters for 1,500 runs.
    types = dict.fromkeys(PREDICTED, pa.string())
    types |= dict.fromkeys((f"p_{name}" for name in classes), pa.float64())
    table = pyarrow.csv.read_csv(
        folder.predictions_file,
        pyarrow.csv.ReadOptions(use_threads=False),
        pyarrow.csv.ParseOptions(newlines_in_values=True),
        pyarrow.csv.ConvertOptions(include_columns=list(types), column_types=types),
    )
    for name in PREDICTED:
        if pyarrow.compute.any(pyarrow.compute.starts_with(table[name], QUOTE)).as_py():
            texts = pa.array(map(restored_text, table[name].to_pylist()), pa.string())
            table = table.set_column(table.schema.get_field_index(name), name, texts)
    return table


def _read_utterances(folder: ResultFolder, table: pa.Table, source: bytes | None) -> Utterances:
    utterance, part = table["utterance"], table["part"]
    parts = part.to_pandas()
    ids = utterance.to_pandas()
    rows = {str(name): np.flatnonzero(parts == name) for name in parts.unique()}
    hashes = _hashes(ids)
    if source is None:
        tested = {name: Tested(hashes[rows[name]], None) for name in rows}
        return Utterances(utterance, part, source, rows, tested, {})
    known = {str(name): group for name, group in folder.read_utterances().groupby("part")}
    tested = {
        name: Tested(hashes[rows[name]], _factorize(known[name], ids.iloc[rows[name]]))
        for name in rows
    }
    # Sums, so that the order of utterances does not matter.
    digests = {name: int(_hashes(group["utterance"]).sum()) for name, group in known.items()}
    return Utterances(utterance, part, source, rows, tested, digests)


def _hashes(ids: pd.Series) -> np.ndarray:
    return pd.util.hash_array(ids.to_numpy(object))


def _factorize(known: pd.DataFrame, ids: pd.Series) -> dict[str, tuple[np.ndarray, list[str]]]:
    places = pd.Index(known["utterance"]).get_indexer(pd.Index(ids))
    if (places < 0).any():
        raise ValueError(f"{UTTERANCES} lacks utterances of {PREDICTIONS}")
    columns = {}
    for column in COLUMNS:
        if column in known:
            codes, values = pd.factorize(known[column].iloc[places])
            columns[column] = (codes, [str(value) for value in values])
    return columns


def _count(
    table: pa.Table, classes: Sequence[str], utterances: Utterances
) -> Iterator[tuple[str, Counts]]:
    size, names = len(classes), pa.array(classes, pa.string())
    truth, predicted = (
        pyarrow.compute.fill_null(pyarrow.compute.index_in(table[column], names), -1).to_numpy()
        for column in ("truth", "prediction")
    )
    if min(truth.min(initial=0), predicted.min(initial=0)) < 0:
        raise ValueError(f"{PREDICTIONS} has a class that {RESULT} lacks")
    confidence = np.max([table[f"p_{name}"].to_numpy() for name in classes], axis=0)
    for part, rows in utterances.rows.items():
        flat = truth[rows] * size + predicted[rows]
        tested, slices = utterances.tested[part], None
        if tested.columns is not None:
            slices = {
                column: _by_value(codes, values, flat, size)
                for column, (codes, values) in tested.columns.items()
            }
        matrix = np.bincount(flat, minlength=size**2).reshape(size, size)
        # A sum, so that neither the order of utterances nor their division into folds matters.
        digest = (tested.hashes * (2 * truth[rows] + 1).astype(np.uint64)).sum()
        reliability = metrics.reliability(confidence[rows], truth[rows] == predicted[rows])
        classes_of = truth[rows].astype(np.int16)
        yield part, Counts(matrix, reliability, slices, int(digest), tested, classes_of)


def _by_value(
    codes: np.ndarray, values: list[str], flat: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """Return a confusion matrix for each value of a column."""
    counts = np.bincount(codes * size**2 + flat, minlength=len(values) * size**2)
    return dict(zip(values, counts.reshape(len(values), size, size), strict=True))
