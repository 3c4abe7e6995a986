"""Arrays of embeddings that other programs have written: `.npy`, `.npz`, Parquet and CSV files.

A file is of one utterance, or a table of many. Nothing is unpickled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import parquet

from ser.errors import UserError, last_line

ID = "utterance"  # column, or array, with the names of the utterances of a table
NUMBERS = "fiu"  # kinds of numpy types: floating-point numbers, integers


@dataclass(frozen=True)
class Array:
    """The values of one utterance.

    Attributes:
        values: (T, D) numbers of any type.
        columns: D names; None: the file has none.
    """

    values: np.ndarray
    columns: tuple[str, ...] | None


def read_file(file: Path) -> Array:
    """Read the values of one utterance: one vector, or one row per frame.

    Args:
        file: `.npy`; `.npz` with one array; `.parquet` or `.csv` with numeric columns, or with one
            column of vectors.

    Raises:
        UserError: The file is unreadable, or has something else.
    """
    if file.suffix == ".npy":
        return Array(_matrix(_opened(file, lambda: np.load(file, allow_pickle=False))), None)
    if file.suffix == ".npz":
        arrays = _npz(file)
        if len(arrays) != 1:
            raise UserError(f"has {len(arrays)} arrays ({_listed(arrays)}); expected one")
        (array,) = arrays.values()
        return Array(_matrix(array), None)
    frame = _frame(file)
    return _numbers(frame.drop(columns=ID, errors="ignore"))


@lru_cache(maxsize=2)
def read_table(file: Path, modified: int) -> Mapping[str, Array]:
    """Read a table of many utterances.

    Args:
        file: `.parquet` or `.csv` with a column `utterance` and numeric columns, or one column of
            vectors; the rows of an utterance are in the order of time. Or `.npz`: an array
            `utterance` of N names and another of N rows, or one array per utterance, by name.
        modified: Modification time of the file, so that a changed file is read again.

    Returns:
        By name of the utterance.

    Raises:
        UserError: The file is unreadable, or has something else.
    """
    if file.suffix == ".npz":
        arrays = _npz(file)
        if ID not in arrays:
            return {
                name: Array(_matrix(array, f"{name}: "), None) for name, array in arrays.items()
            }
        names = arrays.pop(ID)
        if names.ndim != 1 or names.dtype.kind != "U" or len(arrays) != 1:
            raise UserError(
                f"beside {ID}, an array of N strings, expected one other array of N rows; "
                f"it has {_listed(arrays) or 'none'}"
            )
        (array,) = arrays.values()
        rows = Array(_matrix(array), None)
    else:
        frame = _frame(file)
        if ID not in frame:
            raise UserError(f"has no column {ID}; its columns are {_listed(frame.columns)}")
        names = frame[ID].astype(str).to_numpy(str)
        rows = _numbers(frame.drop(columns=ID))
    if len(names) != len(rows.values):
        raise UserError(f"{len(names)} names, but {len(rows.values)} rows")
    numbers = pd.Series(names).groupby(names).indices
    return {
        str(name): Array(rows.values[np.sort(own)], rows.columns) for name, own in numbers.items()
    }


def _opened(file: Path, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, ValueError, EOFError, BadZipFile, pyarrow.ArrowException) as error:
        reason = last_line(error)
        if "allow_pickle" in reason:
            reason = "it contains Python objects, which are not unpickled; save plain numbers"
        raise UserError(f"unreadable as a {file.suffix} file ({reason})") from error


def _npz(file: Path) -> dict[str, np.ndarray]:
    def read() -> dict[str, np.ndarray]:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    return _opened(file, read)


def _frame(file: Path) -> pd.DataFrame:
    if file.suffix == ".csv":
        return _opened(file, lambda: pd.read_csv(file, dtype={ID: str}, encoding="utf-8-sig"))
    frame = _opened(file, lambda: parquet.read_table(file).to_pandas())
    return frame.reset_index() if frame.index.name == ID else frame


def _numbers(frame: pd.DataFrame) -> Array:
    """Return numeric columns, or the only column, of vectors, as (rows, D)."""
    if len(frame.columns) == 1 and frame.iloc[:, 0].dtype == object and len(frame):
        return Array(_stacked(frame.iloc[:, 0]), None)
    kinds = {str(name): dtype.kind for name, dtype in frame.dtypes.items()}
    if others := [name for name, kind in kinds.items() if kind not in NUMBERS]:
        raise UserError(f"columns without numbers: {_listed(others)}; keep {ID} and the features")
    if not kinds:
        raise UserError("has no columns of features")
    return Array(frame.to_numpy(), tuple(kinds))


def _stacked(vectors: pd.Series) -> np.ndarray:
    lengths = {np.shape(vector) for vector in vectors}
    if len(lengths) > 1 or len(next(iter(lengths))) != 1:
        raise UserError(f"column {vectors.name}: expected vectors of one length in its rows")
    return _matrix(np.stack(list(vectors)))


def _matrix(array: np.ndarray, prefix: str = "") -> np.ndarray:
    """Return a vector as one row, a matrix as it is; errors begin with the prefix."""
    if array.dtype.kind not in NUMBERS:
        raise UserError(f"{prefix}has values of type {array.dtype}; expected numbers")
    if array.ndim not in (1, 2) or not array.size:
        raise UserError(f"{prefix}has an array of shape {array.shape}; expected (D,) or (T, D)")
    return np.atleast_2d(array)


def _listed(names: Any, most: int = 5) -> str:
    names = [str(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
