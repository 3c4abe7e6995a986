"""Digests of decoded audio, by which the same recording is found in another file or container.

They are cached by the digest of the file's bytes, so that each file is decoded once per store.
"""

import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from ser.corpora import audio
from ser.features.entries import write_atomically

THREADS = 4  # soundfile releases the GIL


def sample_digests(files: Mapping[str, str], cache: Path, temporary: Path) -> dict[str, str]:
    """Return the digest of the decoded samples of each file; unreadable ones are left out.

    Args:
        files: A path for each digest of a file's bytes.
        cache: JSON file with known digests; it may be absent or damaged, which costs time alone.
        temporary: Folder on the same file system for unfinished files.
    """
    known = _load(cache)
    missing = [content for content in files if content not in known]
    with ThreadPoolExecutor(THREADS) as pool:
        digests = pool.map(_digest, [files[content] for content in missing])
        new = {content: digest for content, digest in zip(missing, digests, strict=True) if digest}
    if new:
        with suppress(OSError):  # the cache is optional
            temporary.mkdir(parents=True, exist_ok=True)
            # Loaded again, because another process may have added digests in the meantime.
            entries = {
                content: _entry(content, each) for content, each in (_load(cache) | new).items()
            }
            write_atomically(str(cache), [json.dumps(entries).encode()], temporary)
    return {content: digest for content, digest in (known | new).items() if content in files}


def _entry(content: str, digest: str) -> list[Any]:
    """Return a digest with a checksum, so that an altered entry is not used."""
    return [digest, zlib.crc32(f"{content} {digest}".encode())]


def _load(cache: Path) -> dict[str, str]:
    try:
        entries = json.loads(cache.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {
        content: entry[0]
        for content, entry in entries.items()
        if isinstance(entry, list) and entry and entry == _entry(content, str(entry[0]))
    }


def _digest(file: str) -> str | None:
    try:
        return audio.sample_digest(Path(file))
    except audio.AudioError:
        return None  # the extraction reports it
