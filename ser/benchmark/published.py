"""Published results: systems with their predictions, beside the splits they were made on::

    <corpus>_<target>_<fold>/           protocol folder, see `ser.benchmark.splits`
        splits.csv, splits.json
        <system>/
            submission.json             what the system is
            config.yaml                 configuration of the runs, of systems of this project
            fold-0/seed-0/
                predictions.csv.gz      utterance, part, prediction, p_<class>; or predictions.csv
                result.json             scores; of runs of this project, with all facts
                cost.json               seconds, date, commit
                speakers.json           sums of the test split by speaker, where truth is withheld

The truth is in the split files, once, or else in the corpus. Only `submission.json` and the
predictions are needed; see docs/guide/submissions.md.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from ser import metrics
from ser.benchmark.splits import FACTS, TRUTH, Splits, read_splits
from ser.benchmark.tables import read_table
from ser.config import stored
from ser.errors import UserError
from ser.results import COST, PREDICTIONS, RESULT, confusion, read_json, read_sealed, split_moments

SUBMISSION, CONFIG, BY_SPEAKER = "submission.json", "config.yaml", "speakers.json"
COMPRESSED = f"{PREDICTIONS}.gz"
RUN = re.compile(r"fold-(\d+)/seed-(\d+)")


@dataclass(frozen=True)
class PublishedRun:
    """The results of one fold and seed.

    Attributes:
        path: Its folder.
        fold: Number of the fold.
        seed: Random seed.
        splits: Splits of the protocol.
    """

    path: Path
    fold: int
    seed: int
    splits: Splits

    @property
    def name(self) -> str:
        """The path of the run in the folder of its system."""
        return f"fold-{self.fold}/seed-{self.seed}"

    @property
    def predictions_file(self) -> Path:
        plain = self.path / PREDICTIONS
        return plain if plain.exists() else self.path / COMPRESSED

    @cached_property
    def record(self) -> dict[str, Any]:
        """Content of `result.json`; empty if there is none.

        Raises:
            UserError: It is damaged.
        """
        return read_sealed(self.path / RESULT) or {}

    @cached_property
    def cost(self) -> dict[str, Any]:
        """Content of `cost.json`; empty if there is none.

        Raises:
            UserError: It is damaged.
        """
        return read_sealed(self.path / COST) or {}

    def predictions(self) -> pd.DataFrame:
        """Return the table of predictions.

        Returns:
            Columns `utterance, part`, `truth` where it is known, `prediction`, and for classes
            `p_<class>`. Without a column `part`, all rows are of the test split.

        Raises:
            UserError: The file is missing or damaged, or lacks a column.
        """
        table = read_table(self.predictions_file, ["utterance", "prediction"])
        if "part" not in table:
            table.insert(1, "part", "test")
        if not self.splits.classes:
            try:
                table["prediction"] = table["prediction"].astype(float)
            except ValueError as error:
                raise UserError(f"{self.predictions_file}: {error}") from None
        if self.splits.truth is not None:
            truth = self.splits.truth.reindex(table["utterance"]).to_numpy()
            table = table.drop(columns=TRUTH, errors="ignore")
            table.insert(2, TRUTH, truth)
        return table

    def by_speaker(self) -> dict[str, np.ndarray]:
        """Return sums of the test split by speaker, from which all but calibration follows.

        They are computed from predictions and truth, or else read from `speakers.json`.

        Returns:
            A confusion matrix (C, C) for each speaker, or moments (7,) as of `ser.metrics.moments`.

        Raises:
            UserError: A file is missing or damaged.
        """
        table = self.predictions()
        return sums_by_speaker(table, self.splits) if TRUTH in table else self.recorded_sums()

    def recorded_sums(self) -> dict[str, np.ndarray]:
        """Return the sums of `speakers.json`, (C, C) or (7,) each.

        Raises:
            UserError: It is missing or damaged.
        """
        content = read_json(self.path / BY_SPEAKER)
        if content is None:
            raise UserError(f"{self.path / BY_SPEAKER} is missing, and the truth is not published")
        count = len(self.splits.classes)
        shape = (count, count) if count else (metrics.MOMENTS,)
        try:
            sums = {name: np.asarray(each, float) for name, each in content.items()}
        except (TypeError, ValueError):
            sums = {}
        if not sums or any(each.shape != shape for each in sums.values()):
            raise UserError(f"{self.path / BY_SPEAKER} is damaged: not sums of shape {shape}")
        return {name: each.astype(np.int64) if count else each for name, each in sums.items()}


@dataclass(frozen=True)
class Submission:
    """A system with its results on one corpus and target.

    Attributes:
        path: Its folder.
        splits: Splits of the protocol.
        facts: Content of `submission.json`.
        runs: By fold and seed.
    """

    path: Path
    splits: Splits
    facts: Mapping[str, Any]
    runs: tuple[PublishedRun, ...]

    @property
    def system(self) -> str:
        return str(self.facts["system"])

    @cached_property
    def config(self) -> DictConfig | None:
        """The checked configuration of the runs, but for fold and seed; None: there is none.

        Raises:
            UserError: It is damaged, or names something that may not be built.
        """
        file = self.path / CONFIG
        return stored.read(file) if file.exists() else None

    def with_splits(self, splits: Splits) -> "Submission":
        """Return the same results with other splits, such as those with the truth."""
        runs = tuple(PublishedRun(r.path, r.fold, r.seed, splits) for r in self.runs)
        return Submission(self.path, splits, self.facts, runs)


def sums_by_speaker(table: pd.DataFrame, splits: Splits) -> dict[str, np.ndarray]:
    """Return sums of the test split by speaker, (C, C) or (7,) each.

    Args:
        table: Predictions with the truth.
        splits: Splits with the speakers.
    """
    test = table[table["part"] == "test"]
    speakers = splits.table["speaker"].reindex(test["utterance"]).fillna("").to_numpy()
    return {
        str(speaker): confusion(rows, "test", splits.classes)
        if splits.classes
        else split_moments(rows, "test")
        for speaker, rows in test.groupby(speakers)
    }


def read_published(folder: Path) -> list[Submission]:
    """Read all systems at or below a folder, sorted by path.

    Args:
        folder: A folder of protocol folders, a protocol folder, or the folder of a system.

    Raises:
        UserError: There is none, or a file that describes one is missing or damaged.
    """
    splits: dict[Path, Splits] = {}
    return [read_submission(path, splits) for path in submission_folders(folder)]


def submission_folders(folder: Path) -> list[Path]:
    """Return the folders of systems at or below a folder, sorted.

    Raises:
        UserError: There is none.
    """
    paths = sorted(file.parent for file in folder.rglob(SUBMISSION))
    if not paths:
        raise UserError(f"{folder}: no published results (no {SUBMISSION} at or below it)")
    return paths


def read_submission(path: Path, splits: dict[Path, Splits]) -> Submission:
    """Read one system.

    Args:
        path: Its folder.
        splits: Splits that were read before, by protocol folder; extended.

    Raises:
        UserError: A file that describes it is missing or damaged.
    """
    facts = read_sealed(path / SUBMISSION)
    if facts is None or not isinstance(facts.get("system"), str):
        raise UserError(f"{path / SUBMISSION} names no system")
    protocol = next((each for each in path.absolute().parents if (each / FACTS).exists()), None)
    if protocol is None:
        raise UserError(
            f"{path}: no {FACTS} in a folder above it; put the folder of the system into the "
            "folder of the splits that it was tested on"
        )
    if protocol not in splits:
        splits[protocol] = read_splits(protocol)
    own = splits[protocol]
    runs = []
    for folder in path.glob("*/*/"):
        if match := RUN.fullmatch(folder.relative_to(path).as_posix()):
            runs.append(PublishedRun(folder, int(match[1]), int(match[2]), own))
    if not runs:
        raise UserError(f"{path}: no folder fold-<number>/seed-<number>")
    ordered = sorted(runs, key=lambda run: (run.fold, run.seed))
    return Submission(path, own, facts, tuple(ordered))
