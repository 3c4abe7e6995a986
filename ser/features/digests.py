"""Digests of audio files, remembered so that a large corpus is not read again at each start."""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ser.corpora import audio
from ser.features.entries import write_whole


def digests(files: Iterable[str], memory: Path, scratch: Path) -> dict[str, str | audio.AudioError]:
    """What the bytes of each file hash to, or why they cannot be read.

    A digest is remembered for as long as a file's size and times (of modification and of change,
    as the former can be set back) stay as they were.

    Args:
        files: absolute paths.
        memory: file that remembers; it need not exist, and if it cannot be written, as in a
            read-only store, files are read anew each time.
        scratch: folder on the same file system for the file while it is unfinished.
    """
    known = _recalled(memory)
    found: dict[str, str | audio.AudioError] = {}
    new: dict[str, list] = {}
    for file in dict.fromkeys(files):
        try:
            status = os.stat(file)
            facts = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
            if (held := known.get(file)) and held[:3] == facts:
                found[file] = held[3]
                continue
            found[file] = audio.digest(Path(file))
            new[file] = [*facts, found[file]]
        except OSError:
            found[file] = audio.AudioError(Path(file), "missing: no such file")
        except audio.AudioError as reason:
            found[file] = reason
    if new:
        with suppress(OSError):  # only a memory
            scratch.mkdir(parents=True, exist_ok=True)
            # Recalled again, as another process may have added to it meanwhile.
            text = json.dumps(_recalled(memory) | new)
            write_whole(str(memory), [text.encode()], scratch)
    return found


def _recalled(memory: Path) -> dict[str, list]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
