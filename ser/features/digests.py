"""Digests of audio files, cached so that a large corpus is not read again at every start."""

import json
import os
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ser.corpora import audio
from ser.features.entries import write_atomically

Entry = list[Any]


def digests(
    files: Iterable[str], cache: Path, temporary: Path
) -> dict[str, str | audio.AudioError]:
    """Return the digest of each file's bytes, or the error where a file cannot be read.

    A cached digest is valid while the size, the modification time and the change time of the file
    stay the same. The change time is compared because a program can reset the modification time.
    Each entry of the cache has a checksum with the path of its file, so that an entry that was
    altered or belongs to another file is not used: the content of the files decides.

    Args:
        files: Absolute paths.
        cache: JSON file with known digests. It may be absent. Where it cannot be written, as in a
            read-only store, files are read again each time.
        temporary: Folder on the same file system for unfinished files.
    """
    known = _load(cache)
    results: dict[str, str | audio.AudioError] = {}
    new: dict[str, Entry] = {}
    for file in dict.fromkeys(files):
        try:
            status = os.stat(file)
            facts = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            cached = known.get(file)
            if cached is not None and cached == _entry(file, facts, cached[3]):
                results[file] = cached[3]
                continue
            results[file] = digest = audio.digest(Path(file))
            new[file] = _entry(file, facts, digest)
        except OSError:
            results[file] = audio.AudioError(Path(file), audio.MISSING)
        except audio.AudioError as error:
            results[file] = error
    if new:
        with suppress(OSError):  # the cache is optional
            temporary.mkdir(parents=True, exist_ok=True)
            # Loaded again, because another process may have added digests in the meantime.
            text = json.dumps(_load(cache) | new)
            write_atomically(str(cache), [text.encode()], temporary)
    return results


def _entry(file: str, facts: Sequence[int], digest: str) -> Entry:
    """Return size, modification time, change time and digest of a file, and their checksum."""
    text = json.dumps([file, *facts, digest])
    return [*facts, digest, zlib.crc32(text.encode())]


def _load(cache: Path) -> dict[str, Entry]:
    """Return the entries of the cache that have the right form."""
    try:
        known = json.loads(cache.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {file: entry for file, entry in known.items() if _is_entry(entry)}


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and [type(each) for each in entry] == [int, int, int, str, int]
