"""Scores of classes in a report: UA, WA, F1 and calibration, of confusion matrices."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from ser import metrics
from ser.report.scoring import Predictions, Score, Scoring
from ser.report.statistics import resampled_ua
from ser.report.text import percent
from ser.results import PREDICTIONS, RESULT

SUMMED = ("ua", "wa", "f1", "chance_ua", "majority_wa")
ABOUT = (
    "±: standard deviation over seeds, the variation between repeated trainings. 95% over "
    "speakers: confidence interval by a bootstrap over the tested speakers, the variation "
    "between speakers; coarse for few speakers. Range of folds: lowest and highest UA of a "
    "fold, mean over seeds. p (chance): two-sided binomial test of UA against chance level, "
    "with UA treated as the share of correct predictions among the utterances of one seed; "
    "approximate, because utterances of one speaker are not independent, and not corrected for "
    "the number of systems. ECE: expected "
    "calibration error over 15 bins of the highest probability; 0 is best, and small samples "
    "increase it."
)


@dataclass(frozen=True)
class ClassPredictions(Predictions):
    """Predicted classes.

    Attributes:
        size: Number of classes.
        true, predicted: (N,) numbers of classes.
        confidence: (N,) probabilities of the predicted classes.
    """

    size: int
    true: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    def at(self, rows: np.ndarray) -> "ClassPredictions":
        return ClassPredictions(
            self.size, self.true[rows], self.predicted[rows], self.confidence[rows]
        )

    @property
    def truth(self) -> np.ndarray:
        return self.true.astype(np.int16)

    @cached_property
    def flat(self) -> np.ndarray:
        """Number of the cell of the flattened confusion matrix, (N,)."""
        return self.true * self.size + self.predicted

    def marks(self) -> np.ndarray:
        return (2 * self.true + 1).astype(np.uint64)

    def sums(self) -> np.ndarray:
        return np.bincount(self.flat, minlength=self.size**2).reshape(self.size, self.size)

    def details(self) -> np.ndarray:
        return metrics.reliability(self.confidence, self.true == self.predicted)

    def by_code(self, codes: np.ndarray, count: int) -> np.ndarray:
        counts = np.bincount(codes * self.size**2 + self.flat, minlength=count * self.size**2)
        return counts.reshape(count, self.size, self.size)


@dataclass(frozen=True)
class ClassScoring(Scoring):
    """Scoring of classes: sums are confusion matrices (C, C), details reliabilities (BINS, 3)."""

    classes: tuple[str, ...]

    scores = (
        Score(
            *("ua", "UA", "chance_ua", "chance UA"),
            difference="points of UA",
            about="mean of the recalls of all classes",
        ),
        Score("wa", "WA", "majority_wa", "majority class WA", about="share of correct predictions"),
        Score("f1", "F1", about="mean of the F1 scores of all classes"),
    )
    more = (Score("ece", "ECE"),)
    beside = "wa"
    limits = (0.0, 1.0)
    figures = frozenset({"confusions", "reliability", "codes"})
    about = ABOUT
    about_slices = "UA / WA in %, mean over seeds. UA is over the classes that occur in a slice."
    chance_name = "chance, majority class"
    chance_row = "chance (UA), largest class (WA)"
    has_proportions = True

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.classes), len(self.classes)

    @property
    def details(self) -> tuple[int, ...]:
        return metrics.BINS, 3

    value = pa.string()

    @property
    def probabilities(self) -> list[str]:
        return [f"p_{name}" for name in self.classes]

    def predictions(self, table: pa.Table) -> ClassPredictions:
        names = pa.array(self.classes, pa.string())
        true, predicted = (
            pyarrow.compute.fill_null(pyarrow.compute.index_in(table[column], names), -1).to_numpy()
            for column in ("truth", "prediction")
        )
        if min(true.min(initial=0), predicted.min(initial=0)) < 0:
            raise ValueError(f"{PREDICTIONS} has a class that {RESULT} lacks")
        confidence = np.max([table[name].to_numpy() for name in self.probabilities], axis=0)
        return ClassPredictions(len(self.classes), true, predicted, confidence)

    def require_recorded(self, recorded: Mapping[str, Any], sums: np.ndarray) -> None:
        if recorded["confusion"] != sums.tolist():
            raise ValueError("another confusion matrix")
        for name, score in metrics.scores(sums).items():
            if not math.isclose(score, recorded[name], abs_tol=1e-9):
                raise ValueError(f"another {name.upper()}")

    def recorded(self, scores: Mapping[str, Any]) -> np.ndarray:
        return np.array(scores["confusion"])

    def count(self, sums: np.ndarray) -> np.ndarray:
        return sums.sum(axis=(-2, -1))

    def of(self, sums: np.ndarray, details: np.ndarray | None = None) -> dict[str, np.ndarray]:
        leading = sums.shape[:-2]
        flat = sums.reshape(-1, *sums.shape[-2:])
        known = [metrics.scores(each) if each.any() else {} for each in flat]
        scores = {
            name: np.array([each.get(name, np.nan) for each in known]).reshape(leading)
            for name in SUMMED
        }
        if details is not None:
            bins = details.reshape(-1, *details.shape[-2:])
            errors = [metrics.expected_calibration_error(each) for each in bins]
            scores["ece"] = np.reshape(errors, leading)
        return scores

    def by_class(self, sums: np.ndarray) -> np.ndarray:
        return metrics.recalls(sums)

    def resampled(self, sums: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        return resampled_ua(sums, drawn)

    def lacks_class(self, sums: np.ndarray) -> bool:
        return bool((sums.sum(axis=-1) == 0).any())

    def support(self, truth: np.ndarray) -> np.ndarray:
        return np.bincount(truth.astype(int), minlength=len(self.classes))

    def described(self, truth: np.ndarray) -> dict[str, Any]:
        counts = zip(self.classes, self.support(truth), strict=True)
        return {"classes": " ".join(f"{name}:{count}" for name, count in counts)}

    def spelled(self, truth: np.ndarray) -> str:
        counts = zip(self.classes, self.support(truth), strict=True)
        return ", ".join(f"{name} {count:,}" for name, count in counts)

    def chance_spelled(self, chance: Mapping[str, float]) -> str:
        ua, wa = (percent(chance[name]) for name in ("chance_ua", "majority_wa"))
        return f"chance UA {ua}, majority class WA {wa}"
