"""Anybody's own embeddings, read from files: one per utterance, or one table of all utterances."""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np

from ser.errors import UserError
from ser.features import Level, Location, PrecomputedFeatures
from ser.features.arrays import Array, read_file, read_table

SUFFIXES = (".npy", ".npz", ".parquet", ".csv")
TABLES = SUFFIXES[1:]
EXPECTED_ROOT = (
    "a folder with one .npy, .npz, .parquet or .csv file per utterance, or one .npz, .parquet or "
    ".csv file of all utterances"
)
# Seconds by which the frames of a recording may end before an utterance in it does: encoders drop
# the last incomplete frame.
TOLERANCE = 0.1


class Files(PrecomputedFeatures):
    """Embeddings that another program has computed, as they are.

    The name of a file in a folder, or of an utterance in a table, is the utterance id, or the path
    of the audio file without suffix, from any folder on: `a01`, `DC/a01` or `savee/DC/a01` for
    `/data/savee/DC/a01.wav`. Frames of a recording that has several utterances are selected by the
    start and end of each.

    Args:
        level: "utterance": one vector each; "frame": one row per frame.
        dim: D; None: as the first file has it.
        root: A folder of files, or a table (see `ser.features.arrays`).
        hop: Seconds from one frame to the next, for utterances with start and end; None: there are
            none.

    Raises:
        UserError: The level is another one, or `root` is not set or does not exist.
    """

    def __init__(self, level: Level, dim: int | None, root: str | None, hop: float | None) -> None:
        if level not in ("utterance", "frame"):
            raise UserError(f"Files: level must be utterance or frame, not {level}")
        if not root:
            raise UserError(f"features.root is not set: give features.root=... ({EXPECTED_ROOT})")
        self.level, self.root, self.hop = level, root, hop
        self._path = Path(str(root)).expanduser().absolute()
        self._dim = dim
        if not self._path.exists():
            raise UserError(f"features.root={root}: does not exist; expected {EXPECTED_ROOT}")
        if not self._path.is_dir() and self._path.suffix not in TABLES:
            raise UserError(f"features.root={root}: not a table; expected {EXPECTED_ROOT}")

    @cached_property
    def dim(self) -> int:  # type: ignore[override]
        return self._dim or self._first.values.shape[1]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """D names: those of the files, or embedding_0, embedding_1, ..."""
        if (names := self._first.columns) is not None and len(names) == self.dim:
            return names
        return tuple(f"embedding_{number}" for number in range(self.dim))

    @cached_property
    def signature(self) -> str:
        names = hashlib.blake2b("\n".join(self.columns).encode(), digest_size=8).hexdigest()
        return f"files,{self.level},{self.dim},{self.hop},{names}"

    def locate(self, utterance: str, audio: Path) -> Location:
        """Return where the features of an utterance are.

        Raises:
            UserError: Nowhere, or in several places.
        """
        own = self._by_name.get(utterance, [])
        of_audio = [each for name in _names(audio) for each in self._by_name.get(name, [])]
        distinct = sorted(set(own or of_audio))
        if len(distinct) != 1:
            listing = f"several of it: {', '.join(distinct)}" if distinct else "none of it"
            raise UserError(f"no features of utterance {utterance}: {self._path} has {listing}")
        # Features under the name of the utterance are of the utterance alone. Where this is the
        # name of the recording, too, frames that end before the utterance does are an error.
        is_own = bool(own) and not (self.level == "frame" and set(own) <= set(of_audio))
        if self._is_table:
            return Location(self._path, distinct[0], not is_own)
        return Location(Path(distinct[0]), None, not is_own)

    def read(self, file: Path, start: float, end: float, entry: str | None = None) -> np.ndarray:
        """Read the features of an utterance.

        Args:
            file: As `locate` returned it.
            start: Seconds; NaN: the beginning of the recording.
            end: Seconds; NaN: the end of the recording.
            entry: As `locate` returned it.

        Returns:
            (T, D) float32; T is 1 at utterance level.

        Raises:
            UserError: The file is unreadable, has another number or other names of columns, or too
                few or too many rows.
        """
        array = read_file(file) if entry is None else self._table[entry]
        values = array.values
        if values.shape[1] != self.dim:
            raise UserError(f"has {values.shape[1]} values per row; expected {self.dim}")
        if array.columns is not None and array.columns != self.columns:
            raise UserError("has other columns than the first file, or in another order")
        if self.level == "frame":
            values = self._between(values, start, end)
        elif len(values) != 1:
            raise UserError(
                f"has {len(values)} rows; expected one vector per utterance (for one row per "
                "frame: features.level=frame)"
            )
        elif not math.isnan(start) or not math.isnan(end):
            raise UserError(
                "has one vector of a whole recording, of which the utterance is a part; name the "
                "files by utterance id"
            )
        with np.errstate(over="ignore"):  # values beyond float32 become infinite: an error
            return values.astype(np.float32)

    def _between(self, values: np.ndarray, start: float, end: float) -> np.ndarray:
        """Return the frames of a recording that are of an utterance."""
        if math.isnan(start) and math.isnan(end):
            return values
        if self.hop is None:
            raise UserError(
                "has frames of a recording, of which the utterance is a part; give the seconds "
                "between two frames: features.hop=0.02"
            )
        length = len(values) * self.hop
        if end > length + self.hop + TOLERANCE:
            raise UserError(
                f"has {len(values)} frames, {length:g} s with features.hop={self.hop:g}, but the "
                f"utterance ends at {end:g} s"
            )
        first = 0 if math.isnan(start) else round(start / self.hop)
        last = len(values) if math.isnan(end) else round(end / self.hop)
        if first >= min(last, len(values)):
            raise UserError(f"has no frame from {start:g} s to {end:g} s")
        return values[first:last]

    @property
    def _is_table(self) -> bool:
        return not self._path.is_dir()

    @property
    def _table(self) -> Mapping[str, Array]:
        try:
            return read_table(self._path, self._path.stat().st_mtime_ns)
        except UserError as error:
            raise UserError(f"{self._path}: {error}") from error

    @cached_property
    def _by_name(self) -> Mapping[str, list[str]]:
        """The files of the folder by path without suffix, or the utterances of the table."""
        if self._is_table:
            return {name: [name] for name in self._table}
        found: dict[str, list[str]] = {}
        for folder, _, files in os.walk(self._path):
            for file in map(Path(folder).joinpath, sorted(files)):
                if file.suffix in SUFFIXES:
                    name = file.relative_to(self._path).with_suffix("").as_posix()
                    found.setdefault(name, []).append(str(file))
        return found

    @cached_property
    def _first(self) -> Array:
        if not self._by_name:
            raise UserError(f"features.root={self.root}: has no file; expected {EXPECTED_ROOT}")
        name = min(self._by_name)
        if self._is_table:
            return self._table[name]
        file = Path(self._by_name[name][0])
        try:
            return read_file(file)
        except UserError as error:
            raise UserError(f"{file}: {error}") from error

    def __getstate__(self) -> dict[str, object]:
        """Return the state without files that have been read, for other processes."""
        kept = ("level", "root", "hop", "_path", "_dim")
        return {name: value for name, value in vars(self).items() if name in kept}


def _names(audio: Path) -> Iterator[str]:
    """Yield the names that features of an audio file may have."""
    parts = audio.absolute().with_suffix("").parts[1:]
    for number in range(len(parts)):
        yield "/".join(parts[number:])
