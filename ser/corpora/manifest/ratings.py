"""Single ratings of a manifest: columns of each rater, or a long file; and their consensus."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ser.corpora import Problem
from ser.corpora.manifest import cells
from ser.corpora.manifest.entries import Entry, locate, parse_rows
from ser.corpora.manifest.headers import ATTRIBUTES, RATED, RATER, understand
from ser.corpora.manifest.locate import Locator
from ser.corpora.manifest.tables import read_sheet
from ser.errors import UserError

SEPARATORS = ("|", ";")  # between the emotions that one rater chose
KNOWN = ("utterance", "file", RATER, *RATED)
Rating = dict[str, Any]  # utterance, rater, emotions, valence, activation, dominance


def ratings_file(manifest: Path) -> Path:
    """Return the file of ratings that belongs to a manifest: `x.ratings.csv` to `x.csv`."""
    return manifest.with_name(f"{manifest.stem}.ratings{manifest.suffix}")


def split_emotions(text: str) -> tuple[str, ...]:
    """Return the emotions in a cell, in which a rater may name several.

    Examples:
        >>> split_emotions("anger|disgust")
        ('anger', 'disgust')
    """
    for separator in SEPARATORS[1:]:
        text = text.replace(separator, SEPARATORS[0])
    return tuple(name.strip() for name in text.split(SEPARATORS[0]) if name.strip())


def of_columns(entries: Iterable[Entry]) -> list[Rating]:
    """Return the ratings in columns such as `emotion_1`."""
    return [
        _rating(entry.utterance, rater, values)
        for entry in entries
        for rater, values in entry.ratings.items()
    ]


def read_ratings(
    file: Path, entries: Sequence[Entry], locator: Locator, scale: cells.Scale | None
) -> tuple[list[Rating], list[Problem], list[str]]:
    """Read a file with one row per rating.

    Args:
        file: With the columns `rater`, `utterance` or `file`, and `emotion` or attributes.
        entries: Rows of the manifest.
        locator: Finds audio.
        scale: Of the attributes; None: 1 to 5.

    Returns:
        Ratings, problems and notes.

    Raises:
        UserError: The file is not a table of ratings, or rates no utterance of the manifest.
    """
    sheet = read_sheet(file)
    header = understand(file, sheet.header, KNOWN)
    if RATER not in header.places or not {"utterance", "file"} & set(header.places):
        raise UserError(
            f"{file} lacks the column rater, or utterance (or file); its columns: "
            f"{', '.join(sheet.header)}"
        )
    known = {entry.utterance for entry in entries}
    by_file: dict[str, list[str]] = {}
    for entry in entries:
        by_file.setdefault(entry.file, []).append(entry.utterance)
    ratings: dict[tuple[str, str], Rating] = {}
    problems = [Problem(file, 1, reason) for reason in header.reasons]
    others = 0
    for entry in parse_rows(sheet, header, scale):
        locate(entry, locator)
        names = [entry.utterance] if entry.utterance else by_file.get(entry.file, [""])
        rater = str(entry.values[RATER] or "")
        if not rater:
            entry.reasons.append("the rater is missing")
        if len(names) > 1:
            entry.reasons.append(f"{entry.file} has several utterances: name the utterance")
        if (names[0], rater) in ratings:
            entry.reasons.append(f"duplicate rating of {names[0]!r} by rater {rater!r}")
        if entry.reasons:
            problems += [Problem(file, entry.line, reason) for reason in entry.reasons]
        elif names[0] not in known:
            others += 1
        else:
            ratings[names[0], rater] = _rating(names[0], rater, entry.values)
    if not ratings and not problems:
        raise UserError(f"{file} rates no utterance of the manifest, such as {min(known)!r}")
    notes = [*sheet.notes, *header.notes]
    if others:
        notes.append(f"ratings in {file.name} of utterances that the manifest lacks: {others}")
    return list(ratings.values()), problems, notes


def consensus(ratings: Iterable[Rating]) -> dict[str, dict[str, Any]]:
    """Return the consensus of the raters, by utterance and column.

    The emotion is the one that most raters chose, as in IEMOCAP, where a rater may choose several;
    if two are chosen equally often, it is missing. An attribute is the mean. Columns that nobody
    rated are absent.
    """
    by_utterance: dict[str, list[Rating]] = {}
    for rating in ratings:
        by_utterance.setdefault(rating["utterance"], []).append(rating)
    return {utterance: _consensus(group) for utterance, group in by_utterance.items()}


def _consensus(ratings: Sequence[Rating]) -> dict[str, Any]:
    agreed: dict[str, Any] = {}
    votes = Counter(name for rating in ratings for name in set(rating["emotions"]))
    if votes:
        most = max(votes.values())
        top = [name for name, count in votes.items() if count == most]
        agreed["emotion"] = top[0] if len(top) == 1 else None
    for name in ATTRIBUTES:
        values = [rating[name] for rating in ratings if rating.get(name) is not None]
        if values:
            agreed[name] = sum(values) / len(values)
    return agreed


def _rating(utterance: str, rater: str, values: Mapping[str, object]) -> Rating:
    emotions = split_emotions(str(values.get("emotion") or ""))
    attributes = {name: values.get(name) for name in ATTRIBUTES}
    return {"utterance": utterance, "rater": rater, "emotions": emotions, **attributes}
