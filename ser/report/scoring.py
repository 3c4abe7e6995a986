"""How predictions are counted, scored and shown, depending on the kind of their target.

The predictions of a split are reduced to sums that add up over folds, speakers and seeds: confusion
matrices of classes (`ser.report.classes`), moments of values (`ser.report.values`). Scores are
functions of sums. The rest of a report knows a target by its `Scoring` alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from ser.report.text import NONE, percent


@dataclass(frozen=True)
class Score:
    """A score, and how it is shown.

    Attributes:
        name: Name in files.
        title: Name in tables and figures.
        chance: Name of the score of a prediction that ignores the audio; None: it has none.
        chance_title: Title of its column; empty if it is the same for all cells.
        in_percent: Whether it is shown in %; else with three decimals.
        difference: What a difference is measured in.
        about: What it is, in a few words.
    """

    name: str
    title: str
    chance: str | None = None
    chance_title: str = ""
    in_percent: bool = True
    difference: str = ""
    about: str = ""

    @property
    def own_chance(self) -> list[str]:
        """The name of the chance level, if cells differ in it."""
        return [self.chance] if self.chance and self.chance_title else []

    @property
    def factor(self) -> int:
        return 100 if self.in_percent else 1

    @property
    def axis(self) -> str:
        """Title of an axis."""
        return f"{self.title} in %" if self.in_percent else self.title

    def text(self, value: float, digits: int = 1) -> str:
        """Format a score; `digits` is of percentages."""
        if self.in_percent:
            return percent(value, digits)
        return NONE if np.isnan(value) else f"{value:.3f}"

    def spread(self, mean: float, sd: float, digits: int = 1) -> str:
        """Format mean and standard deviation; the mean alone if sd is NaN."""
        return self.text(mean, digits) + ("" if np.isnan(sd) else f" ± {self.text(sd, digits)}")

    def interval(self, limits: tuple[float, float] | None) -> str:
        return NONE if limits is None else f"{self.text(limits[0])} to {self.text(limits[1])}"

    def signed(self, difference: float) -> str:
        """Format a difference of scores with its sign."""
        return f"{100 * difference:+.1f}" if self.in_percent else f"{difference:+.3f}"


class Predictions(ABC):
    """N predictions of one run."""

    @abstractmethod
    def at(self, rows: np.ndarray) -> "Predictions":
        """Return the predictions of some rows, e.g. of a split."""

    @property
    @abstractmethod
    def truth(self) -> np.ndarray:
        """Numbers of classes, or values, (N,)."""

    @abstractmethod
    def marks(self) -> np.ndarray:
        """Return an odd uint64 for each truth, for digests: equal truths have equal ones."""

    @abstractmethod
    def sums(self) -> np.ndarray:
        """Return sums that scores are computed from."""

    @abstractmethod
    def details(self) -> np.ndarray:
        """Return sums that figures are drawn from."""

    @abstractmethod
    def by_code(self, codes: np.ndarray, count: int) -> np.ndarray:
        """Return the sums (count, ...) of the predictions with each code, (N,)."""


class Scoring(ABC):
    """Counts, scores and texts of a kind of target.

    Attributes:
        scores: Scores in the order of tables; the first one is primary.
        more: Further scores, of calibration.
        beside: Name of the score that is shown beside the primary one.
        limits: Lowest and highest possible value of the primary score.
        figures: Names of the figures that are drawn.
        shape, details: Shapes of both kinds of sums, see `Predictions`.
        classes: C names; empty for values.
        about: How to read the table of scores.
        about_slices: How to read the table of slices.
        about_gaps: How to read the table of gaps between groups, beyond what holds for all scores.
        chance_name, chance_row: Names of rows of chance levels on the terminal.
        has_proportions: Whether the primary score may be treated as a share of utterances.
        value: Type of truth and prediction in `predictions.csv`.
    """

    scores: ClassVar[tuple[Score, ...]]
    more: ClassVar[tuple[Score, ...]] = ()
    beside: ClassVar[str]
    limits: ClassVar[tuple[float, float]]
    figures: ClassVar[frozenset[str]]
    about: ClassVar[str]
    about_slices: ClassVar[str]
    about_gaps: ClassVar[str] = ""
    chance_name: ClassVar[str]
    chance_row: ClassVar[str]
    has_proportions: ClassVar[bool]
    value: ClassVar[pa.DataType]
    classes: tuple[str, ...]

    @property
    def primary(self) -> Score:
        return self.scores[0]

    @property
    def second(self) -> Score:
        return self.score(self.beside)

    def score(self, name: str) -> Score:
        return next(each for each in (*self.scores, *self.more) if each.name == name)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]: ...

    @property
    @abstractmethod
    def details(self) -> tuple[int, ...]: ...

    # ---- reading

    @property
    @abstractmethod
    def probabilities(self) -> list[str]:
        """Columns of probabilities in `predictions.csv`."""

    @abstractmethod
    def predictions(self, table: pa.Table) -> Predictions:
        """Return the predictions of a table.

        Raises:
            ValueError: It has something that the target has not.
        """

    @abstractmethod
    def require_recorded(self, recorded: Mapping[str, Any], sums: np.ndarray) -> None:
        """Raise a ValueError unless recorded scores of a split are those of its sums."""

    @abstractmethod
    def recorded(self, scores: Mapping[str, Any]) -> np.ndarray | None:
        """Return the sums of recorded scores; None if they do not have them."""

    # ---- scores of sums

    @abstractmethod
    def count(self, sums: np.ndarray) -> np.ndarray:
        """Return the number of predictions, (...)."""

    @abstractmethod
    def of(self, sums: np.ndarray, details: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return all scores and chance levels by name, (...); NaN without predictions.

        Args:
            sums: `(..., *shape)`.
            details: `(..., *details)`; None: without the scores of `more`.
        """

    @abstractmethod
    def by_class(self, sums: np.ndarray) -> np.ndarray:
        """Return recalls (..., C), NaN for a class without utterances."""

    @abstractmethod
    def resampled(self, sums: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the primary score of resampled speakers, mean over seeds, (B,).

        Args:
            sums: `(S, K, *shape)` by seed and speaker.
            drawn: (B, K) how often each speaker is drawn.
        """

    def lacks_class(self, sums: np.ndarray) -> bool:
        """Return whether any of the sums `(..., *shape)` lacks a class."""
        return False

    # ---- texts

    @abstractmethod
    def support(self, truth: np.ndarray) -> np.ndarray:
        """Return the number of utterances of each class, (C,), of the truth (U,)."""

    @abstractmethod
    def described(self, truth: np.ndarray) -> dict[str, Any]:
        """Return columns of `scores.csv` that describe the truth (U,) of distinct utterances."""

    @abstractmethod
    def spelled(self, truth: np.ndarray) -> str:
        """Return what describes the truth (U,) of distinct utterances, in words."""

    @abstractmethod
    def chance_spelled(self, chance: Mapping[str, float]) -> str:
        """Return chance levels in words."""

    # ---- files

    @property
    def score_columns(self) -> list[str]:
        """Columns of `scores.csv` that only this kind of target has."""
        name = self.primary.name
        columns = [*self.described(np.empty(0)), name]
        columns += [f"{name}_{kind}" for kind in ("sd", "low", "high")]
        columns += [*self.primary.own_chance, *(["p_chance"] if self.has_proportions else [])]
        for each in (*self.scores[1:], *self.more):
            columns += [each.name, f"{each.name}_sd", *each.own_chance]
        return [*columns, *(f"fold_{name}_{kind}" for kind in ("sd", "min", "max"))]

    @property
    def run_columns(self) -> list[str]:
        """Columns of `runs.csv` that only this kind of target has."""
        chance = [name for each in self.scores for name in each.own_chance]
        return [*(s.name for s in self.scores), *chance, *(s.name for s in self.more)]


def units(scorings: Sequence[Scoring]) -> str:
    """Return what differences of primary scores are measured in, e.g. "points of UA or CCC"."""
    return " or ".join(dict.fromkeys(each.primary.difference for each in scorings))


def titles(scorings: Sequence[Scoring]) -> str:
    """Return the names of primary scores, e.g. "UA" or "UA or CCC"."""
    return " or ".join(dict.fromkeys(each.primary.title for each in scorings))
