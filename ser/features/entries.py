"""One extracted array as one file: written whole or not at all, checked whenever it is read.

Layout: a header of 32 bytes (magic, rows, dim, checksum), then rows * dim float32, little-endian.
The checksum takes in the entry's own name, so that one entry copied over another is noticed too.
CRC-32 guards against accident, not malice, and costs a fifth of a cryptographic hash.
"""

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

import numpy as np

_MAGIC = b"ser.arr1"
_HEADER = struct.Struct("<8sIII12x")


def place(root: str, signature: str, name: str) -> str:
    """Where an entry lies."""
    return f"{root}/{signature}/{name[:2]}/{name}"


def write(file: str, values: np.ndarray, scratch: Path) -> None:
    """Keep an array.

    Args:
        file: `<root>/<signature>/<shard>/<name>`.
        values: (T, D) float32.
        scratch: folder on the same file system for the file while it is unfinished.

    Raises:
        OSError: the disk is full, or may not be written to.
    """
    data = np.ascontiguousarray(values, dtype="<f4")
    header = _HEADER.pack(_MAGIC, *data.shape, _checksum(file, data))
    # Not synced: after a power cut the checksum finds what never reached the disk, and it is made
    # again; a sync for each entry would cost more than most extractions.
    write_whole(file, (header, data.data), scratch)


def rows(file: str, dim: int) -> int | None:
    """T of an entry, by its size alone; None if it is absent or cannot be an entry of D columns."""
    try:
        size = os.stat(file).st_size - _HEADER.size
    except OSError:
        return None
    return size // (4 * dim) if size > 0 and size % (4 * dim) == 0 else None


def read(file: str, into: np.ndarray) -> bool:
    """Read an entry into a (T, D) float32 array; False if it is absent, cut short or altered."""
    try:
        with open(file, "rb", buffering=0) as stream:
            header, read = stream.read(_HEADER.size), stream.readinto(into.data)
    except OSError:
        return False
    if len(header) != _HEADER.size or read != into.nbytes:
        return False
    return header == _HEADER.pack(_MAGIC, *into.shape, _checksum(file, into))


def intact(file: str, dim: int) -> bool:
    """Whether an entry is there and holds what was written."""
    count = rows(file, dim)
    return count is not None and read(file, np.empty((count, dim), "<f4"))


def write_whole(
    file: str,
    parts: Iterable[bytes | memoryview],
    scratch: Path,
    sync: bool = False,
    modified: int | None = None,
) -> None:
    """Write a file under a temporary name and move it into place in one step.

    Args:
        file: replaced if it is there.
        parts: written one after another.
        scratch: existing folder on the same file system.
        sync: wait until the disk has it.
        modified: time of last modification to set, seconds since 1970.

    Raises:
        OSError: nothing has changed then.
    """
    temporary = scratch / f"{os.getpid()}-{uuid4().hex}"
    try:
        with open(temporary, "xb") as stream:
            for part in parts:
                stream.write(part)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        if modified is not None:
            os.utime(temporary, (modified, modified))
        os.makedirs(os.path.dirname(file), exist_ok=True)
        os.replace(temporary, file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _checksum(file: str, data: np.ndarray) -> int:
    name = os.sep.join(file.split(os.sep)[-3:]).replace(os.sep, "/")  # a store may be moved
    return zlib.crc32(data.data, zlib.crc32(name.encode()))
