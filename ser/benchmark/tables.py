"""Tables of published folders: CSV files, plain or compressed, which anybody may have written."""

import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser.errors import UserError, last_line
from ser.results import csv_text, restored, write_bytes

LARGEST = 1 << 28  # bytes of a table; a small compressed file must not fill the memory
NUMBERS = ("p_",)  # beginnings of the names of columns with numbers


def read_table(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table: texts, and floats in columns of probabilities.

    Args:
        file: CSV file; compressed if its name ends with `.gz`.
        columns: Names that it must have.

    Raises:
        UserError: It is missing, damaged, too large, or lacks a column.
    """
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"{file} is larger than {LARGEST >> 20} MB")
        read = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
        table = restored(read)
        for name in table:
            if str(name).startswith(NUMBERS):
                table[name] = table[name].replace("", np.nan).astype(float)
    except FileNotFoundError:
        raise UserError(f"{file} is missing") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{file} is damaged: {last_line(error)}") from None
    if lacking := [name for name in columns if name not in table]:
        raise UserError(f"{file} has no column {', '.join(lacking)}")
    return table


def write_compressed(file: Path, table: pd.DataFrame) -> None:
    """Write a table as compressed CSV; equal tables give equal bytes."""
    write_bytes(file, gzip.compress(csv_text(table).encode(), 9, mtime=0))
