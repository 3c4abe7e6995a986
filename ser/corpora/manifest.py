"""Anybody's own data: a table in a CSV or Parquet file, with the columns of a corpus."""

import csv
import math
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from ser.corpora import COLUMNS, Corpus, Problem
from ser.corpora.layout import NUMBERS, assemble, given_root
from ser.errors import UserError

WHAT = "a CSV or Parquet file with columns such as file, speaker, emotion"
SUFFIXES = (".csv", ".parquet")
NAMES = ("utterance", *COLUMNS)
Row = dict[str, object]


def manifest(root: str | Path | None, name: str | None = None) -> Corpus:
    """Read a manifest.

    A row is an utterance. Required are `speaker` and one of `file`, `utterance`. `file` is
    relative to the manifest's folder, or absolute. Without `file`, the audio is
    `<utterance>.wav` in the folder `wav` beside the manifest, or in the manifest's own folder
    where there is no `wav`. Without `utterance`, it is `file` without its suffix (and without
    its folders, where `file` is absolute). Blank cells are missing values. A row with a fault is
    left out and listed among the problems, by line in a CSV (the header is line 1) and by row in
    a Parquet file.

    Args:
        root: the CSV or Parquet file.
        name: of the corpus; None: the file's stem.

    Raises:
        UserError: no such file, not a table, or a required column is absent.
    """
    file = given_root(root, "SER_MANIFEST_ROOT", WHAT)
    _demand_table(file)
    columns, numbered = _read_csv(file) if file.suffix.lower() == ".csv" else _read_parquet(file)
    _demand_columns(file, columns)
    problems = [
        Problem(file, 1, f"unknown column {column!r}{_nearest(column)}")
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
                f"utterance {utterance!r} again, first in line {first[utterance]} "
                "(where a file holds several, name them in the column `utterance`)"
            )
        if reasons:
            problems.extend(Problem(file, line, reason) for reason in reasons)
        elif not Path(str(row["file"])).is_file():
            problems.append(Problem(file, line, f"no audio at {row['file']}", "no audio"))
        else:
            rows[utterance] = row
    return assemble(name or file.stem, rows, problems)


def _demand_table(file: Path) -> None:
    if file.is_dir():
        tables = sorted(p.name for p in file.iterdir() if p.suffix.lower() in SUFFIXES)
        hint = f"; there are {', '.join(tables[:6])} in it" if tables else ""
        raise UserError(f"corpus.root={file} is a folder; expected {WHAT}{hint}")
    if file.suffix.lower() not in SUFFIXES:
        raise UserError(f"corpus.root={file} is neither .csv nor .parquet; expected {WHAT}")


def _demand_columns(file: Path, columns: list[str]) -> None:
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise UserError(f"{file} has several columns of the name {', '.join(twice)}")
    absent = [] if "speaker" in columns else ["speaker"]
    if not {"file", "utterance"} & set(columns):
        absent.append("file (or utterance)")
    if absent:
        found = ", ".join(f"{column!r}{_nearest(column)}" for column in columns)
        raise UserError(f"{file} lacks the column {' and '.join(absent)}; found {found}")


def _nearest(column: str) -> str:
    if column in NAMES:
        return ""
    close = get_close_matches(column.strip().lower(), NAMES, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (valid are {', '.join(NAMES)})"


def _read_csv(file: Path) -> tuple[list[str], Iterable[tuple[int, list[object]]]]:
    """The header, and rows with the line in which each begins."""
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            header = [column.strip() for column in next(reader, [])]
            numbered: list[tuple[int, list[object]]] = []
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    numbered.append((line, list(cells)))
                line = reader.line_num + 1  # a quoted cell may run over several lines
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a CSV file in UTF-8: {error}") from error
    return header, numbered


def _read_parquet(file: Path) -> tuple[list[str], Iterable[tuple[int, list[object]]]]:
    """Its columns, and its rows, counted from 1."""
    try:
        frame = pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a Parquet file: {error}") from error
    if frame.index.name == "utterance":
        frame = frame.reset_index()
    cells = frame.astype(object).where(frame.notna(), "").to_numpy().tolist()
    return [str(column) for column in frame.columns], enumerate(cells, start=1)


def _row(cells: list[object], columns: list[str], folder: Path) -> tuple[Row, list[str]]:
    """A row's values by column, and what is wrong with it."""
    reasons = []
    if len(cells) != len(columns):
        reasons.append(f"{len(cells)} cells under {len(columns)} columns")
    written = {
        column: str(cell).strip()
        for column, cell in zip(columns, cells, strict=False)
        if column in NAMES
    }
    row: Row = {column: None for column in written}
    for column, cell in written.items():
        if cell and column in NUMBERS:
            row[column] = _number(cell, column, reasons)
        elif cell:
            row[column] = cell
    if not written.get("speaker"):
        reasons.append("no speaker")
    if row.get("gender") not in (None, "female", "male"):
        reasons.append(f"gender must be 'female' or 'male', found {row['gender']!r}")
    start, end = row.get("start"), row.get("end")
    if isinstance(start, float) and (start < 0 or (isinstance(end, float) and end <= start)):
        reasons.append(f"start {start:g} and end {end} are not a stretch of time")
    _place(row, folder, reasons)
    return row, reasons


def _place(row: Row, folder: Path, reasons: list[str]) -> None:
    """Fill in `utterance` from `file` or `file` from `utterance`, and make `file` absolute."""
    file, utterance = row.get("file"), row.get("utterance")
    if not file and not utterance:
        reasons.append("neither file nor utterance")
    if file and not utterance:
        path = Path(str(file))  # an absolute one must not make names that differ by machine
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
