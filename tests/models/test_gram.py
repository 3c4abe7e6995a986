"""Fits by Gram matrices give the models and predictions of scikit-learn, up to rounding."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from ser.models import gram
from ser.models.estimator import Estimator, load, predictions
from ser.models.gram import Gram, GramMachine, fit, fit_shared

CLASSIFIERS = [
    SVC(kernel="linear", C=0.01),
    SVC(kernel="linear", C=0.001, class_weight="balanced"),
    SVC(gamma="scale"),
    SVC(gamma="auto", C=0.5),
    SVC(gamma=1e-3),
    RidgeClassifier(alpha=10.0),
]
REGRESSORS = [SVR(kernel="linear", C=0.01), SVR(), Ridge(alpha=10.0)]


def wide(count: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Three classes in 150-D, values, and five speakers, each with an offset."""
    rng = np.random.default_rng(seed)
    y, speakers = np.arange(count) % 3, np.arange(count) // 3 % 5
    voices = np.random.default_rng(9).normal(0, 1, (5, 150))
    x = rng.normal(0, 1, (count, 150)) + 2 * np.eye(3, 150)[y] + voices[speakers]
    values = 3 + y + rng.normal(0, 0.3, count)
    return x.astype(np.float32), y, values, np.array([f"s{i}" for i in speakers])


def scores(model: Any, x: np.ndarray) -> np.ndarray:
    return model.decision_function(x) if hasattr(model, "classes_") else model.predict(x)


def assert_equal(model: BaseEstimator, y: np.ndarray) -> None:
    x, *_ = wide()
    others, *_ = wide(seed=1)
    # Ridge regression of scikit-learn computes in the precision of its input.
    expected = clone(model).fit(x.astype(np.float64), y)
    plain = fit(model, x, y)
    assert type(plain) is type(model)
    assert plain.get_params() == model.get_params()
    assert vars(plain).keys() == vars(expected).keys()
    shared = fit_shared(model, Gram(x), y)
    for fitted in (plain, shared):
        np.testing.assert_allclose(scores(fitted, others), scores(expected, others), atol=1e-9)
        assert np.array_equal(fitted.predict(others) > 0, expected.predict(others) > 0)


@pytest.mark.parametrize("model", CLASSIFIERS, ids=repr)
def test_classifiers_equal_those_of_scikit_learn(model: BaseEstimator) -> None:
    _, y, *_ = wide()
    assert_equal(model, y)
    assert_equal(model, y % 2)  # two classes have one score


@pytest.mark.parametrize("model", REGRESSORS, ids=repr)
def test_regressors_equal_those_of_scikit_learn(model: BaseEstimator) -> None:
    assert_equal(model, wide()[2])


def test_linear_machines_have_the_weights_that_an_export_needs() -> None:
    x, y, *_ = wide()
    model = SVC(kernel="linear", C=0.01)
    expected = clone(model).fit(x, y)
    np.testing.assert_allclose(fit(model, x, y).coef_, expected.coef_, atol=1e-12)


