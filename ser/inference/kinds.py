"""What runs predict, classes or values of one task or of several: how it is shown and tested.

A prediction is a row of numbers: the probability of each class, or one value; of several tasks,
their rows side by side. Where several runs predict, the row is the mean of theirs.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ser.data.targets import Target, on_scale
from ser.errors import UserError

LABEL = "prediction"  # column with the name of a class, or a value
WIDE = 8  # columns of a table from which names are shortened, so that it fits into 80 characters


class Kind(ABC):
    """What runs predict.

    Attributes:
        NOUN: Name of the numbers of a row, in the plural.
    """

    NOUN: ClassVar[str]

    @property
    @abstractmethod
    def tasks(self) -> tuple["OneTask", ...]:
        """The tasks, in the order of their columns."""

    @property
    def width(self) -> int:
        """Length of a row."""
        return sum(task.width for task in self.tasks)

    @property
    @abstractmethod
    def outputs(self) -> dict[str, "OneTask"]:
        """The outputs of an exported model by name, with what each has."""

    def split(self, rows: np.ndarray) -> list[tuple["OneTask", np.ndarray]]:
        """Return each task with its part of a row or of rows, (..., width)."""
        ends = np.cumsum([task.width for task in self.tasks])[:-1]
        return list(zip(self.tasks, np.split(rows, ends, axis=-1), strict=True))

    @property
    @abstractmethod
    def has_probabilities(self) -> bool:
        """Whether rows contain probabilities."""

    @abstractmethod
    def cells(self, row: np.ndarray | None, calibrated: bool) -> dict[str, Any]:
        """Return the columns of a file for one prediction; None: there is none."""

    @abstractmethod
    def heads(self, columns: int) -> list[str]:
        """Return the heads of a printed table that has some columns besides."""

    @abstractmethod
    def printed(self, row: np.ndarray) -> list[str]:
        """Return the cells of a printed table for one prediction, with markup of rich."""

    @abstractmethod
    def plain(self, row: np.ndarray) -> dict[str, Any] | float:
        """Return one prediction as plain Python."""

    @abstractmethod
    def __str__(self) -> str:
        """What is predicted, for messages."""


class OneTask(Kind):
    """A task whose predictions can be compared with labels.

    Attributes:
        target: Name of the target.
        names: Names of the classes; none of a value.
    """

    target: str
    names: tuple[str, ...]

    @property
    def tasks(self) -> tuple["OneTask", ...]:
        return (self,)

    @property
    def outputs(self) -> dict[str, "OneTask"]:
        return {self.NOUN: self}

    @property
    @abstractmethod
    def width(self) -> int: ...

    @abstractmethod
    def stored(self, table: pd.DataFrame) -> np.ndarray:
        """Return the predictions of a table of `predictions.csv`, (N, width)."""

    @abstractmethod
    def testable(self, corpus: str, target: Target, own: pd.Series) -> pd.Series:
        """Return the labels of a corpus that can be compared with predictions.

        Args:
            corpus: Name of the corpus.
            target: Labels of the corpus.
            own: True labels of the validation and test splits of the run.

        Raises:
            UserError: There are none.
        """

    @abstractmethod
    def remarks(self, corpus: str, target: Target, tested: pd.Series) -> Iterator[str]:
        """Yield remarks on a test on another corpus.

        Args:
            corpus, target: As of `testable`.
            tested: The labels that were compared with predictions.
        """

    @abstractmethod
    def counts(self, labels: pd.Series) -> dict[str, int]:
        """Return the number of labels of each class; empty for values."""


@dataclass(frozen=True)
class Classes(OneTask):
    """One of some classes.

    Args:
        target: Name of the target.
        names: Names of the C classes, in the order of their probabilities.
    """

    target: str
    names: tuple[str, ...]

    NOUN = "probabilities"

    @property
    def width(self) -> int:
        return len(self.names)

    @property
    def has_probabilities(self) -> bool:
        return True

    def cells(self, row: np.ndarray | None, calibrated: bool) -> dict[str, Any]:
        known = [None] * self.width if row is None else list(map(rounded, row))
        return {
            LABEL: None if row is None else self.names[int(row.argmax())],
            **{f"p_{name}": p for name, p in zip(self.names, known, strict=True)},
            "calibrated": None if row is None else calibrated,
        }

    def heads(self, columns: int) -> list[str]:
        letters = 6 if self.width + columns < WIDE else 5
        return [LABEL, *(name[:letters] for name in self.names)]

    def printed(self, row: np.ndarray) -> list[str]:
        best = int(row.argmax())
        cells = [f"{100 * p:.1f}" for p in row]
        cells[best] = f"[bold]{cells[best]}[/bold]"
        return [self.names[best], *cells]

    def plain(self, row: np.ndarray) -> dict[str, float]:
        return dict(zip(self.names, map(rounded, row), strict=True))

    def stored(self, table: pd.DataFrame) -> np.ndarray:
        return table[[f"p_{name}" for name in self.names]].to_numpy(float)

    def testable(self, corpus: str, target: Target, own: pd.Series) -> pd.Series:
        labels = target.labels[target.labels.isin(self.names)]
        if labels.empty:
            raise UserError(
                f"{corpus} has only {', '.join(target.classes)}. Say which class corresponds to "
                f"which, e.g. 'target.merge={{{target.classes[0]}: {self.names[0]}}}'"
            )
        return labels

    def remarks(self, corpus: str, target: Target, tested: pd.Series) -> Iterator[str]:
        if absent := [name for name in self.names if name not in set(tested)]:
            names = ", ".join(absent)
            yield f"{corpus} has no utterances of {names}: predicting it is always wrong"
        unknown = target.labels[~target.labels.isin(self.names)].value_counts()
        if len(unknown):
            counts = ", ".join(f"{name} ({count})" for name, count in unknown.sort_index().items())
            yield f"left out of {corpus}, because training has no such class: {counts}"

    def counts(self, labels: pd.Series) -> dict[str, int]:
        return {name: int((labels == name).sum()) for name in self.names}

    def __str__(self) -> str:
        return f"{self.target}: {', '.join(self.names)}"


@dataclass(frozen=True)
class Value(OneTask):
    """A value, on the scale of the ratings of the training.

    Args:
        target: Name of the target.
    """

    target: str

    names = ()
    NOUN = "values"

    @property
    def width(self) -> int:
        return 1

    @property
    def has_probabilities(self) -> bool:
        return False

    def cells(self, row: np.ndarray | None, calibrated: bool) -> dict[str, Any]:
        return {LABEL: None if row is None else rounded(row[0])}

    def heads(self, columns: int) -> list[str]:
        return [self.target]

    def printed(self, row: np.ndarray) -> list[str]:
        return [f"{row[0]:.2f}"]

    def plain(self, row: np.ndarray) -> float:
        return rounded(row[0])

    def stored(self, table: pd.DataFrame) -> np.ndarray:
        return table[[LABEL]].to_numpy(float)

    def testable(self, corpus: str, target: Target, own: pd.Series) -> pd.Series:
        labels = target.labels
        if on_scale(labels) != on_scale(own):
            here, there = (f"{each.min():g} to {each.max():g}" for each in (labels, own))
            raise UserError(
                f"{self.target} of {corpus} is from {here}, but in its own corpus from {there}: "
                "CCC compares values on one scale; give that of a manifest's ratings, e.g. "
                f"corpus.scale=[{labels.min():g},{labels.max():g}], so that they become 1 to 5"
            )
        return labels

    def remarks(self, corpus: str, target: Target, tested: pd.Series) -> Iterator[str]:
        yield from ()

    def counts(self, labels: pd.Series) -> dict[str, int]:
        return {}

    def __str__(self) -> str:
        return f"{self.target}: a value"


@dataclass(frozen=True)
class Several(Kind):
    """Several tasks at once; rows have the predictions of all of them side by side.

    Args:
        parts: What is predicted of each.
    """

    parts: tuple[OneTask, ...]

    NOUN = "predictions"

    @property
    def tasks(self) -> tuple[OneTask, ...]:
        return self.parts

    @property
    def outputs(self) -> dict[str, OneTask]:
        return {task.target: task for task in self.tasks}

    @property
    def has_probabilities(self) -> bool:
        return any(task.has_probabilities for task in self.tasks)

    def cells(self, row: np.ndarray | None, calibrated: bool) -> dict[str, Any]:
        unknown = np.full(self.width, np.nan)
        columns = {}
        for task, own in self.split(unknown if row is None else row):
            cells = task.cells(None if row is None else own, calibrated)
            columns[task.target] = cells.pop(LABEL)
            cells.pop("calibrated", None)  # a temperature is fitted for one task only
            columns |= {f"p_{task.target}_{name[2:]}": cell for name, cell in cells.items()}
        return columns

    def heads(self, columns: int) -> list[str]:
        return [task.target for task in self.tasks]

    def printed(self, row: np.ndarray) -> list[str]:
        return [task.printed(own)[0] for task, own in self.split(row)]

    def plain(self, row: np.ndarray) -> dict[str, Any]:
        return {task.target: task.plain(own) for task, own in self.split(row)}

    def __str__(self) -> str:
        return "; ".join(map(str, self.tasks))


def kind_of(result: Mapping[str, Any]) -> Kind:
    """Return what a run predicts.

    Args:
        result: Content of `result.json`.
    """
    if "tasks" in result:
        return Several(tuple(_of_task(*each) for each in result["tasks"].items()))
    return _of_task(result["system"]["target"], result["classes"])


def _of_task(name: str, classes: Sequence[str]) -> OneTask:
    return Classes(name, tuple(classes)) if classes else Value(name)


def rounded(number: float) -> float:
    """Return a number to nine digits, which restore every float32, as `predictions.csv`."""
    return float(f"{number:.9g}")
