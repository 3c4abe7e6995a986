"""What the corpora share: finding the root, listing audio, making the table."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from ser.corpora import COLUMNS, Corpus, Problem
from ser.errors import UserError

NUMBERS = ("start", "end", "valence", "activation", "dominance")
MOST_FOLDERS = 500  # that are looked into for a better root


def given_root(root: str | Path | None, variable: str, what: str) -> Path:
    """The root as an absolute path that exists.

    Args:
        root: as configured.
        variable: environment variable that sets it, too.
        what: what it should be, for the error.

    Raises:
        UserError: it is not set, or nothing is there.
    """
    if root is None or not str(root).strip():
        raise UserError(f"corpus.root is not set: give corpus.root=... or ${variable} ({what})")
    path = Path(os.path.abspath(Path(root).expanduser()))
    if not path.exists():
        near = next(parent for parent in path.parents if parent.exists())
        raise UserError(
            f"corpus.root={path} does not exist ({what}). "
            f"The nearest folder that does is {near}; it holds {found_in(near)}."
        )
    if not os.access(path, os.R_OK):
        raise UserError(f"corpus.root={path} may not be read by this user")
    return path


def misplaced(
    path: Path, what: str, looked_for: str, fits: Callable[[Path], bool], owner: str
) -> UserError:
    """The error for a root that is not `owner`'s, with a better one nearby if there is one."""
    better = next((place for place in _neighbours(path) if _holds(place, fits)), None)
    hint = f"Right would be corpus.root={better}" if better else f"corpus.root must be {what}"
    return UserError(
        f"corpus.root={path} does not hold {owner}: looked for {looked_for}, "
        f"found {found_in(path)}. {hint}."
    )


def found_in(path: Path) -> str:
    """The first few names in a folder, for an error."""
    if not path.is_dir():
        return "a file, not a folder"
    names = sorted(name for name in os.listdir(path) if not name.startswith("."))
    if not names:
        return "nothing"
    rest = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + rest


def wavs(folder: Path) -> list[Path]:
    """The WAV files of a folder, sorted; hidden ones (`._*` of macOS) are not audio."""
    if not folder.is_dir():
        return []
    names = [name for name in os.listdir(folder) if name.lower().endswith(".wav")]
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def assemble(
    name: str,
    rows: Mapping[str, Mapping[str, object]],
    problems: Iterable[Problem],
    raters: Sequence[Mapping[str, Any]] | None = None,
) -> Corpus:
    """A corpus from rows by utterance; what a row lacks is missing.

    Raises:
        UserError: there are no rows.
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
        raters=None if raters is None else _rater_frame(raters),
        problems=problems,
    )


def _rater_frame(raters: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    columns = ["utterance", "rater", "emotions", "valence", "activation", "dominance"]
    frame = pd.DataFrame(raters, columns=columns)
    kinds = {c: "float64" if c in NUMBERS else "str" for c in columns if c != "emotions"}
    return frame.astype(kinds).sort_values(["utterance", "rater"], ignore_index=True)


def _neighbours(path: Path) -> Iterable[Path]:
    """Folders up to two levels above and below, nearest first."""
    yield from path.parents[:2]
    below = [path]
    for _ in range(2):
        below = list(
            islice((child for folder in below for child in _folders(folder)), MOST_FOLDERS)
        )
        yield from below


def _holds(place: Path, fits: Callable[[Path], bool]) -> bool:
    try:
        return fits(place)
    except OSError:  # a neighbour that is not ours to look into
        return False


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:  # not ours to look into, or a file
        return []
