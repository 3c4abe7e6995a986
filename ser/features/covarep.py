"""Features computed by COVAREP, or by another program that writes files of the same form.

COVAREP (G. Degottex, J. Kane, T. Drugman, T. Raitio, S. Scherer, "COVAREP: a collaborative voice
analysis repository for speech technologies", ICASSP 2014, https://github.com/covarep/covarep) is a
MATLAB toolbox. For each `.wav` file its script COVAREP_feature_extraction.m writes a `.mat` file
into the same folder, with a matrix `features`, one row per 10 ms, and the `names` of its columns.
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
from ser.features import Level, Location, PrecomputedFeatures
from ser.features.checks import require_dim

SUFFIXES = (".mat", ".csv")
# The 74 columns of the script since 2014; assumed for a file of 74 columns without names.
NAMES = (
    *("F0", "VUV", "NAQ", "QOQ", "H1H2", "PSP", "MDQ", "peakSlope", "Rd", "Rd_conf", "creak"),
    *(f"MCEP_{number}" for number in range(25)),
    *(f"HMPDM_{number}" for number in range(25)),
    *(f"HMPDD_{number}" for number in range(13)),
)
EXPECTED_ROOT = "a folder with one .mat or .csv file of COVAREP per recording"


@dataclass
class Covarep(PrecomputedFeatures):
    """Selected columns of COVAREP's files, one file per recording.

    Values that are not finite become 0. COVAREP's script does the same with NaN, but not with the
    infinite values that H1-H2 and others can have. No code in a file is executed.

    Attributes:
        level: "frame".
        dim: D, the number of `names`.
        root: Folder with one file per recording: `03a01Fa.mat` or `03a01Fa.csv` for `03a01Fa.wav`.
            `.mat` files must be of version 7 or earlier; the first line of a `.csv` file has the
            names. A file without names must have the columns `NAMES`.
        names: Columns, by COVAREP's names.
        hop: Seconds from one row to the next; row t covers [t * hop, (t + 1) * hop).
    """

    level: Level
    dim: int
    root: str | None
    names: list[str]
    hop: float

    def __post_init__(self) -> None:
        if self.level != "frame":
            raise UserError(f"Covarep: level must be frame, not {self.level}")
        if not self.hop > 0:
            raise UserError("Covarep: hop must be above 0")
        if not self.names or len(set(self.names)) < len(self.names):
            raise UserError("Covarep: names must list one or more columns, each of them once")
        if not self.root:
            raise UserError(f"features.root is not set: give features.root=... ({EXPECTED_ROOT})")
        if not self._folder.is_dir():
            raise UserError(f"features.root={self.root}: no such folder; expected {EXPECTED_ROOT}")

    @cached_property
    def signature(self) -> str:
        names = hashlib.blake2b("\n".join(self.names).encode(), digest_size=8).hexdigest()
        return f"covarep,scipy-{version('scipy')},{self.hop},{len(self.names)},{names}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names; raises UserError if their number is not `dim`."""
        return require_dim("features.names", self.dim, tuple(self.names))

    def locate(self, utterance: str, audio: Path) -> Location:
        """Return the `.mat` or `.csv` file that has the name of an audio file.

        Raises:
            UserError: Neither of the two files exists, or both do.
        """
        names = [f"{audio.stem}{suffix}" for suffix in SUFFIXES]
        existing = [path for name in names if (path := self._folder / name).is_file()]
        if len(existing) != 1:
            listing = ("both {} and {}" if existing else "neither {} nor {}").format(*names)
            raise UserError(f"no features of COVAREP: {self._folder} has {listing}")
        return Location(existing[0])

    def read(self, file: Path, start: float, end: float, entry: str | None = None) -> np.ndarray:
        """Read the selected columns of one utterance.

        Args:
            file: A `.mat` or `.csv` file.
            start: Seconds; NaN: the beginning of the recording.
            end: Seconds; NaN: the end of the recording.
            entry: None.

        Returns:
            (T, D) float32, finite.

        Raises:
            UserError: The file was not written by COVAREP, is of MATLAB's version 7.3, lacks a
                selected column, has no frames from start to end, or has no finite value there.
        """
        values, names = (_read_mat if file.suffix == ".mat" else _read_csv)(file)
        if missing := [name for name in self.names if name not in names]:
            raise UserError(
                f"has no column {', '.join(missing)}; its columns are {', '.join(names)}. "
                "Choose others: features.names=[...] features.dim=..."
            )
        first = 0 if math.isnan(start) else round(start / self.hop)
        last = len(values) if math.isnan(end) else round(end / self.hop)
        selected = values[first:last, [names.index(name) for name in self.names]]
        if not len(selected):
            raise UserError(
                f"has no frame between the given times: it has {len(values)} frames, "
                f"{len(values) * self.hop:g} s"
            )
        with np.errstate(over="ignore"):  # values beyond float32 become infinite
            selected = selected.astype(np.float32)
        if not np.isfinite(selected).any():
            raise UserError("has no value that is finite")
        return np.nan_to_num(selected, nan=0.0, posinf=0.0, neginf=0.0)

    @property
    def _folder(self) -> Path:
        return Path(str(self.root)).expanduser().absolute()


def _read_mat(file: Path) -> tuple[np.ndarray, list[str]]:
    """Read (T, columns) values and the column names from a `.mat` file."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(file, variable_names=["features", "names"])
    except NotImplementedError:  # scipy raises it for files that are HDF5 inside
        raise UserError(
            "is of MATLAB's version 7.3; save it again: save(file, 'features', 'names', '-v7')"
        ) from None
    except (MatReadError, OSError, ValueError, TypeError, EOFError, zlib.error) as error:
        raise UserError(f"unreadable as a .mat file ({error})") from error
    values = content.get("features")
    if values is None or values.ndim != 2 or values.dtype.kind not in "fiu":
        raise UserError("has no matrix of numbers called features, as files of COVAREP have")
    # A cell array of character arrays: an array of arrays of one string each.
    cells = content.get("names", np.empty(0, object)).ravel()
    return _with_names(values, [str(np.asarray(cell).squeeze()).strip() for cell in cells])


def _read_csv(file: Path) -> tuple[np.ndarray, list[str]]:
    """Read (T, columns) values and the names from a `.csv` file, with or without a header."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as stream:
            rows = [row for row in csv.reader(stream) if row]
        first = rows[0] if rows else []
        names = [] if first and _is_number(first[0]) else [cell.strip() for cell in first]
        body = rows[1:] if names else rows
        values = np.array([[float(cell or "nan") for cell in row] for row in body], np.float64)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"unreadable as a table of numbers ({error})") from error
    return _with_names(values if body else np.empty((0, len(names))), names)


def _with_names(values: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """Return the values and their column names, which are `NAMES` where the file has none."""
    if not names and values.shape[1] == len(NAMES):
        names = list(NAMES)
    if not names or len(names) != values.shape[1]:
        raise UserError(
            f"has {values.shape[1]} columns and {len(names)} names; a file without names must "
            f"have the {len(NAMES)} columns of COVAREP"
        )
    return values, names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
