"""Many arrays in one file, to be mapped into memory instead of read.

Layout: the rows of all arrays one after another (float32), the offsets (int64) at which each
array begins and the last one ends, and a footer of 64 bytes.

The footer and the offsets are checked whenever a file is opened. The rows are so only if the file
was touched since it was written (its time of modification is then no longer the whole second that
the footer names): checking at every start would read a file that may be larger than memory.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ser.features.entries import write_whole

_MAGIC = b"ser.pak1"
_FOOTER = struct.Struct(
    "<8sQQIIQI20x"
)  # magic, arrays, rows, dim, checksum, modified, own checksum
_BLOCK = 1 << 22  # float32 read at once when the rows are checked


def write(file: str, arrays: Iterable[np.ndarray], dim: int, scratch: Path) -> None:
    """Keep many arrays in one file.

    Args:
        file: replaced if it is there.
        arrays: (T, D) float32 each; may be a generator, of which one array at a time is held.
        dim: D.
        scratch: existing folder on the same file system.

    Raises:
        OSError: the disk is full, or may not be written to.
    """
    modified = int(time.time())

    def parts() -> Iterator[bytes | memoryview]:
        lengths, checksum = [], 0
        for array in arrays:
            lengths.append(len(array))
            checksum = zlib.crc32(array.data, checksum)
            yield array.data
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype("<i8").tobytes()
        yield offsets
        facts = (_MAGIC, len(lengths), sum(lengths), dim, checksum, modified)
        yield _FOOTER.pack(*facts, _own_checksum(file, facts, offsets))

    # Synced, unlike entries: nobody looks at its rows again.
    write_whole(file, parts(), scratch, sync=True, modified=modified)


def read(file: str, count: int, dim: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Map a packed file into memory.

    Args:
        file: as written.
        count: N, how many arrays it must hold.
        dim: D.

    Returns:
        (sum of T, D) float32, read-only and mapped, and (N + 1,) int64 offsets; None if the file
        is absent, cut short or altered.
    """
    try:
        with open(file, "rb") as stream:
            status = os.fstat(stream.fileno())
            stream.seek(max(0, status.st_size - _FOOTER.size - 8 * (count + 1)))
            offsets, footer = stream.read(8 * (count + 1)), stream.read()
    except OSError:
        return None
    if len(footer) != _FOOTER.size:
        return None
    *facts, own = _FOOTER.unpack(footer)
    magic, arrays, rows, columns, checksum, modified = facts
    size = 4 * rows * dim + len(offsets) + _FOOTER.size
    if own != _own_checksum(file, tuple(facts), offsets):
        return None
    if (magic, arrays, columns, size) != (_MAGIC, count, dim, status.st_size):
        return None
    values = np.memmap(file, "<f4", "r", shape=(rows, dim)).view(np.ndarray)  # slices faster
    if status.st_mtime_ns != modified * 10**9 and _rows_checksum(values) != checksum:
        return None
    return values, np.frombuffer(offsets, "<i8")


def _rows_checksum(values: np.ndarray) -> int:
    checksum, flat = 0, values.reshape(-1)
    for begin in range(0, len(flat), _BLOCK):
        checksum = zlib.crc32(flat[begin : begin + _BLOCK].data, checksum)
    return checksum


def _own_checksum(file: str, facts: tuple, offsets: bytes) -> int:
    """Of the footer, the offsets and the file's name: one file copied over another is noticed."""
    name = os.path.basename(file).encode()
    return zlib.crc32(offsets, zlib.crc32(_FOOTER.pack(*facts, 0), zlib.crc32(name)))
