"""The Python API: train runs, load them, predict with them, and read what they have left.

Everything here is also an attribute of `ser`: `ser.load`, `ser.train`, ... Functions take and
return plain Python, numpy and pandas. An error that the caller can correct is a `ser.UserError`,
whose message names what is wrong, where, and what would be right.
"""

from ser.api.data import extract, read_corpus
from ser.api.run import Run, load
from ser.api.tables import read_predictions, read_runs
from ser.api.training import train
from ser.errors import UserError

__all__ = [
    "Run",
    "UserError",
    "extract",
    "load",
    "read_corpus",
    "read_predictions",
    "read_runs",
    "train",
]
