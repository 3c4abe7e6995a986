"""A corpus of your own: a CSV or Parquet file with the columns of a corpus table.

Tables of other programs are read, too: other separators, encodings, decimal commas, and the usual
names of columns. What was understood is in `Corpus.notes`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ser.corpora import Corpus, Problem
from ser.corpora.layout import build_corpus, resolve_root
from ser.corpora.manifest import cells
from ser.corpora.manifest.entries import (
    Entry,
    impossible_times,
    missing_audio,
    read_entries,
)
from ser.corpora.manifest.headers import ATTRIBUTES, RATED, SYNTHETIC, Header, misspelt, understand
from ser.corpora.manifest.locate import Locator
from ser.corpora.manifest.ratings import (
    Rating,
    consensus,
    of_columns,
    ratings_file,
    read_ratings,
)
from ser.corpora.manifest.tables import EXPECTED, read_sheet
from ser.errors import UserError

# Columns whose values are names, of which a spelling in upper case is the same.
NAMED = ("emotion", "style", "split")
SCALES = ((0.0, 1.0), (-1.0, 1.0), (1.0, 7.0), (1.0, 9.0), (0.0, 10.0), (0.0, 100.0))


def manifest(
    root: str | Path | None,
    name: str | None = None,
    scale: Sequence[float] | None = None,
    ratings: str | Path | None = None,
) -> Corpus:
    """Read a manifest: one row per utterance.

    `speaker` and one of `file` and `utterance` are required. `file` is absolute or relative to the
    folder of the manifest. Without `file`, the audio is `<utterance>.wav` in the folder `wav` next
    to the manifest, or in the folder of the manifest if there is no `wav`. Without `utterance`, the
    id is `file` without its suffix, and without its folders if it is absolute and they are not
    needed. Blank cells are missing values. A row with an error is left out and listed as a problem,
    by line of a CSV file (the header is line 1) or by row of a Parquet file.

    Single ratings are in columns such as `emotion_1` and `valence_1`, or in a file with one row
    per rating. Where the manifest lacks the column, `emotion` is the one that most raters chose,
    missing after a tie, and an attribute is the mean of its ratings.

    Args:
        root: The CSV or Parquet file.
        name: Of the corpus; None: the name of the file without its suffix.
        scale: Lowest and highest rating of the attributes, which become 1 and 5; None: 1 to 5.
        ratings: File of single ratings; None: `x.ratings.csv` next to `x.csv`, if it exists.

    Raises:
        UserError: The file does not exist or is not a table, or a required column is missing.
    """
    file = resolve_root(root, "SER_MANIFEST_ROOT", EXPECTED)
    limits = cells.require_scale(scale)
    sheet = read_sheet(file)
    header = understand(file, sheet.header)
    _require_columns(file, sheet.header, header)
    locator = Locator(file.parent)
    entries = read_entries(sheet, header, locator, limits)
    problems = [Problem(file, e.line, reason) for e in entries for reason in e.reasons]
    problems += missing_audio(entries, file, locator) + impossible_times(entries, file)
    faulty = {problem.line for problem in problems}
    usable = [entry for entry in entries if entry.line not in faulty]
    problems += [Problem(file, 1, reason) for reason in header.reasons]
    rated, rating_problems, notes = _ratings(file, ratings, header, usable, locator, limits)
    notes = [*sheet.notes, *header.notes, *_respelt(locator), *notes, *_unify(usable, rated)]
    notes += _add_consensus(usable, rated, header)
    is_synthetic = any(entry.values.get(SYNTHETIC) for entry in usable)
    notes += [*_similar_speakers(usable), *_other_scale(usable, limits)]
    return build_corpus(
        name or file.stem,
        {entry.utterance: _row(entry) for entry in usable},
        [*sorted(problems, key=lambda problem: problem.line or 0), *rating_problems],
        rated or None,
        notes=notes,
        synthetic=is_synthetic,
    )


def _require_columns(file: Path, names: list[str], header: Header) -> None:
    missing = [] if "speaker" in header.places else ["speaker"]
    if not {"file", "utterance"} & set(header.places):
        missing.append("file (or utterance)")
    if missing:
        wanted = ("speaker", "file", "utterance")
        near = {name: misspelt(name, wanted) for name in names if name not in header.places}
        listing = ", ".join(
            f"{name!r} (did you mean {near[name]!r}?)" if near.get(name) else repr(name)
            for name in names
        )
        hint = ""
        if not header.places:
            hint = ". The first line must name the columns, e.g. file,speaker,emotion"
        elif missing == ["speaker"]:
            hint = ". It names who speaks, so that nobody is in training and test"
        raise UserError(
            f"{file} lacks the column {' and '.join(missing)}; its columns: "
            f"{listing or 'none'}{hint}"
        )


def _ratings(
    file: Path,
    ratings: str | Path | None,
    header: Header,
    entries: Sequence[Entry],
    locator: Locator,
    scale: cells.Scale | None,
) -> tuple[list[Rating], list[Problem], list[str]]:
    """Return the single ratings, the problems of their file and notes."""
    beside = ratings_file(file)
    if ratings is None and not beside.is_file():
        rated = of_columns(entries)
        raters = len({rater for _, rater in header.ratings})
        return rated, [], [f"columns of {raters} raters"] if raters else []
    if header.ratings:
        raise UserError(
            f"{file} has columns of single raters, and {ratings or beside} has ratings, too: "
            "remove one of them"
        )
    listed = beside
    if ratings is not None:
        listed = Path(ratings).expanduser().absolute()
        if not listed.is_file():
            raise UserError(f"corpus.ratings={ratings} does not exist")
    rated, problems, notes = read_ratings(listed, entries, locator, scale)
    return rated, problems, [f"{len(rated)} single ratings from {listed.name}", *notes]


def _respelt(locator: Locator) -> list[str]:
    """Return a note if files were found under other names than written."""
    if not locator.respelt:
        return []
    written, found = next(iter(locator.respelt.items()))
    return [f"{len(locator.respelt)} files have another spelling, e.g. {found!r} for {written!r}"]


def _unify(entries: Sequence[Entry], ratings: Sequence[Rating]) -> list[str]:
    """Use one spelling of names that differ in case only; return a note for each column."""
    notes = []
    for column in NAMED:
        names = [str(name) for entry in entries if (name := entry.values.get(column))]
        if column == "emotion":
            names += [name for rating in ratings for name in rating["emotions"]]
        if not (changes := cells.spellings(names)):
            continue
        for entry in entries:
            value = entry.values.get(column)
            entry.values[column] = changes.get(str(value), value)
        if column == "emotion":
            for rating in ratings:
                rating["emotions"] = tuple(changes.get(name, name) for name in rating["emotions"])
        pairs = ", ".join(f"{new!r} from {old!r}" for old, new in changes.items())
        notes.append(f"{column}: one spelling is used, {pairs}")
    return notes


def _add_consensus(
    entries: Sequence[Entry], ratings: Sequence[Rating], header: Header
) -> list[str]:
    """Fill the columns that the manifest lacks with the consensus of its raters; return notes."""
    agreed = consensus(ratings)
    rated = {column for values in agreed.values() for column in values}
    added = [column for column in RATED if column in rated and column not in header.places]
    for entry in entries:
        for column in added:
            entry.values[column] = agreed.get(entry.utterance, {}).get(column)
    notes = []
    if "emotion" in added:
        missing = sum(entry.values["emotion"] is None for entry in entries)
        notes.append(
            f"emotion is the one that most raters chose; {missing} of {len(entries)} utterances "
            "have none, because nobody rated them or two were chosen equally often"
        )
    if means := [column for column in added if column != "emotion"]:
        notes.append(f"{', '.join(means)}: mean of the raters")
    return notes


def _similar_speakers(entries: Iterable[Entry]) -> list[str]:
    """Return a note if two names of speakers could be one person, who would be in two splits."""
    speakers = (entry.values.get("speaker") for entry in entries)
    pairs = cells.spellings(str(speaker) for speaker in speakers if speaker)
    if not pairs:
        return []
    listing = ", ".join(f"{old!r} and {new!r}" for old, new in pairs.items())
    return [f"speakers {listing} differ in case only: if they are one person, use one name"]


def _other_scale(entries: Sequence[Entry], scale: cells.Scale | None) -> list[str]:
    """Return a note for each attribute that is not on the scale from 1 to 5."""
    notes = []
    low, high = cells.CONTRACT[0] - cells.TOLERANCE, cells.CONTRACT[1] + cells.TOLERANCE
    for column in ATTRIBUTES if scale is None else ():
        values: dict[float, int] = {}  # the first line of each value
        for entry in entries:
            if isinstance(value := entry.values.get(column), float):
                values.setdefault(value, entry.line)
        outside = [value for value in values if not low <= value <= high]
        if not outside:
            continue
        first, last = min(values), max(values)
        limits = next((s for s in SCALES if s[0] <= first and last <= s[1]), (first, last))
        notes.append(
            f"{column} is from {first:g} to {last:g}, not from 1 to 5 (line "
            f"{values[outside[0]]}: {outside[0]:g}): give the scale of the ratings, e.g. "
            f"corpus.scale=[{limits[0]:g},{limits[1]:g}]"
        )
    return notes


def _row(entry: Entry) -> dict[str, object]:
    return {column: value for column, value in entry.values.items() if column != "utterance"}
