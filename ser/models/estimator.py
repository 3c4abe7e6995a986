"""scikit-learn classifiers and regressors: the classical baselines."""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from ser.errors import UserError
from ser.models.pipelines import GramPipeline, Steps, fit_pipeline
from ser.models.repeated import Repeated
from ser.models.steps import Clip, Coded, Layer, Synthesised, Synthetic
from ser.models.tuning import Choice, class_scores, search
from ser.representations import Representation
from ser.results.estimators import load_estimator, save_estimator

# Types in our models that skops does not trust by default.
TRUSTED = [
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._TemperatureScaling",
    "ser.models.steps.Clip",
    "ser.models.steps.Layer",
]


LAYER = "encoder__layer"  # option of the pipeline


class Estimator:
    """A standardiser and a classifier or regressor, with options chosen by inner folds.

    A representation is fitted in each inner fold, and the size of its codes is one of the options.
    So is the layer of a pretrained encoder, where features of several layers are given.

    Probabilities are the softmax of the classifier's scores, divided by a temperature that is
    fitted on the scores of the speakers or sessions left out. The most probable class is the one
    with the highest score. A regressor predicts values in the unit of the target.

    Shares of raters, and labels with weights, are learned by repeating each utterance for every
    class, weighted by its share (`ser.models.repeated`).

    Support vector machines and ridge regression are fitted by Gram matrices where there are more
    features than utterances (`ser.models.gram`).

    Args:
        representation: Representation whose codes are classified; None: features are classified.
        synthetic: Train on samples of the representation and classify features; None: do not.
        layers: Layers of a pretrained encoder whose features stand side by side, one of which is
            chosen; one or none: all features are used.
        values: Predict values, by the regressor; False: predict classes, by the classifier.
        classifier: A scikit-learn classifier; None: there is none, only values can be predicted.
        regressor: A scikit-learn regressor; None: there is none, only classes can be predicted.
        clip: Largest magnitude of a standardised feature of the regressor, in standard deviations;
            None: no limit. Without one, a linear model predicts impossible values where a feature
            of an utterance lies far from those of all others.
        grid: Values of some of its options, e.g. {"C": [0.01, 0.1]}.
        leave_out: Unit that each inner fold leaves out.
        jobs: Number of parallel fits; does not change the result.
    """

    level = "utterance"
    takes_shares = True

    def __init__(
        self,
        representation: Representation | None,
        synthetic: Synthetic | None,
        layers: tuple[int, ...] = (),
        values: bool = False,
        *,
        classifier: ClassifierMixin | None = None,
        regressor: RegressorMixin | None = None,
        clip: float | None = None,
        grid: Mapping[str, Sequence[Any]],
        leave_out: Literal["speaker", "session"],
        jobs: int,
    ) -> None:
        self.representation, self.leave_out, self.jobs = representation, leave_out, jobs
        model, last = (regressor, "regressor") if values else (classifier, "classifier")
        plain: Steps = [("standardise", StandardScaler()), (last, model)]
        if values and clip is not None:
            plain.insert(1, ("clip", Clip(clip)))
        self.pipeline, where = Pipeline(plain), ""
        sizes = [] if representation is None else representation.sizes
        if representation is not None and synthetic is None:
            codes = Coded(representation, sizes[0])
            self.pipeline = Pipeline([("codes", codes), *plain])
        elif representation is not None and synthetic is not None:
            synthesised = Synthesised(self.pipeline, representation, sizes[0], synthetic)
            self.pipeline, where = Pipeline([("synthesised", synthesised)]), "synthesised__"
            where += "classifier__"
        grid = {f"{where}{last}__{option}": list(tried) for option, tried in grid.items()}
        if len(layers) > 1:
            self.pipeline = Pipeline([("encoder", Layer(layers, layers[0])), *plain])
            grid = {LAYER: list(layers), **grid}
        # One grid per size, so that few fits of the representation are in memory at a time.
        self.grid = [{self._size_option: [size], **grid} for size in sizes] or [grid]

    @property
    def _size_option(self) -> str:
        return f"{self.pipeline.steps[0][0]}__size"

    @property
    def size(self) -> int:
        """The chosen size of the codes, K."""
        return self.pipeline.get_params()[self._size_option]

    def choose(
        self,
        x: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray,
        *,
        unscored: np.ndarray | None = None,
        shares: np.ndarray | None = None,
    ) -> Choice:
        """Choose the options for `fit`.

        Args:
            x: (N, D) features, not standardised.
            y: (N,) class indices or values.
            groups: (N,) speakers or sessions; each inner fold leaves one out.
            unscored: (N,) bool, items that inner folds are fitted on, but that they do not score:
                corrupted copies. None: there are none.
            shares: (N, C) shares of raters, times weights of utterances, that a classifier learns
                instead of y, which inner folds score; None: it learns y.
        """
        weights = None
        if shares is not None:
            items = Repeated.of(y, shares)
            hidden = items.tied | ~items.first
            unscored = hidden if unscored is None else hidden | unscored[items.rows]
            x, y, groups = items.flagged(x), items.classes, groups[items.rows]
            weights = items.weights
        choice = search(
            *(self.pipeline, self.grid, x, y, groups),
            jobs=self.jobs,
            unscored=unscored,
            weights=weights,
        )
        self.pipeline.set_params(**choice.options)
        return choice

    def fit(
        self,
        x: np.ndarray,
        y: np.ndarray,
        groups: np.ndarray,
        *,
        calibrated: bool = True,
        shares: np.ndarray | None = None,
    ) -> None:
        """Fit with the chosen options.

        Args:
            x, y, groups, shares: As in `choose`. The temperature is fitted to the shares, too.
            calibrated: Fit the temperature of a classifier, for which a representation is fitted
                again in each inner fold; False: it is 1.
        """
        if is_regressor(self.pipeline) or not calibrated:
            self._fitted = fit_pipeline(self.pipeline, x, y)
            return
        weights = None
        if shares is not None:
            items = Repeated.of(y, shares)
            x, y, groups = items.flagged(x), items.classes, groups[items.rows]
            weights = items.weights
        folds = list(LeaveOneGroupOut().split(x, y, groups))
        self._fitted = CalibratedClassifierCV(
            GramPipeline(self.pipeline, is_repeated=shares is not None),
            method="temperature",
            cv=folds,
            ensemble=False,
            n_jobs=self.jobs,
        ).fit(x, y, weights)
        # What is saved contains plain pipelines.
        (calibrated_classifier,) = self._fitted.calibrated_classifiers_
        calibrated_classifier.estimator = calibrated_classifier.estimator.plain()
        self._fitted.estimator = self.pipeline

    def predictions(self, x: np.ndarray) -> np.ndarray:
        """(N, D) features -> (N, C) class probabilities, or (N, 1) values."""
        return predictions(self._fitted, x)

    def save(self, path: Path) -> None:
        """Save the fitted model, without the representation, by skops: a file without code."""
        bare = self._fitted
        if self.representation is not None and isinstance(bare, Pipeline):
            bare = self._without_representation(bare)
        elif self.representation is not None:
            bare = copy(bare)
            (calibrated,) = bare.calibrated_classifiers_
            calibrated = copy(calibrated)
            calibrated.estimator = self._without_representation(calibrated.estimator)
            bare.calibrated_classifiers_ = [calibrated]
            bare.estimator = self._without_representation(bare.estimator)
        save_estimator(path, bare)

    @staticmethod
    def _without_representation(pipeline: Pipeline) -> Pipeline:
        first = pipeline.steps[0][1]
        if isinstance(first, Synthesised):
            return getattr(first, "classifier_", first.classifier)
        return Pipeline(pipeline.steps[1:])


