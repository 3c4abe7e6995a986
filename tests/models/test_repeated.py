"""Estimators learn shares of raters: logistic regression exactly, SVMs as scikit-learn weighs."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser.data.batches import UNLABELLED
from ser.models.estimator import Estimator
from ser.models.repeated import Repeated

COUNT, CLASSES = 60, 3
MODELS = {
    "logistic": (LogisticRegression(tol=1e-8, max_iter=1000), {"C": [0.01, 1.0]}),
    "svm": (SVC(kernel="linear"), {"C": [0.01, 1.0]}),
    "ridge": (RidgeClassifier(), {"alpha": [1.0, 100.0]}),
}


def made(width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels, shares of five raters, and speakers; the first utterances are tied."""
    rng = np.random.default_rng(0)
    y = np.arange(COUNT) % CLASSES
    x = rng.normal(size=(COUNT, width)).astype(np.float32) + np.eye(CLASSES, width)[y]
    shares = (3 * np.eye(CLASSES)[y] + rng.multinomial(2, [1 / 3] * 3, COUNT)) / 5
    shares[:3] = [0.4, 0.4, 0.2]
    y[:3] = UNLABELLED
    return x.astype(np.float32), y, shares, np.arange(COUNT) // CLASSES % 5


def estimator(name: str) -> Estimator:
    model, grid = MODELS[name]
    return Estimator(None, None, classifier=model, grid=grid, leave_out="speaker", jobs=1)


def fitted(name: str, width: int, shares: np.ndarray | None, y: np.ndarray) -> Estimator:
    x, _, _, speakers = made(width)
    model = estimator(name)
    model.choose(x, y, speakers, shares=shares)
    model.fit(x, y, speakers, shares=shares)
    return model


def last(model: Estimator) -> Pipeline:
    (calibrated,) = model._fitted.calibrated_classifiers_
    return calibrated.estimator


def test_logistic_regression_minimises_the_cross_entropy_with_the_shares() -> None:
    x, y, shares, _ = made(4)
    pipeline = last(fitted("logistic", 4, shares, y))
    standardised = StandardScaler().fit(x).transform(x)  # by utterances, not by items
    scaled = pipeline.steps[0][1]
    np.testing.assert_allclose(scaled.mean_, x.mean(axis=0), atol=1e-6)
    model = pipeline[-1]
    log_p = log_softmax(standardised @ model.coef_.T + model.intercept_, axis=1)
    gradient = (np.exp(log_p) - shares).T @ standardised + model.coef_ / model.C
    assert np.abs(gradient).max() < 5e-3  # features are float32
    of_labels = (np.exp(log_p) - np.eye(CLASSES)[y]).T @ standardised + model.coef_ / model.C
    assert np.abs(of_labels).max() > 0.5


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("width", [4, 100])  # above the number of items, by Gram matrices
def test_raters_who_agree_give_the_model_of_their_labels(name: str, width: int) -> None:
    x, y, shares, _ = made(width)
    y = np.where(y == UNLABELLED, 0, y)
    labels = fitted(name, width, None, y).predictions(x)
    agreed = fitted(name, width, np.eye(CLASSES)[y], y).predictions(x)
    np.testing.assert_allclose(agreed, labels, atol=1e-5)
    differing = fitted(name, width, shares, y).predictions(x)
    assert np.abs(differing - labels).max() > 1e-2


def test_a_machine_of_a_gram_matrix_is_the_weighted_one_of_scikit_learn() -> None:
    x, y, shares, _ = made(200)
    pipeline = last(fitted("svm", 200, shares, y))
    items = Repeated.of(y, shares)
    z = pipeline[:-1].transform(x)[items.rows]
    direct = SVC(kernel="linear", C=pipeline[-1].C).fit(z, items.classes, items.weights)
    np.testing.assert_allclose(
        pipeline[-1].decision_function(z), direct.decision_function(z), atol=1e-3
    )


def test_labels_that_no_rater_chose_are_scored_but_not_learned() -> None:
    x, y, _, speakers = made(4)
    y = np.where(y == UNLABELLED, 0, y)
    weights = np.where(np.arange(COUNT) % 7 == 0, 0.0, 1.0)
    shares = np.eye(CLASSES)[y] * weights[:, None]
    wrong = np.where(weights == 0, (y + 1) % CLASSES, y)
    ours = fitted("logistic", 4, shares, y).predictions(x)
    model = estimator("logistic")
    chosen = model.choose(x, y, speakers, shares=shares).options
    model.fit(x, wrong, speakers, shares=np.eye(CLASSES)[wrong] * weights[:, None])
    if chosen:
        np.testing.assert_allclose(model.predictions(x), ours, atol=1e-5)
    items = Repeated.of(y, shares)
    assert items.first.sum() == COUNT
    assert (items.weights[items.first] == weights).all()


def test_utterances_without_majority_have_no_part_in_the_choice() -> None:
    x, y, shares, speakers = made(4)
    tried = [
        estimator("svm").choose(x, labels, speakers, shares=shares).tried["ua"].tolist()
        for labels in (y, np.where(y == UNLABELLED, 2, y))
    ]
    assert tried[0] != tried[1]
    items = Repeated.of(y, shares)
    assert set(items.rows[items.tied]) == {0, 1, 2}
    np.testing.assert_allclose(np.bincount(items.rows, items.weights), 1.0)
