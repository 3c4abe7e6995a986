"""scikit-learn models: chosen over speakers, calibrated, and saved without code."""

from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser.metrics import confusion_matrix, unweighted_accuracy
from ser.models.estimator import TRUSTED, Estimator, load, predictions

GRID = {"C": [1e-4, 1e-2, 1.0]}
CLASSIFIERS = [SVC(kernel="linear"), LogisticRegression(max_iter=500)]


def toy_data(count: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three classes in 6-D and five speakers, each with an offset."""
    rng = np.random.default_rng(seed)
    y, speakers = np.arange(count) % 3, np.arange(count) // 3 % 5
    voices = np.random.default_rng(9).normal(0, 2, (5, 6))
    x = 100 * (rng.normal(0, 1.5, (count, 6)) + 2 * np.eye(3, 6)[y] + voices[speakers])
    return x.astype(np.float32), y, np.array([f"s{i}" for i in speakers])


def estimator(classifier: ClassifierMixin) -> Estimator:
    return Estimator(None, None, classifier=classifier, grid=GRID, leave_out="speaker", jobs=1)


def fitted(classifier: ClassifierMixin) -> Estimator:
    model = estimator(classifier)
    x, y, speakers = toy_data()
    model.choose(x, y, speakers)
    model.fit(x, y, speakers)
    return model


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_options_are_chosen_by_leave_one_speaker_out(classifier: ClassifierMixin) -> None:
    x, y, speakers = toy_data()
    choice = estimator(classifier).choose(x, y, speakers)
    means = []
    for c in GRID["C"]:
        scores = []
        for train, test in LeaveOneGroupOut().split(x, y, speakers):
            pipeline = make_pipeline(StandardScaler(), type(classifier)(**classifier.get_params()))
            pipeline[-1].set_params(C=c)
            scored = pipeline.fit(x[train], y[train]).decision_function(x[test])
            predictions = scored.argmax(1)  # not `predict`, which counts votes
            scores.append(unweighted_accuracy(confusion_matrix(y[test], predictions, 3)))
        means.append(np.mean(scores))
    assert choice.tried["ua"].tolist() == pytest.approx(means)
    assert choice.options == {"classifier__C": GRID["C"][int(np.argmax(means))]}
    assert choice.score == pytest.approx(max(means))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_probabilities_sum_to_1_and_have_the_order_of_the_scores(
    classifier: ClassifierMixin,
) -> None:
    model = fitted(classifier)
    x, y, _ = toy_data(300, seed=1)
    p = model.predictions(x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-6)
    train, labels, _ = toy_data()
    own = model.pipeline.fit(train, labels).decision_function(x)
    assert np.array_equal(p.argmax(1), own.argmax(1))
    assert (p.argmax(1) == y).mean() > 0.5


def test_calibration_uses_speakers_left_out() -> None:
    """So the confidence on unseen utterances is close to the accuracy."""
    model = fitted(SVC(kernel="linear"))
    x, y, _ = toy_data(300, seed=1)
    p = model.predictions(x)
    likelihood = -np.log(p[np.arange(300), y]).mean()
    assert likelihood < np.log(3)  # of equal probabilities
    assert p.max(1).mean() == pytest.approx((p.argmax(1) == y).mean(), abs=0.15)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_saved_model_loads_with_an_explicit_list_of_trusted_types(
    classifier: ClassifierMixin, tmp_path: Path
) -> None:
    model = fitted(classifier)
    model.save(tmp_path / "best.skops")
    assert skops.io.get_untrusted_types(file=tmp_path / "best.skops") == TRUSTED[:2]
    x, _, _ = toy_data(30, seed=1)
    assert np.array_equal(predictions(load(tmp_path / "best.skops"), x), model.predictions(x))


def test_the_same_data_give_the_same_model() -> None:
    x, _, _ = toy_data(30, seed=1)
    first, second = (fitted(SVC(kernel="linear")).predictions(x) for _ in range(2))
    assert np.array_equal(first, second)
