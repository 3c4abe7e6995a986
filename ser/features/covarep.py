"""COVAREP's own features, read from the files that it, or a program of one's own, has left.

COVAREP (G. Degottex, J. Kane, T. Drugman, T. Raitio, S. Scherer, "COVAREP: a collaborative voice
analysis repository for speech technologies", ICASSP 2014, https://github.com/covarep/covarep) is a
MATLAB toolbox. Its script COVAREP_feature_extraction.m leaves a `.mat` file beside each `.wav`,
with `features`, a row each 10 ms, and their `names`.
"""

import csv
import hashlib
import math
import zlib
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ser.errors import UserError
from ser.features import Level, Reader
from ser.features.checks import agreed

SUFFIXES = (".mat", ".csv")
# What the script of 2014 and later writes, 74 columns; ones without names are taken to be these.
NAMES = (
    *("F0", "VUV", "NAQ", "QOQ", "H1H2", "PSP", "MDQ", "peakSlope", "Rd", "Rd_conf", "creak"),
    *(f"MCEP_{number}" for number in range(25)),
    *(f"HMPDM_{number}" for number in range(25)),
    *(f"HMPDD_{number}" for number in range(13)),
)


@dataclass
class Covarep(Reader):
    """Chosen columns of COVAREP's files, one a recording.

    Values that are not finite are replaced by 0, as COVAREP's script does with NaN (but not with
    the infinite ones that H1-H2 and others can be). Nothing in a file is executed.

    Attributes:
        level: "frame".
        dim: D, as many as `names`.
        root: folder with a file a recording: `03a01Fa.mat` or `03a01Fa.csv` for `03a01Fa.wav`. A
            `.mat` file of version 7 or earlier; a `.csv` file whose first line has the names. Where
            there are no names, columns are taken to be `NAMES` if they are as many.
        names: columns, by COVAREP's names.
        hop: seconds from a row to the next; row t stands for [t * hop, (t + 1) * hop).
    """

    level: Level
    dim: int
    root: str | None
    names: list[str]
    hop: float

    def __post_init__(self) -> None:
        if self.level != "frame":
            raise UserError(f"Covarep: level: {self.level} is wrong; it is of level frame")
        if not self.hop > 0:
            raise UserError("Covarep: hop must be above 0")
        if not self.names or len(set(self.names)) < len(self.names):
            raise UserError("Covarep: names must be one or more, each once")
        what = "a folder of COVAREP's .mat or .csv files, one a recording"
        if not self.root:
            raise UserError(f"features.root is not set: give features.root=... ({what})")
        if not self._folder.is_dir():
            raise UserError(f"features.root={self.root}: no such folder; it should be {what}")

    @cached_property
    def signature(self) -> str:
        names = hashlib.blake2b("\n".join(self.names).encode(), digest_size=8).hexdigest()
        return f"covarep,scipy-{version('scipy')},{self.hop},{len(self.names)},{names}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names; UserError if they are not `dim`."""
        return agreed("features.names", self.dim, tuple(self.names))

    def source(self, file: Path) -> Path:
        """The `.mat` or `.csv` file of an audio file's name; UserError: none, or both."""
        found = [path for s in SUFFIXES if (path := self._folder / f"{file.stem}{s}").is_file()]
        if len(found) != 1:
            first, second = (f"{file.stem}{suffix}" for suffix in SUFFIXES)
            names = f"both {first} and {second}" if found else f"neither {first} nor {second}"
            raise UserError(f"no features of COVAREP: {self._folder} holds {names}")
        return found[0]

    def read(self, source: Path, start: float, end: float) -> np.ndarray:
        """The chosen columns of one utterance.

        Args:
            source: a `.mat` or `.csv` file.
            start: seconds; NaN: the recording's beginning.
            end: seconds; NaN: the recording's end.

        Returns:
            (T, D) float32, finite.

        Raises:
            UserError: not COVAREP's, of MATLAB's version 7.3, without a column that is chosen,
                without frames from start to end, or without any value that is finite.
        """
        values, names = (_mat if source.suffix == ".mat" else _csv)(source)
        if absent := [name for name in self.names if name not in names]:
            raise UserError(
                f"has no {', '.join(absent)}; it has {', '.join(names)}. "
                "Choose others: features.names=[...] features.dim=..."
            )
        first = 0 if math.isnan(start) else round(start / self.hop)
        last = len(values) if math.isnan(end) else round(end / self.hop)
        chosen = values[first:last, [names.index(name) for name in self.names]]
        if not len(chosen):
            raise UserError(
                f"has no frame of these: {len(values)} frames, {len(values) * self.hop:g} s"
            )
        with np.errstate(over="ignore"):  # to infinity
            chosen = chosen.astype(np.float32)
        if not np.isfinite(chosen).any():
            raise UserError("holds no value that is finite")
        return np.nan_to_num(chosen, nan=0.0, posinf=0.0, neginf=0.0)

    @property
    def _folder(self) -> Path:
        return Path(str(self.root)).expanduser().absolute()


def _mat(file: Path) -> tuple[np.ndarray, list[str]]:
    """(T, columns) and their names, of a `.mat` file."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        held = loadmat(file, variable_names=["features", "names"])
    except NotImplementedError:  # scipy's word for a file that is HDF5 inside
        raise UserError(
            "is of MATLAB's version 7.3; save it again: save(file, 'features', 'names', '-v7')"
        ) from None
    except (MatReadError, OSError, ValueError, TypeError, EOFError, zlib.error) as error:
        raise UserError(f"unreadable as a .mat file ({error})") from error
    values = held.get("features")
    if values is None or values.ndim != 2 or values.dtype.kind not in "fiu":
        raise UserError("holds no matrix of numbers called features, which COVAREP's do")
    # A cell array of character arrays: an array of arrays of one string each.
    cells = held.get("names", np.empty(0, object)).ravel()
    return _named(values, [str(np.asarray(cell).squeeze()).strip() for cell in cells])


def _csv(file: Path) -> tuple[np.ndarray, list[str]]:
    """(T, columns) and their names, of a `.csv` file with or without a first line of names."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
        first = rows[0] if rows else []
        names = [] if first and _is_number(first[0]) else [cell.strip() for cell in first]
        body = rows[1:] if names else rows
        values = np.array([[float(cell or "nan") for cell in row] for row in body], np.float64)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"unreadable as a table of numbers ({error})") from error
    return _named(values if body else np.empty((0, len(names))), names)


def _named(values: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    if not names and values.shape[1] == len(NAMES):
        names = list(NAMES)
    if not names or len(names) != values.shape[1]:
        raise UserError(
            f"has {values.shape[1]} columns and {len(names)} names; without names there should be "
            f"{len(NAMES)} columns, as COVAREP has"
        )
    return values, names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
