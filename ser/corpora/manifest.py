"""A corpus of your own: a CSV or Parquet file with the columns of a corpus table."""

import csv
import math
import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from ser.corpora import COLUMNS, Corpus, Problem
from ser.corpora.layout import LISTED, NUMBERS, build_corpus, resolve_root
from ser.errors import UserError

EXPECTED = "a CSV or Parquet file with columns such as file, speaker, emotion"
SUFFIXES = (".csv", ".parquet")
NAMES = ("utterance", *COLUMNS)
LONGEST = 300  # letters of a path that a message shows
Row = dict[str, object]


def manifest(root: str | Path | None, name: str | None = None) -> Corpus:
    """Read a manifest: one row per utterance.

    `speaker` and one of `file` and `utterance` are required. `file` is absolute or relative to the
    folder of the manifest. Without `file`, the audio is `<utterance>.wav` in the folder `wav` next
    to the manifest, or in the folder of the manifest if there is no `wav`. Without `utterance`, the
    id is `file` without its suffix, and without its folders if it is absolute. Blank cells are
    missing values. A row with an error is left out and listed as a problem, by line of a CSV file
    (the header is line 1) or by row of a Parquet file.

    Args:
        root: The CSV or Parquet file.
        name: Of the corpus; None: the name of the file without its suffix.

    Raises:
        UserError: The file does not exist or is not a table, or a required column is missing.
    """
    file = resolve_root(root, "SER_MANIFEST_ROOT", EXPECTED)
    _require_table(file)
    columns, numbered = _read_csv(file) if file.suffix.lower() == ".csv" else _read_parquet(file)
    _require_columns(file, columns)
    problems = [
        Problem(file, 1, f"unknown column {column!r}{_suggestion(column)}")
        for column in columns
        if column not in NAMES
    ]
    rows: dict[str, Row] = {}
    first: dict[str, int] = {}
    for line, cells in numbered:
        row, reasons = _row(cells, columns, file.parent)
        utterance = str(row.pop("utterance") or "")
        if utterance and first.setdefault(utterance, line) != line:
            reasons.append(
                f"duplicate utterance {utterance!r}, first in line {first[utterance]} "
                "(if a file has several utterances, name them in the column `utterance`)"
            )
        if reasons:
            problems.extend(Problem(file, line, reason) for reason in reasons)
        elif not os.path.isfile(str(row["file"])):
            name = str(row["file"])
            name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
            problems.append(Problem(file, line, f"no audio file {name}", "no audio"))
        else:
            rows[utterance] = row
    return build_corpus(name or file.stem, rows, problems)


def _require_table(file: Path) -> None:
    if file.is_dir():
        tables = sorted(p.name for p in file.iterdir() if p.suffix.lower() in SUFFIXES)
        hint = f"; it contains {', '.join(tables[:LISTED])}" if tables else ""
        raise UserError(f"corpus.root={file} is a folder; expected {EXPECTED}{hint}")
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(f"corpus.root={file} is neither .csv nor .parquet; expected {EXPECTED}")


def _require_columns(file: Path, columns: list[str]) -> None:
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise UserError(f"{file} has duplicate columns: {', '.join(twice)}")
    missing = [] if "speaker" in columns else ["speaker"]
    if not {"file", "utterance"} & set(columns):
        missing.append("file (or utterance)")
    if missing:
        listing = ", ".join(f"{column!r}{_suggestion(column)}" for column in columns)
        raise UserError(f"{file} lacks the column {' and '.join(missing)}; its columns: {listing}")


def _suggestion(column: str) -> str:
    if column in NAMES:
        return ""
    close = get_close_matches(column.strip().lower(), NAMES, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (valid are {', '.join(NAMES)})"


def _read_csv(file: Path) -> tuple[list[str], Iterable[tuple[int, list[object]]]]:
    """Return the header, and the rows with the line in which each begins."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [column.strip() for column in next(reader, [])]
            numbered: list[tuple[int, list[object]]] = []
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    numbered.append((line, list(cells)))
                line = reader.line_num + 1  # a quoted cell can have several lines
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a CSV file in UTF-8: {error}") from error
    return header, numbered


def _read_parquet(file: Path) -> tuple[list[str], Iterable[tuple[int, list[object]]]]:
    """Return the columns, and the rows with their number, counted from 1."""
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a Parquet file: {error}") from error
    if frame.index.name == "utterance":
        frame = frame.reset_index()
    cells = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    return [str(column) for column in frame.columns], enumerate(cells, start=1)


def _row(cells: list[object], columns: list[str], folder: Path) -> tuple[Row, list[str]]:
    """Return the values of a row by column, and the reasons why it cannot be used."""
    reasons = []
    if len(cells) != len(columns):
        reasons.append(f"{len(cells)} cells, but {len(columns)} columns")
    texts = {
        column: str(cell).strip()
        for column, cell in zip(columns, cells, strict=False)
        if column in NAMES
    }
    row: Row = {column: None for column in texts}
    for column, cell in texts.items():
        if cell and column in NUMBERS:
            row[column] = _number(cell, column, reasons)
        elif cell:
            row[column] = cell
    if not texts.get("speaker"):
        reasons.append("the speaker is missing")
    if row.get("gender") not in (None, "female", "male"):
        reasons.append(f"gender must be 'female' or 'male', found {row['gender']!r}")
    start, end = row.get("start"), row.get("end")
    if isinstance(start, float) and (start < 0 or (isinstance(end, float) and end <= start)):
        reasons.append(f"start {start:g} must not be negative, and must be before end {end}")
    _complete_file(row, folder, reasons)
    return row, reasons


def _complete_file(row: Row, folder: Path, reasons: list[str]) -> None:
    """Derive `utterance` from `file` or `file` from `utterance`; make `file` absolute."""
    file, utterance = row.get("file"), row.get("utterance")
    if not file and not utterance:
        reasons.append("file and utterance are both missing")
    if file and not utterance:
        path = Path(str(file))  # names from an absolute path would depend on the machine
        row["utterance"] = path.stem if path.is_absolute() else path.with_suffix("").as_posix()
    elif not file:
        home = folder / "wav" if (folder / "wav").is_dir() else folder
        file = home / f"{utterance}.wav"
    row.setdefault("utterance", None)
    row["file"] = str(folder / str(file))


def _number(cell: str, column: str, reasons: list[str]) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if math.isfinite(value):
        return value
    reasons.append(f"{column} must be a number, found {cell!r}")
    return None