def test_products_are_computed_once_for_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, *_ = wide()
    others, *_ = wide(seed=1)
    calls = []
    products = gram._products

    def counted(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        calls.append((len(a), len(b)))
        return products(a, b)

    monkeypatch.setattr(gram, "_products", counted)
    shared = Gram(x)
    for kernel in ("linear", "rbf"):
        for c in (0.01, 1.0):
            fit_shared(SVC(kernel=kernel, C=c), shared, y).decision_function(others)
    assert calls == [(60, 60), (60, 60)]


@pytest.mark.parametrize(
    ("model", "width"),
    [
        (SVC(kernel="linear"), 60),  # as many features as utterances
        (SVC(kernel="poly"), 150),
        (LogisticRegression(), 150),
        (RidgeClassifier(class_weight="balanced"), 150),
    ],
)
def test_other_fits_are_left_to_scikit_learn(model: BaseEstimator, width: int) -> None:
    x, y, *_ = wide()
    x = x[:, :width]
    fitted = fit_shared(model, Gram(x), y)
    assert not isinstance(fitted, GramMachine)
    expected = clone(model).fit(x, y)
    assert np.array_equal(fitted.decision_function(x), expected.decision_function(x))


def test_gram_matrices_have_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y, *_ = wide()
    assert isinstance(fit_shared(SVC(), Gram(x), y), GramMachine)
    monkeypatch.setattr(gram, "LARGEST", 59)
    assert not isinstance(fit_shared(SVC(), Gram(x), y), GramMachine)


def test_choice_and_probabilities_are_those_of_plain_pipelines(tmp_path: Path) -> None:
    x, y, _, speakers = wide()
    others, *_ = wide(seed=1)
    options = {"grid": {"C": [1e-4, 1e-3, 1e-2]}, "leave_out": "speaker", "jobs": 1}
    model = Estimator(None, None, classifier=SVC(kernel="linear"), **options)  # type: ignore[arg-type]
    choice = model.choose(x, y, speakers)
    folds = list(LeaveOneGroupOut().split(x, y, speakers))
    means = []
    for c in (1e-4, 1e-3, 1e-2):
        pipeline = plain_pipeline(c)
        hits = [
            [pipeline.decision_function(x[test]).argmax(1)[y[test] == k] == k for k in range(3)]
            for train, test in folds
            if pipeline.fit(x[train], y[train])
        ]
        means.append(np.mean([np.mean([h.mean() for h in fold]) for fold in hits]))
    assert choice.tried["ua"].tolist() == pytest.approx(means)
    chosen = choice.options["classifier__C"]
    assert chosen == [1e-4, 1e-3, 1e-2][int(np.argmax(means))]
    model.fit(x, y, speakers)
    expected = CalibratedClassifierCV(
        plain_pipeline(chosen), method="temperature", cv=folds, ensemble=False
    ).fit(x, y)
    np.testing.assert_allclose(model.predictions(others), expected.predict_proba(others), atol=1e-6)
    model.save(tmp_path / "best.skops")
    loaded = load(tmp_path / "best.skops")
    assert type(loaded.calibrated_classifiers_[0].estimator[-1]) is SVC
    assert np.array_equal(predictions(loaded, others), model.predictions(others))


def plain_pipeline(c: float) -> Pipeline:
    machine = SVC(kernel="linear", C=c)
    return Pipeline([("standardise", StandardScaler()), ("classifier", machine)])


@pytest.mark.parametrize(
    ("regressor", "grid"),
    [(SVR(kernel="linear"), {"C": [1e-5, 1e-2]}), (Ridge(), {"alpha": [10.0, 1e5]})],
)
def test_values_are_chosen_by_the_ccc_of_all_speakers_together(
    regressor: BaseEstimator, grid: dict[str, list[float]], tmp_path: Path
) -> None:
    x, _, values, speakers = wide()
    others, _, truth, _ = wide(seed=1)
    options = {"regressor": regressor, "grid": grid, "leave_out": "speaker", "jobs": 1}
    model = Estimator(None, None, (), True, **options)  # type: ignore[arg-type]
    choice = model.choose(x, values, speakers)
    ((option, tried),) = grid.items()
    expected = []
    for value in tried:
        left_out = np.empty(len(x))
        for train, test in LeaveOneGroupOut().split(x, values, speakers):
            scaler = StandardScaler().fit(x[train])
            machine = clone(regressor).set_params(**{option: value})
            machine.fit(scaler.transform(x[train]).astype(float), values[train])
            left_out[test] = machine.predict(scaler.transform(x[test]))
        shift = (values.mean() - left_out.mean()) ** 2
        both = np.mean((values - values.mean()) * (left_out - left_out.mean()))
        expected.append(2 * both / (values.var() + left_out.var() + shift))
    assert choice.tried["ccc"].tolist() == pytest.approx(expected, abs=1e-6)
    assert choice.options == {f"regressor__{option}": tried[int(np.argmax(expected))]}
    assert choice.score == max(choice.tried["ccc"]) > 0.3
    model.fit(x, values, speakers)
    predicted = model.predictions(others)
    assert predicted.shape == (60, 1)
    assert np.corrcoef(predicted[:, 0], truth)[0, 1] > 0.4
    model.save(tmp_path / "best.skops")
    assert np.array_equal(predictions(load(tmp_path / "best.skops"), others), predicted)
