"""Files that are written whole or not at all, and whose content is verified when they are read."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ser.errors import UserError, last_line

# Key of a JSON file with the SHA-256 of the rest of its content.
SEAL = "digest"


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, and create its folder."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write a file atomically, and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except BaseException:  # a full disk, for example
        unfinished.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file atomically, keys sorted."""
    write_text(path, _json(content))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or None if it does not exist or is no JSON object."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file with a digest of its content."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    write_json(path, {**rest, SEAL: _seal(rest)})


def read_sealed(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or None if it does not exist.

    Raises:
        UserError: It is damaged: no JSON object, or not the content of its digest. A file of an
            earlier version has no digest.
    """
    content = read_json(path)
    if content is None:
        if path.exists():
            raise UserError(f"{path} is damaged: not a JSON object")
        return None
    seal = content.pop(SEAL, None)
    if seal is not None and seal != _seal(content):
        raise UserError(f"{path} is damaged: its content is not that of its digest")
    return content


def file_digest(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def digests_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of those files of a folder that exist, by name."""
    digests = {name: file_digest(folder / name) for name in names}
    return {name: digest for name, digest in sorted(digests.items()) if digest is not None}


def changed_files(folder: Path, digests: Mapping[str, str]) -> list[str]:
    """Return a message for each file that is missing or has another digest."""
    messages = []
    for name, digest in sorted(digests.items()):
        now = file_digest(folder / name)
        if now != digest:
            what = "is missing" if now is None else "has changed since it was written"
            messages.append(f"{folder / name} {what}")
    return messages


def require_intact_archive(path: Path) -> None:
    """Verify the checksums in a zip archive: checkpoints, arrays and skops files are archives.

    The libraries that read them do not: a flipped bit would change predictions silently.

    Raises:
        UserError: It is missing, truncated or altered.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile) as error:
        raise damaged(path, error) from error
    except RuntimeError as error:  # a flipped bit says that it is encrypted
        raise damaged(path, error) from error
    if broken is not None:
        raise UserError(f"{path} is damaged: wrong checksum of {broken}")


def damaged(path: Path, error: Exception) -> UserError:
    """Return the error for a file that cannot be read."""
    return UserError(f"{path} is damaged: {last_line(error)}")


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_json(content).encode()).hexdigest()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
