"""Items of the store: the parts of files that are extracted, and the keys of their features."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ser.corpora import Problem, audio
from ser.errors import UserError
from ser.features import FeatureSource, PrecomputedFeatures
from ser.features.digests import digests


@dataclass(frozen=True)
class Item:
    """A part of a file, with the key of its features in the store.

    Attributes:
        file: The audio file; for precomputed features the file that has them.
        start: Seconds; NaN: the beginning of the audio.
        end: Seconds; NaN: the end of the audio.
        key: Digest of the file's content, with the times where they are given. Equal content has
            equal keys, wherever the file is.
    """

    file: str
    start: float
    end: float
    key: str


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
    files: list[str | Problem] = [os.path.abspath(file) for file in table["file"]]
    if isinstance(source, PrecomputedFeatures):
        files = [_feature_file(source, Path(str(file))) for file in files]
    known = digests([file for file in files if isinstance(file, str)], cache, temporary)
    times = table[["start", "end"]].astype(float).to_numpy()
    items: Items = []
    for file, (start, end) in zip(files, times.tolist(), strict=True):
        if isinstance(file, Problem):
            items.append(file)
            continue
        digest = known[file]
        if isinstance(digest, audio.AudioError):
            items.append(Problem(digest.file, None, digest.reason))
            continue
        is_whole = start != start and end != end  # both NaN
        items.append(Item(file, start, end, digest if is_whole else f"{digest}-{start}-{end}"))
    return items


def with_failures(items: Items, reasons: dict[str, str]) -> Items:
    """Replace each item whose key has a reason by a problem."""
    results: Items = []
    for item in items:
        if isinstance(item, Item) and item.key in reasons:
            part = "" if item.start != item.start else f" (from {item.start:g} s to {item.end:g} s)"
            item = Problem(Path(item.file), None, reasons[item.key] + part)
        results.append(item)
    return results


def problems(items: Items) -> tuple[Problem, ...]:
    """Return the problems among items."""
    return tuple(item for item in items if isinstance(item, Problem))


def digest_of(lines: Sequence[str]) -> str:
    """Return the digest of a list of keys, 32 hexadecimal digits."""
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()


def _feature_file(source: PrecomputedFeatures, audio: Path) -> str | Problem:
    try:
        return os.path.abspath(source.feature_file(audio))
    except UserError as reason:
        return Problem(audio, None, str(reason))
