"""Read a CSV or Parquet file as rows of texts, whatever program wrote it."""

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser.corpora.formulas import restored_text
from ser.corpora.layout import LISTED, TABLES
from ser.corpora.manifest.headers import count_known
from ser.errors import UserError

EXPECTED = "a CSV or Parquet file with columns such as file, speaker, emotion"
PARQUET = ".parquet"
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".numbers")
SEPARATORS = (",", ";", "\t", "|")
DECLARED = re.compile(r'"?sep=(.)"?[;,\t]*')  # first line of a CSV file for Excel


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Attributes:
        header: Names of the columns.
        rows: Line of the file in which a row begins (of Parquet: its number, from 1), and its
            cells without spaces around them.
        notes: How the file was read, where that is not usual.
    """

    header: list[str]
    rows: list[tuple[int, list[str]]]
    notes: tuple[str, ...] = ()


def read_sheet(file: Path) -> Sheet:
    """Read a table.

    The separator is the one that gives the header the most columns of a manifest, or the most
    columns: a comma, a semicolon, a tab or a bar. The encoding is UTF-8, UTF-16 with its mark, or,
    with a note, Windows-1252. Rows without any text are left out.

    Raises:
        UserError: The file is not a table.
    """
    _require_table(file)
    return _read_parquet(file) if file.suffix.lower() == PARQUET else _read_csv(file)


def _require_table(file: Path) -> None:
    if file.is_dir():
        tables = sorted(p.name for p in file.iterdir() if p.suffix.lower() in TABLES)
        hint = f"; it contains {', '.join(tables[:LISTED])}" if tables else ""
        raise UserError(f"corpus.root={file} is a folder; expected {EXPECTED}{hint}")
    if file.suffix.lower() in SPREADSHEETS:
        raise UserError(f"{file} is a spreadsheet: save it as CSV (UTF-8); expected {EXPECTED}")
    if file.suffix.lower() not in TABLES:
        raise UserError(f"corpus.root={file} is neither .csv nor .parquet; expected {EXPECTED}")


def _read_csv(file: Path) -> Sheet:
    text, notes = _decoded(file)
    separator, first = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            if line >= first and any(map(str.strip, cells)):
                rows.append((line, [restored_text(cell.strip()) for cell in cells]))
            line = reader.line_num + 1  # a quoted cell can have several lines
    except csv.Error as error:
        raise UserError(f"{file}:{line} cannot be read as CSV: {error}") from error
    header = rows[0][1] if rows else []
    return Sheet(header, rows[1:], notes)


def _decoded(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file, and a note if its encoding is not UTF-8."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from error
    if content.startswith(b"PK\x03\x04"):
        raise UserError(f"{file} is a spreadsheet with the suffix of a CSV file: save it as CSV")
    encodings = ["utf-8-sig", "cp1252"]
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "cp1252":
            return text, ()
        odd = next(word for word in re.findall(r"\w+|\W", text) if not word.isascii())
        return text, (f"not UTF-8, read as Windows-1252: are letters right, as in {odd[:40]!r}?",)
    raise UserError(f"{file} is not a text in UTF-8: save it as CSV (UTF-8)")


def _separator(text: str) -> tuple[str, int]:
    """Return the separator of a CSV file, and the line of its header."""
    lines = text.splitlines() or [""]
    if declared := DECLARED.fullmatch(lines[0].strip(" ")):
        return declared[1], 2
    header = next((line for line in lines if line.strip()), "")

    def columns(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=separator), [])
        return count_known([cell.strip() for cell in cells]), len(cells)

    return max(SEPARATORS, key=columns), 1  # the first of those that are equally good


def _read_parquet(file: Path) -> Sheet:
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a Parquet file: {error}") from error
    if any(frame.index.names):
        frame = frame.reset_index()
    cells = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    rows = [(n, [str(cell).strip() for cell in row]) for n, row in enumerate(cells, start=1)]
    return Sheet([str(column) for column in frame.columns], rows)
