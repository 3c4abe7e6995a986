"""Digests of audio files, cached so that a large corpus is not read again at every start."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ser.corpora import audio
from ser.features.entries import write_atomically


def digests(
    files: Iterable[str], cache: Path, temporary: Path
) -> dict[str, str | audio.AudioError]:
    """Return the digest of each file's bytes, or the error where a file cannot be read.

    A cached digest is valid while the size, the modification time and the change time of the file
    stay the same. The change time is compared because a program can reset the modification time.

    Args:
        files: Absolute paths.
        cache: JSON file with known digests. It may be absent. Where it cannot be written, as in a
            read-only store, files are read again each time.
        temporary: Folder on the same file system for unfinished files.
    """
    known = _load(cache)
    results: dict[str, str | audio.AudioError] = {}
    new: dict[str, list] = {}
    for file in dict.fromkeys(files):
        try:
            status = os.stat(file)
            facts = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            if (cached := known.get(file)) and cached[:3] == facts:
                results[file] = cached[3]
                continue
            results[file] = audio.digest(Path(file))
            new[file] = [*facts, results[file]]
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


def _load(cache: Path) -> dict[str, list]:
    try:
        known = json.loads(cache.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
