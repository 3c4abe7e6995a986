"""As a step of a pipeline, a representation sees only the training split of each inner fold."""

from pathlib import Path
from unittest import mock

import numpy as np
from made import classes_in, pca
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser.models.estimator import Estimator, load, predictions
from ser.models.steps import Synthesised, Synthetic
from ser.representations.projection import Projection


class Copies(Projection):
    """Every sample is the mean of its class, which varies less than the utterances."""

    def fit(self, x, y, size, **options):  # type: ignore[no-untyped-def]
        fitted = super().fit(x, y, size, **options)
        means = {label: x[y == label].mean(0) for label in np.unique(y)}
        fitted.sample = lambda labels, seed: np.stack([means[k] for k in labels])  # type: ignore[method-assign]
        return fitted


def test_each_inner_fold_fits_a_representation_and_the_size_is_chosen(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    groups = np.arange(80) // 20
    recipe = pca(tmp_path, [1, 3])
    model = Estimator(
        recipe, None, classifier=SVC(), grid={"C": [0.1, 1.0]}, leave_out="session", jobs=1
    )
    fits = []
    fit = Projection.fit

    def noted(self, x, y, size, **options):  # type: ignore[no-untyped-def]
        fits.append((len(x), size))
        return fit(self, x, y, size, **options)

    with mock.patch.object(Projection, "fit", noted):
        choice = model.choose(x, y, groups)
    assert set(fits) == {(60, 1), (60, 3)}
    assert len(recipe.cache) == 4
    assert choice.options.keys() == {"classifier__C", "codes__size"}
    assert model.size == choice.options["codes__size"]
    model.fit(x, y, groups)
    assert (model.predictions(x).argmax(1) == y).mean() > 0.9


def test_fits_do_not_depend_on_the_group_left_out(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    groups = np.arange(80) // 20
    spoilt = np.where((groups == 3)[:, None], 1e6, x).astype(np.float32)

    def keys(values: np.ndarray) -> list[str]:
        recipe = pca(tmp_path)
        options = {"classifier": SVC(), "grid": {"C": [1.0]}, "leave_out": "session", "jobs": 1}
        Estimator(recipe, None, **options).choose(values, y, groups)  # type: ignore[arg-type]
        return list(recipe.cache)

    assert [a == b for a, b in zip(keys(x), keys(spoilt), strict=True)] == [False] * 3 + [True]


def test_training_on_synthetic_data_with_and_without_real_data(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    recipe = Copies(pca(tmp_path).fitting, transform=pca(tmp_path).transform, size=2, clip=None)
    seen = []

    class Noting(SVC):
        def fit(self, x, y):  # type: ignore[no-untyped-def]
            seen.append((x, y))
            return super().fit(x, y)

    for with_real in (False, True):
        pipeline = Pipeline([("standardise", StandardScaler()), ("classifier", Noting())])
        step = Synthesised(pipeline, recipe, 2, Synthetic(5, with_real=with_real)).fit(x, y)
        values, labels = seen[-1]
        assert len(values) == 4 * 5 + 80 * with_real
        assert np.bincount(labels[-20:]).tolist() == [5] * 4
        scaler = step.classifier_["standardise"]
        np.testing.assert_allclose(scaler.mean_, x.mean(0), rtol=1e-5)  # of the real features
        np.testing.assert_allclose(scaler.scale_, x.std(0), rtol=1e-4)
        expected = scaler.transform(x[y == 0].mean(0)[None])[0]
        np.testing.assert_allclose(values[-20], expected, rtol=1e-3, atol=1e-4)
        assert (step.decision_function(x).argmax(1) == y).mean() > 0.9
    reference = make_pipeline(StandardScaler(), SVC()).fit(x, y)
    options = {"classifier": SVC(), "grid": {"C": [1.0]}, "leave_out": "session", "jobs": 1}
    model = Estimator(recipe, Synthetic(5, with_real=True), **options)  # type: ignore[arg-type]
    model.choose(x, y, np.arange(80) // 20)
    model.fit(x, y, np.arange(80) // 20)
    assert (model.predictions(x).argmax(1) == reference.predict(x)).mean() > 0.9
    model.save(tmp_path / "best.skops")
    loaded = predictions(load(tmp_path / "best.skops"), x)
    assert np.array_equal(loaded, model.predictions(x))
