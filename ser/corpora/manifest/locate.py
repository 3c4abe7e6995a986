"""Find the audio files that a manifest names."""

import os
from functools import cache
from pathlib import Path

import soundfile

MOST_FOLDERS = 50  # next to a manifest that are searched for a missing file
OTHER_SUFFIXES = ("aif", "opus", "sph")  # of formats that libsndfile lists by another name


class Locator:
    """Finds audio relative to the folder of a manifest.

    A path may be written with backslashes, in upper or lower case, or without the suffix, if there
    is one such file.

    Args:
        folder: Of the manifest.

    Attributes:
        respelt: Names of files as written, and as found, where they differ.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.respelt: dict[str, str] = {}
        self._located: dict[tuple[str, str], str] = {}
        self._names: dict[Path, list[str]] = {}

    def locate(self, file: str, utterance: str) -> str:
        """Return the absolute path of the audio of an utterance, whether it exists or not.

        A file that has several utterances is looked up once.

        Args:
            file: As written; "": the audio is named as the utterance.
            utterance: Its id.
        """
        key = (file, "" if file else utterance)
        if key not in self._located:
            self._located[key] = self._locate(*key)
        return self._located[key]

    def _locate(self, file: str, utterance: str) -> str:
        if file:
            path = self.folder / Path(file).expanduser()
        else:
            home = self.folder / "wav" if (self.folder / "wav").is_dir() else self.folder
            path = home / f"{utterance}.wav"
        if os.path.isfile(path):
            return str(path)
        native = Path(str(path).replace("\\", "/"))
        if native != path and os.path.isfile(native):
            return str(native)
        names = self._similar(native, with_suffix=not _is_audio(native.name))
        if len(names) != 1:
            return str(native)
        self.respelt[native.name] = names[0]
        return str(native.with_name(names[0]))

    def hint(self, path: Path) -> str:
        """Return where a missing file could be, or ""."""
        if names := self._similar(path, with_suffix=True):
            return f" (there is {names[0]})"
        for folder in self._folders():
            if path.name in self._listed(folder):
                found = folder.relative_to(self.folder) / path.name
                return f" (there is {found} next to the manifest)"
        if path.parent.is_dir():
            return ""
        nearest = next(parent for parent in path.parents if parent.is_dir())
        text = f" (the folder {path.parent} does not exist; {nearest} does)"
        return text if len(text) < 300 else ""

    def _similar(self, path: Path, *, with_suffix: bool) -> list[str]:
        """Return the names that differ in case only, or also in the suffix of an audio file."""
        names = self._listed(path.parent)
        wanted = path.name.casefold()
        if same := [name for name in names if name.casefold() == wanted]:
            return same
        stems = (wanted, path.stem.casefold()) if _is_audio(path.name) else (wanted,)
        return [
            name
            for name in names
            if with_suffix and _is_audio(name) and Path(name).stem.casefold() in stems
        ]

    def _listed(self, folder: Path) -> list[str]:
        if folder not in self._names:
            try:
                self._names[folder] = sorted(os.listdir(folder))
            except (OSError, ValueError):
                self._names[folder] = []
        return self._names[folder]

    def _folders(self) -> list[Path]:
        paths = [self.folder / name for name in self._listed(self.folder)[: 10 * MOST_FOLDERS]]
        return [self.folder, *[path for path in paths if path.is_dir()][:MOST_FOLDERS]]


def _is_audio(name: str) -> bool:
    return Path(name).suffix.lstrip(".").lower() in _suffixes()


@cache
def _suffixes() -> frozenset[str]:
    return frozenset([*(name.lower() for name in soundfile.available_formats()), *OTHER_SUFFIXES])
