"""The rows of a manifest: their values, names and audio."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ser.corpora import Problem, audio
from ser.corpora.manifest import cells
from ser.corpora.manifest.headers import ATTRIBUTES, DURATION, Header
from ser.corpora.manifest.locate import Locator
from ser.corpora.manifest.tables import Sheet

LONGEST = 300  # letters of a path that a message shows
MOST_FILES = 2_000  # whose durations are compared with start and end; `ser check` reads all
Times = tuple[float | None, float | None]


@dataclass
class Entry:
    """A row of a manifest.

    Attributes:
        line: Of the manifest.
        values: By column; missing ones are None.
        ratings: By rater, values by column.
        reasons: Why the row cannot be used.
        texts: All its cells.
    """

    line: int
    values: dict[str, object]
    ratings: dict[str, dict[str, object]] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    texts: Sequence[str] = ()

    @property
    def file(self) -> str:
        """Absolute path of the audio, "" if it is unknown."""
        return str(self.values.get("file") or "")

    @property
    def utterance(self) -> str:
        """Utterance id, "" if it is unknown."""
        return str(self.values.get("utterance") or "")

    @property
    def times(self) -> Times:
        """Start and end in seconds; None: the beginning and the end of the file."""
        start, end = (self.values.get(name) for name in ("start", "end"))
        return (
            start if isinstance(start, float) else None,
            end if isinstance(end, float) else None,
        )


def read_entries(
    sheet: Sheet, header: Header, locator: Locator, scale: cells.Scale | None
) -> list[Entry]:
    """Return the rows of a table, with names and absolute paths.

    Args:
        sheet: The table.
        header: Its columns.
        locator: Finds audio.
        scale: Of the attributes; None: 1 to 5.
    """
    entries = list(parse_rows(sheet, header, scale))
    _name(entries)
    for entry in entries:
        # Some published partitions, which need no speakers, have unknown ones.
        if entry.values.get("speaker") is None and entry.values.get("split") is None:
            entry.reasons.append("the speaker is missing")
        _complete_times(entry, "start" in header.places)
        locate(entry, locator)
    first: dict[str, Entry] = {}
    for entry in entries:
        other = first.setdefault(entry.utterance, entry) if entry.utterance else entry
        if other is not entry:
            entry.reasons.append(_duplicate(entry, other))
    return entries


def parse_rows(sheet: Sheet, header: Header, scale: cells.Scale | None) -> Iterator[Entry]:
    """Yield the rows of a table with their values and ratings as they are written."""
    columns = len(sheet.header)
    for line, texts in sheet.rows:
        entry = Entry(line, {}, texts=texts)
        if len(texts) != columns:
            entry.reasons.append(f"{len(texts)} cells, but {columns} columns")
        padded = [*texts, *[""] * (columns - len(texts))]
        for column, place in header.places.items():
            entry.values[column] = _value(entry, column, padded[place], scale)
        for (column, rater), place in header.ratings.items():
            value = _value(entry, column, padded[place], scale)
            if value is not None:
                entry.ratings.setdefault(rater, {})[column] = value
        yield entry


def locate(entry: Entry, locator: Locator) -> None:
    """Make the path of the audio absolute; without one it follows from the utterance id."""
    if entry.file or entry.utterance:
        entry.values["file"] = locator.locate(entry.file, entry.utterance)
    else:
        entry.reasons.append("file and utterance are both missing")


def missing_audio(entries: Iterable[Entry], file: Path, locator: Locator) -> list[Problem]:
    """Return a problem for each row whose audio does not exist."""
    problems = []
    for entry in entries:
        if not entry.reasons and not os.path.isfile(entry.file):
            name = entry.file
            name = name if len(name) <= LONGEST else f"{name[:LONGEST]}..."
            reason = f"no audio file {name}{locator.hint(Path(entry.file))}"
            problems.append(Problem(file, entry.line, reason, "no audio"))
    return problems


def impossible_times(entries: Sequence[Entry], file: Path) -> list[Problem]:
    """Return problems of rows whose start or end is beyond the end of their audio.

    If most are, the unit is wrong, and one problem says so.
    """
    timed = [entry for entry in entries if entry.times != (None, None)]
    names = list(dict.fromkeys(entry.file for entry in timed))[:MOST_FILES]
    lengths = {name: length for name in names if (length := _duration(name))}
    late = [entry for entry in timed if entry.file in lengths and _is_late(entry, lengths)]
    checked = sum(entry.file in lengths for entry in timed)
    if not late:
        return []
    examples = [(entry, lengths[entry.file]) for entry in late]
    if unit := _unit(examples) if 2 * len(late) > checked else "":
        entry, length = examples[0]
        reason = (
            f"{len(late)} of {checked} rows begin or end after their audio, such as line "
            f"{entry.line} ({_latest(entry):g}, the audio has {length:g} s): start, end and "
            f"duration are in seconds, and these look like {unit}"
        )
        return [Problem(file, None, reason)]
    return [
        Problem(
            file, entry.line, f"{_latest(entry):g} s is after the end of its audio ({length:g} s)"
        )
        for entry, length in examples
    ]


def _value(entry: Entry, column: str, text: str, scale: cells.Scale | None) -> object:
    """Return the value of a cell; a reason why there is none is added to the entry."""
    try:
        value = cells.parse(column, text)
        if column in ATTRIBUTES and isinstance(value, float):
            return cells.rescale(column, value, scale)
    except ValueError as error:
        entry.reasons.append(str(error))
        return None
    return value


def _complete_times(entry: Entry, has_start: bool) -> None:
    """Derive the end from a duration, and check that it is after the start.

    Without a column `start`, a duration is that of the whole file, and says nothing new.
    """
    duration = entry.values.pop(DURATION, None)
    start, end = entry.times
    if has_start and end is None and isinstance(duration, float):
        end = (start or 0.0) + duration
        entry.values["end"] = end
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        entry.reasons.append(
            f"start {start or 0:g} must not be negative, and must be before end {end}"
        )


def _name(entries: Sequence[Entry]) -> None:
    """Derive ids from files: the path without its suffix.

    Of an absolute path, which depends on the machine, it is the name of the file alone, or, where
    two files have the same one, the path below the folder that all files share. Several parts of
    one file are distinguished by their start.
    """
    unnamed = [entry for entry in entries if entry.file and not entry.utterance]
    paths = {file: Path(file) for file in dict.fromkeys(entry.file for entry in unnamed)}
    absolute = [path for path in paths.values() if path.is_absolute()]
    shared = Path(os.path.commonpath([path.parent for path in absolute])) if absolute else Path()
    is_unique = len({path.stem for path in absolute}) == len(set(absolute))
    ids = {}
    for file, path in paths.items():
        if path.is_absolute():
            ids[file] = path.stem if is_unique else _without_suffix(path.relative_to(shared))
        else:
            ids[file] = _without_suffix(path)
    starts: dict[str, set[float]] = defaultdict(set)
    for entry in unnamed:
        entry.values["utterance"] = ids[entry.file]
        starts[entry.utterance].add(entry.times[0] or 0.0)
    for entry in unnamed:
        if len(starts[entry.utterance]) > 1:
            start = round(entry.times[0] or 0.0, 3)
            entry.values["utterance"] = f"{entry.utterance}@{start:g}"


def _without_suffix(path: Path) -> str:
    return path.with_suffix("").as_posix()


def _duplicate(entry: Entry, other: Entry) -> str:
    if entry.texts == other.texts:
        return f"duplicate utterance {entry.utterance!r}: the same row as line {other.line}"
    return (
        f"duplicate utterance {entry.utterance!r}, first in line {other.line} (if a file has "
        "several utterances, give their start and end, or name them in the column `utterance`)"
    )


def _duration(name: str) -> float | None:
    try:
        return audio.duration(Path(name))
    except audio.AudioError:
        return None  # `ser check` and the extraction report the reason


def _is_late(entry: Entry, lengths: dict[str, float]) -> bool:
    return _latest(entry) > lengths[entry.file] + audio.TIME_TOLERANCE


def _latest(entry: Entry) -> float:
    return max(time or 0.0 for time in entry.times)


def _unit(examples: Sequence[tuple[Entry, float]]) -> str:
    """Return the unit in which most times would be within the audio, "" if there is none."""
    votes: Counter[str] = Counter()
    for entry, length in examples:
        if _latest(entry) <= 1000 * (length + audio.TIME_TOLERANCE):
            votes["milliseconds"] += 1
        elif _latest(entry) <= 200_000 * length:
            votes["samples"] += 1
    return votes.most_common(1)[0][0] if votes else ""
