"""The folder of fitted representations that runs share, e.g. `outputs/fitted`.

    <root>/
        <key>/fitted.json     facts of a fit; written last, so that it marks a finished one
        <key>/...             weights, standardiser, learning curves
        users/                a lock per process that uses the folder

A run copies what it needs into its own folder, so entries may be removed between runs. A training
that two folds share has an entry for as long as a run needs it (`ser.training.shared`).
`python -m ser clean` removes those that no run needs.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from ser.errors import UserError
from ser.results.files import read_json
from ser.results.folder import RunFolder
from ser.results.paths import FITTED, FITTED_KEYS

# Packages whose source defines a fit, and libraries whose version can change its numbers.
PACKAGES = ("data", "models", "networks", "representations", "training")
LIBRARIES = ("numpy", "pytorch-lightning", "scikit-learn", "torch")
USERS, GATE = "users", "gate.lock"
PART = ".part"  # ending of a file that was not written to its end


@cache
def fit_version() -> str:
    """Return a digest of the code and the library versions that define a fit."""
    content = hashlib.blake2b(digest_size=8)
    package = Path(__file__).parents[1]
    for file in sorted(file for name in PACKAGES for file in (package / name).rglob("*.py")):
        content.update(f"{file.relative_to(package).as_posix()}\n".encode())
        content.update(file.read_bytes())
    for library in LIBRARIES:
        content.update(f"{library} {version(library)}\n".encode())
    return content.hexdigest()


@dataclass(frozen=True)
class UsedKeys:
    """Keys of the fitted representations that a run uses, one a line, in a file of its folder.

    Args:
        path: The file.
    """

    path: Path

    def read(self) -> set[str]:
        return set(self.path.read_text().split()) if self.path.exists() else set()

    def add(self, key: str) -> bool:
        """Add a key; return whether the run, killed processes included, had not used it before."""
        if key in self.read():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:  # inner folds may be fitted in parallel
            file.write(f"{key}\n")
        return True


@contextmanager
def in_use(root: Path) -> Iterator[None]:
    """Keep `clean` from removing anything while this process uses the folder."""
    users = root / USERS
    users.mkdir(parents=True, exist_ok=True)
    path = users / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.lock"
    user = FileLock(path)
    with FileLock(root / GATE):
        user.acquire()
    try:
        yield
    finally:
        user.release()
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Leftover:
    """A file or folder that no run needs.

    Attributes:
        path: Path.
        reason: Why it is not needed.
        size: Bytes.
    """

    path: Path
    reason: str
    size: int


def leftovers(root: Path, runs: Iterable[Path]) -> list[Leftover]:
    """Return what no run needs, sorted by path.

    These are fits that no run below `runs` has used, fits by other code or library versions, which
    no run can use again, and files that were not written to their end.

    Args:
        root: Folder of fitted representations.
        runs: Folders of runs.
    """
    folders = [run for folder in runs for run in RunFolder.find_all(folder)]
    used = {key for run in folders for key in UsedKeys(run.path / FITTED_KEYS).read()}
    found = []
    for entry in sorted(root.iterdir()) if root.is_dir() else []:
        if entry.name != USERS and entry.is_dir() and (reason := _unneeded(entry, used)):
            found.append(Leftover(entry, reason, _size(entry)))
    for run in folders:
        if not run.is_claimed:
            parts = (file for file in run.path.rglob(f"*{PART}") if file.is_file())
            found += [Leftover(file, "not written to its end", _size(file)) for file in parts]
    return sorted(found, key=lambda each: each.path)


def remove(root: Path, unneeded: Iterable[Leftover]) -> None:
    """Remove leftovers.

    Args:
        root: Folder of fitted representations.
        unneeded: What `leftovers` has returned.

    Raises:
        UserError: A process uses the folder.
    """
    if not root.is_dir():
        return
    with FileLock(root / GATE):  # no process begins to use the folder meanwhile
        if using := sum(map(_is_held, (root / USERS).glob("*.lock"))):
            raise UserError(f"{root}: {using} process(es) use it; clean it when they have ended")
        for each in unneeded:
            shutil.rmtree(each.path) if each.path.is_dir() else each.path.unlink(missing_ok=True)
        shutil.rmtree(root / USERS, ignore_errors=True)  # of killed processes


def _unneeded(entry: Path, used: set[str]) -> str | None:
    """Return why an entry is not needed, or None if it is."""
    facts = read_json(entry / FITTED)
    if entry.name not in used:
        return "no run uses it" if facts else "unfinished, and no run uses it"
    if facts is not None and facts.get("version") != fit_version():
        return "made by other code or library versions"
    return None


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
