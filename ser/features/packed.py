"""Packed files: the features of many utterances in one file, to be memory-mapped.

Layout: the rows of all arrays in order (float32 or float16), the N + 1 offsets at which each array
begins and the last one ends (int64), and a footer of 64 bytes.

The footer and the offsets are verified whenever a file is opened. The rows are verified only if the
file was modified after it was written, because verifying them at every start would read a file that
may be larger than memory. A file counts as modified if its modification time is not the whole
second that its footer names.
"""

import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ser.features.entries import write_atomically

_MAGIC = {np.dtype("<f4"): b"ser.pak1", np.dtype("<f2"): b"ser.pak2"}
# magic, arrays, rows, dim, checksum of the rows, modification time, checksum of footer and offsets
_FOOTER = struct.Struct("<8sQQIIQI20x")
_BLOCK = 1 << 22  # values that are read together when rows are verified


def write(
    file: str, arrays: Iterable[np.ndarray], dim: int, kind: np.dtype, temporary: Path
) -> None:
    """Write a packed file.

    Args:
        file: Path; an existing file is replaced.
        arrays: (T, D) each. A generator works too; one array at a time is in memory.
        dim: D.
        kind: Type of their numbers, float32 or float16.
        temporary: Existing folder on the same file system.

    Raises:
        OSError: The disk is full, or the store is read-only.
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
        facts = (_MAGIC[kind], len(lengths), sum(lengths), dim, checksum, modified)
        yield _FOOTER.pack(*facts, _footer_checksum(file, facts, offsets))

    # Synced, unlike entries, because the rows are not verified again.
    write_atomically(file, parts(), temporary, sync=True, modified=modified)


def read(file: str, count: int, dim: int, kind: np.dtype) -> tuple[np.ndarray, np.ndarray] | None:
    """Map a packed file into memory.

    Args:
        file: Path.
        count: N, the number of arrays that it must contain.
        dim: D.
        kind: Type of the numbers.

    Returns:
        (sum of T, D), memory-mapped read-only, and (N + 1,) int64 offsets; None: the file
        is absent, truncated or altered.
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
    *facts, checksum_of_footer = _FOOTER.unpack(footer)
    magic, arrays, rows, columns, checksum, modified = facts
    size = kind.itemsize * rows * dim + len(offsets) + _FOOTER.size
    if checksum_of_footer != _footer_checksum(file, tuple(facts), offsets):
        return None
    if (magic, arrays, columns, size) != (_MAGIC[kind], count, dim, status.st_size):
        return None
    # As a plain array, whose slices are faster than those of a memmap.
    values = np.memmap(file, kind, "r", shape=(rows, dim)).view(np.ndarray)
    if status.st_mtime_ns != modified * 10**9 and _rows_checksum(values) != checksum:
        return None
    return values, np.frombuffer(offsets, "<i8")


def _rows_checksum(values: np.ndarray) -> int:
    checksum, flat = 0, values.reshape(-1)
    for begin in range(0, len(flat), _BLOCK):
        checksum = zlib.crc32(flat[begin : begin + _BLOCK].data, checksum)
    return checksum


def _footer_checksum(file: str, facts: tuple, offsets: bytes) -> int:
    """Return the checksum of footer, offsets and file name, which detects a swapped file."""
    name = os.path.basename(file).encode()
    return zlib.crc32(offsets, zlib.crc32(_FOOTER.pack(*facts, 0), zlib.crc32(name)))
