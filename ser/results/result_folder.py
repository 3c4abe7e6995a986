"""Folders with predictions on one corpus, and the digests of their files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ser.corpora.formulas import csv_text, restored
from ser.errors import UserError
from ser.results.files import changed_files, digests_of, read_sealed, write_sealed, write_text
from ser.results.tables import TASK

NINE_DIGITS = "%.9g"
OUTCOMES = ("truth", "prediction")  # columns with classes or values
EVALUATION = "evaluation.json"
PREDICTIONS, UTTERANCES = "predictions.csv", "utterances.csv"


@dataclass(frozen=True)
class ResultFolder:
    """A folder with the predictions of one run on one corpus.

    Args:
        path: Path of the folder.
    """

    path: Path

    # Name of the file with scores and facts, which is written last.
    RECORD: ClassVar[str]
    # What to do if a file is damaged.
    REMEDY: ClassVar[str]

    @property
    def record_file(self) -> Path:
        return self.path / self.RECORD

    @property
    def predictions_file(self) -> Path:
        return self.path / PREDICTIONS

    @property
    def utterances_file(self) -> Path:
        return self.path / UTTERANCES

    @property
    def is_finished(self) -> bool:
        return self.record_file.exists()

    def read_record(self) -> dict[str, Any] | None:
        """Return scores and facts, or None if the folder is not finished.

        Raises:
            UserError: The file is damaged.
        """
        try:
            return read_sealed(self.record_file)
        except UserError as error:
            raise UserError(f"{error}; {self.REMEDY}") from None

    def write_record(self, content: Mapping[str, Any]) -> None:
        """Mark the folder as finished, with the digests of its files."""
        digests = digests_of(self.path, self._names())
        write_sealed(self.record_file, {**content, "digests": digests})

    def _names(self) -> list[str]:
        """Return the names of the files that scores and later predictions rest on."""
        return [PREDICTIONS, UTTERANCES]

    def require_intact(self, record: Mapping[str, Any], *prefixes: str) -> None:
        """Verify files by the digests of a record; a record of an earlier version has none.

        Args:
            record: Content of the record file.
            prefixes: Beginnings of the names of the files; none: all files.

        Raises:
            UserError: A file is missing, or has changed.
        """
        digests = record.get("digests") or {}
        names = {n: d for n, d in digests.items() if not prefixes or n.startswith(prefixes)}
        for message in changed_files(self.path, names):
            raise UserError(f"{message} ({self.RECORD} has its digest); {self.REMEDY}")

    def read_predictions(self) -> pd.DataFrame:
        """Return the table of `predictions.csv`: ids and class names as strings, values as floats.

        A table without columns of probabilities has values. With several tasks, rows without
        probabilities have values.
        """
        types = {name: str for name in ("utterance", "part", TASK, *OUTCOMES)}
        table = pd.read_csv(self.predictions_file, dtype=types, keep_default_na=False)
        probabilities = [name for name in table if str(name).startswith("p_")]
        if not probabilities:
            table = table.astype(dict.fromkeys(OUTCOMES, float))
        elif TASK in table:
            shares = [name for name in table if str(name).startswith("t_")]
            for name in (*probabilities, *shares):
                table[name] = table[name].replace("", np.nan).astype(float)
            is_value = table[probabilities].isna().all(axis=1)
            numbers = {name: table.loc[is_value, name].astype(float) for name in OUTCOMES}
            # Strings of the classes of other tasks, and floats, in one column.
            table = table.astype(dict.fromkeys(OUTCOMES, object))
            for name, column in numbers.items():
                table.loc[is_value, name] = column
        return restored(table)

    def write_predictions(self, table: pd.DataFrame) -> None:
        # Nine digits restore every float32 exactly.
        mixed = {
            name: table[name].map(_rounded) for name in OUTCOMES if table[name].dtype == object
        }
        write_text(self.predictions_file, csv_text(table.assign(**mixed), NINE_DIGITS))

    def read_utterances(self) -> pd.DataFrame:
        """Return the table of `utterances.csv`, all columns as strings."""
        return restored(pd.read_csv(self.utterances_file, dtype=str, keep_default_na=False))

    def write_utterances(self, table: pd.DataFrame) -> None:
        write_text(self.utterances_file, csv_text(table))


@dataclass(frozen=True)
class EvaluationFolder(ResultFolder):
    """Results of a finished run on a corpus other than its own."""

    RECORD = EVALUATION
    REMEDY = "remove the folder and evaluate the run again"


def _rounded(outcome: Any) -> Any:
    """Return a value that stands among class names with nine digits."""
    return float(NINE_DIGITS % outcome) if isinstance(outcome, float) else outcome
