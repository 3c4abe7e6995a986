"""The exception whose message is meant for the user.

The message names what is wrong, where, and what to do. `train.py` and `python -m ser` print it
without a traceback. Every other exception is a defect of this project and keeps its traceback.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EFBIG,
}
PATH_ERRORS = {errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}


class UserError(Exception):
    """An error that the user can correct: a path, an option, a file or a combination of these."""


class BusyError(UserError):
    """Another process is doing the same."""


@contextmanager
def convert_disk_errors() -> Iterator[None]:
    """Turn errors of a full, broken or read-only disk, and of paths, into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno in PATH_ERRORS:
            raise UserError(f"{error.filename}: {error.strerror}; choose another path") from error
        if error.errno not in DISK_ERRORS:
            raise
        raise UserError(
            f"{error.filename or 'the disk'}: {error.strerror}. Finished work is kept: once the "
            "disk can be written again, the same command continues from there"
        ) from error


def last_line(error: object) -> str:
    """Return the last line of an error's message, which says most; its type if there is none."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
