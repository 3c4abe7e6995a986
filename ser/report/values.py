"""Scores of values in a report: CCC, Pearson's correlation, RMSE and MAE, of moments."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ser import metrics
from ser.report.scoring import Predictions, Score, Scoring
from ser.report.statistics import resampled_ccc

# Truth and prediction are counted in squares for the figure. Ratings are from 1 to 5. Means of two
# or three raters fall evenly into squares of a third, and none on an edge.
STEP, LOWEST, SQUARES = 1 / 3, 1 - 1 / 12, 13
ABOUT = (
    "CCC: concordance correlation coefficient (Lin 1989) of all predictions of a seed; 1 is best, "
    "and constant predictions have 0. ±: standard deviation over seeds, the variation between "
    "repeated trainings. 95% over speakers: confidence interval by a bootstrap over the tested "
    "speakers, the variation between speakers; coarse for few speakers. Pearson: correlation, "
    "which ignores wrong means and spreads. RMSE and MAE: errors on the scale of the ratings; 0 is "
    "best. Range of folds: lowest and highest CCC of a fold, mean over seeds; CCC is lower where "
    "the truth varies less, so that a fold of few speakers can be far from the pooled score."
)


@dataclass(frozen=True)
class ValuePredictions(Predictions):
    """Predicted values.

    Attributes:
        true, predicted: (N,) values.
    """

    true: np.ndarray
    predicted: np.ndarray

    def at(self, rows: np.ndarray) -> "ValuePredictions":
        return ValuePredictions(self.true[rows], self.predicted[rows])

    @property
    def truth(self) -> np.ndarray:
        return self.true

    def marks(self) -> np.ndarray:
        return self.true.view(np.uint64) | np.uint64(1)

    def sums(self) -> np.ndarray:
        # Sorted, so that sums are equal in any order.
        order = np.lexsort((self.predicted, self.true))
        return metrics.moments(self.true[order], self.predicted[order])

    def details(self) -> np.ndarray:
        squares = np.zeros((SQUARES, SQUARES), np.int64)
        np.add.at(squares, (square(self.true), square(self.predicted)), 1)
        return squares

    def by_code(self, codes: np.ndarray, count: int) -> np.ndarray:
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=count))[:-1]
        return np.stack([self.at(each).sums() for each in np.split(order, ends)])


@dataclass(frozen=True)
class ValueScoring(Scoring):
    """Scoring of values: sums are moments (7,), details counts (SQUARES, SQUARES) by truth."""

    classes: tuple[str, ...] = ()

    scores = (
        Score(
            *("ccc", "CCC", "chance_ccc"),
            in_percent=False,
            difference="CCC",
            about="concordance correlation coefficient; 1 is best",
        ),
        Score("pearson", "Pearson", in_percent=False, about="correlation"),
        Score("rmse", "RMSE", in_percent=False, about="root mean square error; 0 is best"),
        Score("mae", "MAE", in_percent=False, about="mean absolute error; 0 is best"),
    )
    beside = "rmse"
    limits = (-1.0, 1.0)
    figures = frozenset({"density", "codes"})
    about = ABOUT
    about_slices = (
        "CCC / RMSE, mean over seeds. CCC is lower where the truth varies less; RMSE is not."
    )
    about_gaps = (
        "CCC is lower in a group whose true values vary less: compare the RMSE of the groups, too, "
        "which is among the slices."
    )
    chance_name = chance_row = "chance"
    has_proportions = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (metrics.MOMENTS,)

    @property
    def details(self) -> tuple[int, ...]:
        return SQUARES, SQUARES

    value = pa.float64()

    @property
    def probabilities(self) -> list[str]:
        return []

    def predictions(self, table: pa.Table) -> ValuePredictions:
        columns = (table[name].cast(pa.float64()) for name in ("truth", "prediction"))
        true, predicted = (column.to_numpy() for column in columns)
        if not (np.isfinite(true).all() and np.isfinite(predicted).all()):
            raise ValueError("a truth or prediction is not a finite number")
        return ValuePredictions(true, predicted)

    def require_recorded(self, recorded: Mapping[str, Any], sums: np.ndarray) -> None:
        for name, score in metrics.value_scores(sums).items():
            known = recorded[name]
            # The values of the file are rounded to nine digits.
            if not (math.isnan(score) if known is None else _close(score, known)):
                raise ValueError(f"another {name.upper()}")

    def recorded(self, scores: Mapping[str, Any]) -> None:
        return None

    def count(self, sums: np.ndarray) -> np.ndarray:
        return sums[..., 0].astype(np.int64)

    def of(self, sums: np.ndarray, details: np.ndarray | None = None) -> dict[str, np.ndarray]:
        functions = (metrics.ccc, metrics.pearson, metrics.rmse, metrics.mae)
        scores = {s.name: f(sums) for s, f in zip(self.scores, functions, strict=True)}
        return scores | {"chance_ccc": np.where(np.isnan(scores["ccc"]), np.nan, 0.0)}

    def by_class(self, sums: np.ndarray) -> np.ndarray:
        return np.empty((*sums.shape[:-1], 0))

    def resampled(self, sums: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return resampled_ccc(sums, drawn)

    def support(self, truth: np.ndarray) -> np.ndarray:
        return np.empty(0, np.int64)

    def described(self, truth: np.ndarray) -> dict[str, Any]:
        mean, sd = (truth.mean(), truth.std()) if len(truth) else (math.nan, math.nan)
        return {"truth_mean": mean, "truth_sd": sd}

    def spelled(self, truth: np.ndarray) -> str:
        return f"mean {truth.mean():.2f}, standard deviation {truth.std():.2f}"

    def chance_spelled(self, chance: Mapping[str, float]) -> str:
        return "chance CCC 0"


def square(values: np.ndarray) -> np.ndarray:
    """Return the number of the square of each value; the outer ones have what lies beyond."""
    return np.clip(np.floor((values - LOWEST) / STEP), 0, SQUARES - 1).astype(np.int64)


def _close(score: float, known: float) -> bool:
    return math.isclose(score, known, abs_tol=1e-6) or (math.isnan(score) and math.isnan(known))
