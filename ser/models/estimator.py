"""scikit-learn classifiers as they are: the classical reference of every table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ser.tuning import Choice, search


class Estimator:
    """A classifier behind a standardisation, its options chosen by inner folds over speakers.

    Probabilities are the softmax of the classifier's scores over one temperature, which is fitted
    on scores of speakers left out in turn; the most probable class is the one scored highest.

    Args:
        classifier: a scikit-learn classifier.
        grid: values to try for some of its options, e.g. {"C": [0.01, 0.1]}.
        jobs: inner fits at a time; changes no result.
    """

    level = "utterance"

    def __init__(
        self, *, classifier: ClassifierMixin, grid: Mapping[str, Sequence[Any]], jobs: int
    ) -> None:
        self.grid = {f"classifier__{option}": list(values) for option, values in grid.items()}
        self.jobs = jobs
        self.pipeline = Pipeline([("standardise", StandardScaler()), ("classifier", classifier)])

    def choose(self, x: np.ndarray, y: np.ndarray, speakers: np.ndarray) -> Choice:
        """Chooses the options, and keeps them for `fit`.

        Args:
            x: (N, D) features, not standardised.
            y: (N,) class indices.
            speakers: (N,) whom an inner fold leaves out.
        """
        choice = search(self.pipeline, self.grid, x, y, speakers, jobs=self.jobs)
        self.pipeline.set_params(**choice.options)
        return choice

    def fit(self, x: np.ndarray, y: np.ndarray, speakers: np.ndarray) -> None:
        """Fits and calibrates with the options chosen; arguments as `choose`."""
        folds = list(LeaveOneGroupOut().split(x, y, speakers))
        self._fitted = CalibratedClassifierCV(
            self.pipeline, method="temperature", cv=folds, ensemble=False, n_jobs=self.jobs
        ).fit(x, y)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """(N, D) features -> (N, C) class probabilities."""
        return self._fitted.predict_proba(x)

    def save(self, path: Path) -> None:
        """Stores what was fitted by skops, whose files hold no code to run."""
        skops.io.dump(self._fitted, path)
