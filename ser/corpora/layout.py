"""Helpers of the corpus readers: validate the root, list audio files, build the table."""

import csv
import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from ser.corpora import COLUMNS, Corpus, Problem
from ser.errors import UserError

NUMBERS = ("start", "end", "age", "valence", "activation", "dominance")
MOST_FOLDERS = 500  # folders that are searched for the right root
NO_WORD = re.compile(r"\[[^\]]*\]|[^\w\s']")  # marks such as [LAUGHTER], and punctuation
TABLES = (".csv", ".tsv", ".parquet")  # suffixes of manifests
LISTED = 6  # names of a folder that an error lists


def resolve_root(root: str | Path | None, variable: str, expected: str) -> Path:
    """Return the root of a corpus as an absolute path that exists.

    Args:
        root: As configured.
        variable: Environment variable that sets it, too.
        expected: Description of the right root, for the error.

    Raises:
        UserError: The root is not set, does not exist or cannot be read.
    """
    if root is None or not str(root).strip():
        raise UserError(f"corpus.root is not set: give corpus.root=... or ${variable} ({expected})")
    path = Path(os.path.abspath(Path(root).expanduser()))
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = 0
    except (OSError, ValueError) as error:  # e.g. too long a name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"corpus.root={str(root)[:100]!r}...: {reason} ({expected})") from error
    if mode and not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        # Reading a pipe would wait for ever.
        raise UserError(f"corpus.root={path} is neither a folder nor a file ({expected})")
    if not mode:
        nearest = next(parent for parent in path.parents if parent.exists())
        close = get_close_matches(path.name, os.listdir(nearest), n=1) if nearest.is_dir() else []
        hint = f" Did you mean {nearest / close[0]}?" if close and nearest == path.parent else ""
        raise UserError(
            f"corpus.root={path} does not exist ({expected}). The nearest existing folder is "
            f"{nearest}; it contains {describe(nearest)}.{hint}"
        )
    if not os.access(path, os.R_OK):
        raise UserError(f"corpus.root={path} is not readable by this user")
    return path


def wrong_root(
    path: Path, corpus: str, expected: str, content: str, is_root: Callable[[Path], bool]
) -> UserError:
    """Return the error for a root that is not that of a corpus.

    Args:
        path: The configured root.
        corpus: Name of the corpus.
        expected: Description of the right root, for the error.
        content: Description of the files that the right root contains.
        is_root: Whether a folder is the right root; folders near `path` are searched for it.
    """
    better = next((folder for folder in _neighbours(path) if _matches(folder, is_root)), None)
    hint = f"The right one is corpus.root={better}" if better else f"corpus.root must be {expected}"
    return UserError(
        f"corpus.root={path} is not {corpus}: expected {content}, found {describe(path)}. {hint}."
    )


def describe(path: Path) -> str:
    """Return the first names in a folder, for an error."""
    if path.suffix.lower() in TABLES and path.is_file():
        return "a file, not a folder; corpus=manifest reads a table"
    if not path.is_dir():
        return "a file, not a folder"
    names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    if not names:
        return "nothing"
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def wav_files(folder: Path) -> list[Path]:
    """Return the WAV files of a folder, sorted, without hidden files (`._*` of macOS)."""
    if not folder.is_dir():
        return []
    names = [name for name in os.listdir(folder) if name.lower().endswith(".wav")]
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def read_rows(
    file: Path, columns: Collection[str], delimiter: str = ","
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table of labels, each with its line (the header is line 1).

    Args:
        file: CSV in UTF-8, with a header.
        columns: Names of columns that are read. Cells are stripped; absent ones are empty.
        delimiter: Between cells.

    Raises:
        UserError: The file cannot be read, or lacks a column.
    """
    try:
        with open(file, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter=delimiter)
            header = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            _require_columns(file, columns, header)
            for cells in reader:
                yield reader.line_num, {name: (cells[name] or "").strip() for name in columns}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a table in UTF-8: {error}") from error


def read_table(file: Path, columns: Collection[str]) -> pd.DataFrame:
    """Read a table of labels that is too large for `read_rows`; all cells are text.

    Args:
        file: CSV with a header.
        columns: That are required.

    Raises:
        UserError: The file cannot be read, or lacks a column.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding_errors="replace")
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a table: {error}") from error
    _require_columns(file, columns, list(table.columns))
    return table


def _require_columns(file: Path, columns: Collection[str], header: list[str]) -> None:
    if missing := [name for name in columns if name not in header]:
        raise UserError(
            f"{file} lacks the column {', '.join(missing)}; its columns: {', '.join(header)}"
        )


def spoken_words(file: Path) -> str | float:
    """Return the words of a transcription in lower case; NaN: there are none."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return float("nan")
    return " ".join(NO_WORD.sub(" ", text).lower().split()) or float("nan")


def build_corpus(
    name: str,
    rows: Mapping[str, Mapping[str, object]],
    problems: Iterable[Problem],
    raters: Sequence[Mapping[str, Any]] | pd.DataFrame | None = None,
    *,
    notes: Iterable[str] = (),
    synthetic: bool = False,
) -> Corpus:
    """Build a corpus.

    Args:
        name: Of the corpus.
        rows: By utterance id, values by column; absent ones are missing values.
        problems: What could not be read.
        raters: One row per rater and utterance, or None.
        notes: How the corpus was understood.
        synthetic: Whether it is synthetic speech.

    Raises:
        UserError: There are no rows.
    """
    problems = tuple(problems)
    if not rows:
        first = f"; the first of {len(problems)} problems: {problems[0]}" if problems else ""
        raise UserError(f"corpus {name}: no utterance could be read{first}")
    table = pd.DataFrame.from_dict(dict(sorted(rows.items())), orient="index")
    table.index = pd.Index(table.index, name="utterance", dtype="str")
    for column in ("start", "end"):
        if column not in table:
            table[column] = float("nan")
    table = table[[column for column in COLUMNS if column in table]]
    kinds = {c: "float64" if c in NUMBERS else "str" for c in table.columns}
    return Corpus(
        name=name,
        table=table.astype(kinds),
        raters=None if raters is None else _rater_table(raters),
        problems=problems,
        synthetic=synthetic,
        notes=tuple(notes),
    )


def _rater_table(raters: Sequence[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    columns = ["utterance", "rater", "emotions", "valence", "activation", "dominance"]
    frame = pd.DataFrame(raters, columns=columns)
    kinds = {c: "float64" if c in NUMBERS else "str" for c in columns if c != "emotions"}
    return frame.astype(kinds).sort_values(["utterance", "rater"], ignore_index=True)


def _neighbours(path: Path) -> Iterable[Path]:
    """Yield the folders up to two levels above and below, nearest first."""
    yield from path.parents[:2]
    below = [path]
    for _ in range(2):
        below = list(
            islice((child for folder in below for child in _folders(folder)), MOST_FOLDERS)
        )
        yield from below


def _matches(folder: Path, is_root: Callable[[Path], bool]) -> bool:
    try:
        return is_root(folder)
    except OSError:  # not readable
        return False


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:  # not readable, or a file
        return []
