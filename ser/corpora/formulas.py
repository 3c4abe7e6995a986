"""Text in CSV files that a spreadsheet would run as a formula, such as a class `=HYPERLINK(...)`.

A text cell that begins with one of `FORMULA` is written with an apostrophe before it, and read
without it. Names that begin with apostrophes and such a character get one more, so that every name
is restored exactly. Numbers are written as they are.
"""

import csv
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import pandas as pd

FORMULA = ("=", "+", "-", "@", "\t", "\r")
QUOTE = "'"


def csv_text(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """Return a table as CSV without its index, with an apostrophe before each formula.

    Args:
        frame: Table, whose header may have formulas, too.
        float_format: Format of floats, as of `pandas`.

    Examples:
        >>> csv_text(pd.DataFrame({"class": ["=1+1", "joy"], "shift": [-1, 2]}))
        "class,shift\\n'=1+1,-1\\njoy,2\\n"
    """
    table = _converted(frame, _quoted)

    def written(quoting: Literal[0, 1]) -> str:
        return table.to_csv(
            index=False, float_format=float_format, lineterminator="\n", quoting=quoting
        )

    text = written(csv.QUOTE_MINIMAL)
    # Some versions of Python leave a carriage return unquoted, which would end the row.
    return written(csv.QUOTE_ALL) if "\r" in text else text


def restored(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table that was read from a CSV file with the texts that were written."""
    return _converted(frame, restored_text)


def restored_text(text: str) -> str:
    """Return the text of a cell without the apostrophe before a formula.

    Examples:
        >>> restored_text("'=1+1"), restored_text("''=1+1"), restored_text("'t")
        ('=1+1', "'=1+1", "'t")
    """
    return text[1:] if text.startswith(QUOTE) and _is_formula(text) else text


def _quoted(text: str) -> str:
    return QUOTE + text if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    return text.lstrip(QUOTE).startswith(FORMULA)


def _converted(frame: pd.DataFrame, convert: Callable[[str], str]) -> pd.DataFrame:
    """Return a table with converted texts and header; the same table if nothing changes."""
    table = frame
    for number, dtype in enumerate(frame.dtypes):
        column = frame.iloc[:, number]
        if pd.api.types.is_numeric_dtype(dtype) or _is_usual(column):
            continue
        texts = [value for value in column.unique() if isinstance(value, str)]
        changed = {text: new for text in texts if (new := convert(text)) != text}
        if changed:
            table = frame.copy() if table is frame else table
            table.isetitem(number, list(column.map(partial(_replaced, changed))))
    header = [convert(name) if isinstance(name, str) else name for name in frame.columns]
    return table if header == list(frame.columns) else table.set_axis(header, axis=1)


def _is_usual(column: pd.Series) -> bool:
    """Return True if no text begins unusually, which is known fast for a column of texts alone."""
    return column.dtype == "str" and not column.str.startswith((QUOTE, *FORMULA)).any()


def _replaced(changed: Mapping[str, str], value: Any) -> Any:
    return changed.get(value, value)
