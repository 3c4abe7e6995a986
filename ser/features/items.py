"""Items of the store: the parts of files that are extracted, and the keys of their features."""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ser.corpora import Problem, audio
from ser.errors import UserError
from ser.features import FeatureSource, Location, PrecomputedFeatures
from ser.features.digests import digests


@dataclass(frozen=True)
class Item:
    """A part of a file, with the key of its features in the store.

    Attributes:
        file: The audio file; for precomputed features the file that has them.
        start: Seconds; NaN: the beginning of the audio.
        end: Seconds; NaN: the end of the audio.
        key: Digest of the file's content, with the entry and the times where they are given. Equal
            content has equal keys, wherever the file is.
        entry: Name of the features in a file of many utterances.
    """

    file: str
    start: float
    end: float
    key: str
    entry: str | None = None


Items = list[Item | Problem]


def items_of(
    table: pd.DataFrame, source: FeatureSource | None, cache: Path, temporary: Path
) -> Items:
    """Return the item of each row of a corpus table, or the problem where there is none.

    Args:
        table: Of a corpus, with columns `file`, `start` and `end`.
        source: Of the features; None: the items are parts of the audio files.
        cache: File with known digests.
        temporary: Folder on the same file system for unfinished files.
    """
    locations = _locations(table, source)
    files = [str(each.file) for each in locations if isinstance(each, Location)]
    known = digests(files, cache, temporary)
    times = table[["start", "end"]].astype(float).to_numpy()
    items: Items = []
    for location, (start, end) in zip(locations, times.tolist(), strict=True):
        if isinstance(location, Problem):
            items.append(location)
            continue
        digest = known[str(location.file)]
        if isinstance(digest, audio.AudioError):
            items.append(Problem(digest.file, None, digest.reason))
            continue
        if not location.is_recording:
            start = end = math.nan
        is_whole = start != start and end != end  # both NaN
        # A digest, because a key is the name of a file.
        entry = "" if location.entry is None else f"-{digest_of([location.entry])}"
        key = f"{digest}{entry}" if is_whole else f"{digest}{entry}-{start}-{end}"
        items.append(Item(str(location.file), start, end, key, location.entry))
    return items


def with_failures(items: Items, reasons: dict[str, str]) -> Items:
    """Replace each item whose key has a reason by a problem."""
    results: Items = []
    for item in items:
        if isinstance(item, Item) and item.key in reasons:
            part = "" if item.start != item.start else f" (from {item.start:g} s to {item.end:g} s)"
            entry = "" if item.entry is None else f"{item.entry}: "
            item = Problem(Path(item.file), None, entry + reasons[item.key] + part)
        results.append(item)
    return results


def problems(items: Items) -> tuple[Problem, ...]:
    """Return the problems among items."""
    return tuple(item for item in items if isinstance(item, Problem))


def digest_of(lines: Sequence[str]) -> str:
    """Return the digest of a list of keys, 32 hexadecimal digits."""
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _locations(table: pd.DataFrame, source: FeatureSource | None) -> list[Location | Problem]:
    """Return where the audio of each utterance is, or its features if these are precomputed."""
    files = [Path(os.path.abspath(file)) for file in table["file"]]
    if not isinstance(source, PrecomputedFeatures):
        return [Location(file) for file in files]
    owners: dict[tuple[Path, str | None], Path] = {}
    locations: list[Location | Problem] = []
    for utterance, file in zip(table.index, files, strict=True):
        try:
            location = source.locate(str(utterance), file)
        except UserError as error:
            locations.append(Problem(file, None, str(error)))
            continue
        location = replace(location, file=Path(os.path.abspath(location.file)))
        # Recordings of one name in two folders: a01.npy cannot be of DC/a01.wav and JE/a01.wav.
        owner = owners.setdefault((location.file, location.entry), file)
        if location.is_recording and owner != file:
            reason = f"its features are those of {owner}, too: {location.file}"
            locations.append(Problem(file, None, reason))
        else:
            locations.append(location)
    return locations
