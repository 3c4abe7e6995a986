"""Store entries: the features of one utterance in one file.

A file is written completely or not at all, and is verified whenever it is read.

Layout: a header of 32 bytes (magic, rows, dim, checksum), then rows * dim float32 or float16,
little-endian.
The checksum includes the name of the entry, so that an entry copied over another one is detected.
CRC-32 protects against accidents, not against attacks, at a fifth of the cost of a cryptographic
hash.
"""

import os
import platform
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import numpy as np

_HOST = platform.node().replace("-", "_")
_MAGIC = {np.dtype("<f4"): b"ser.arr1", np.dtype("<f2"): b"ser.arr2"}
SINGLE = np.dtype("<f4")
_HEADER = struct.Struct("<8sIII12x")


def path(root: str, signature: str, key: str) -> str:
    """Return the path of an entry."""
    return f"{root}/{signature}/{key[:2]}/{key}"


def write(file: str, values: np.ndarray, temporary: Path) -> None:
    """Write an entry.

    Args:
        file: `<root>/<signature>/<first two digits of the key>/<key>`.
        values: (T, D); float16 is kept, anything else becomes float32.
        temporary: Folder on the same file system for unfinished files.

    Raises:
        OSError: The disk is full, or the store is read-only.
    """
    kind = values.dtype if values.dtype in _MAGIC else SINGLE
    data = np.ascontiguousarray(values, dtype=kind)
    header = _HEADER.pack(_MAGIC[data.dtype], *data.shape, _checksum(file, data))
    # Without fsync, which would cost more than most extractions. After a power cut the checksum
    # detects entries that did not reach the disk, and they are extracted again.
    write_atomically(file, (header, data.data), temporary)


def rows(file: str, dim: int, kind: np.dtype = SINGLE) -> int | None:
    """Return T of an entry by its size alone; None: absent, or not an entry of D columns."""
    bytes_per_row = kind.itemsize * dim
    try:
        size = os.stat(file).st_size - _HEADER.size
    except OSError:
        return None
    return size // bytes_per_row if size > 0 and size % bytes_per_row == 0 else None


def read(file: str, out: np.ndarray) -> bool:
    """Read an entry into a (T, D) array of its type; False: absent, truncated or altered."""
    try:
        with open(file, "rb", buffering=0) as stream:
            header, size = stream.read(_HEADER.size), stream.readinto(out.data)
    except OSError:
        return False
    if len(header) != _HEADER.size or size != out.nbytes:
        return False
    return header == _HEADER.pack(_MAGIC[out.dtype], *out.shape, _checksum(file, out))


def is_intact(file: str, dim: int, kind: np.dtype = SINGLE) -> bool:
    """Return whether an entry exists and is unaltered."""
    count = rows(file, dim, kind)
    return count is not None and read(file, np.empty((count, dim), kind))


def write_atomically(
    file: str,
    parts: Iterable[bytes | memoryview],
    temporary: Path,
    sync: bool = False,
    modified: int | None = None,
) -> None:
    """Write a file under a temporary name, then rename it.

    Args:
        file: Path; an existing file is replaced.
        parts: Content, in order.
        temporary: Existing folder on the same file system.
        sync: Wait until the content is on the disk.
        modified: Modification time to set, seconds since 1970.

    Raises:
        OSError: The file could not be written; an existing one is unchanged.
    """
    unfinished = temporary / f"{_HOST}-{os.getpid()}-{uuid4().hex}"
    try:
        with open(unfinished, "xb") as stream:
            for part in parts:
                stream.write(part)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        if modified is not None:
            os.utime(unfinished, (modified, modified))
        os.makedirs(os.path.dirname(file), exist_ok=True)
        os.replace(unfinished, file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def is_abandoned(unfinished: Path) -> bool:
    """Return whether an unfinished file is of a process of this machine that has ended."""
    host, _, rest = unfinished.name.partition("-")
    process = rest.partition("-")[0]
    if host != _HOST or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # of another user
        return False
    return False


def _checksum(file: str, data: np.ndarray) -> int:
    # The path relative to the store, so that a store can be moved.
    name = os.sep.join(file.split(os.sep)[-3:]).replace(os.sep, "/")
    return zlib.crc32(data.data, zlib.crc32(name.encode()))