def layer_facts(choice: Choice) -> dict[str, Any]:
    """Return the chosen layer and the score of each, for `result.json`; nothing without layers."""
    if LAYER not in choice.tried:
        return {}
    name = "ua" if "ua" in choice.tried else "ccc"
    best = choice.tried.groupby(LAYER)[name].max()
    scores = {str(layer): score for layer, score in best.items()}
    return {"layer": choice.options[LAYER], f"inner_{name}_by_layer": scores}


def load(path: Path) -> CalibratedClassifierCV | Pipeline:
    """Load what `Estimator.save` has written: a classifier of features or of codes.

    Raises:
        UserError: The file is missing, damaged or contains other types.
    """
    fitted = load_estimator(path, TRUSTED)
    if not isinstance(fitted, CalibratedClassifierCV | Pipeline):
        raise UserError(f"{path} is not a model of this project: {type(fitted).__name__}")
    return fitted


def predictions(fitted: CalibratedClassifierCV | Pipeline, x: np.ndarray) -> np.ndarray:
    """(N, D) features or codes -> (N, C) class probabilities, or (N, 1) values."""
    if is_regressor(fitted):
        return fitted.predict(x)[:, None]
    if isinstance(fitted, CalibratedClassifierCV):
        return fitted.predict_proba(x)
    return softmax(class_scores(fitted, x), axis=1)
