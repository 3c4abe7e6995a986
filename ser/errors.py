"""The one exception that a user is meant to read.

Its message names what was wrong, where, and what would be right. `train.py` and `python -m ser`
print it without a traceback; every other exception is a defect of ours and keeps its traceback.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

_OF_THE_DISK = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EFBIG,
}


class UserError(Exception):
    """Something that the user can put right: a path, an option, a file, a combination."""


@contextmanager
def disk_errors_told() -> Iterator[None]:
    """Turns a full, broken or read-only disk, wherever it is noticed, into a `UserError`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        raise UserError(
            f"{error.filename or 'the disk'}: {error.strerror}. Whatever was finished is kept: "
            "with room to write, the same command goes on from there"
        ) from error


def last_line(error: object) -> str:
    """The line of a message that says most."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
