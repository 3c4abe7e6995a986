import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser.models.tuning import search

PIPELINE = Pipeline([("standardise", StandardScaler()), ("classifier", SVC(kernel="linear"))])


def toy_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y, speakers = np.arange(60) % 3, np.arange(60) // 3 % 4
    return rng.normal(size=(60, 5)) + np.eye(3, 5)[y], y, speakers


class Recorder(ClassifierMixin, BaseEstimator):
    """Records the rows that it is fitted on and predicts; always predicts `says`."""

    seen: list[tuple[str, frozenset[int]]] = []  # noqa: RUF012  (clones must share it)

    def __init__(self, says: int = 0) -> None:
        self.says = says

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Recorder":
        self.seen.append(("fit", frozenset(x[:, 0].astype(int).tolist())))
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        self.seen.append(("score", frozenset(x[:, 0].astype(int).tolist())))
        return np.tile(self.classes_ == self.says, (len(x), 1)).astype(float)


def piped(model: BaseEstimator) -> Pipeline:
    return Pipeline([("model", model)])


def test_each_inner_fold_scores_one_speaker_and_is_fitted_on_the_others() -> None:
    _, y, speakers = toy_data()
    Recorder.seen.clear()
    search(piped(Recorder()), [{"model__says": [0]}], np.arange(60.0)[:, None], y, speakers, jobs=1)
    everyone = frozenset(range(60))
    pairs = [(Recorder.seen[i], Recorder.seen[i + 1]) for i in range(0, 8, 2)]
    left_out = [frozenset(np.flatnonzero(speakers == s).tolist()) for s in range(4)]
    assert pairs == [(("fit", everyone - out), ("score", out)) for out in left_out]


def test_first_among_equals_is_chosen() -> None:
    _, y, speakers = toy_data()
    x = np.arange(60.0)[:, None]
    choice = search(piped(Recorder()), [{"model__says": [2, 0, 1]}], x, y, speakers, jobs=1)
    assert choice.options == {"model__says": 2}
    assert choice.score == pytest.approx(1 / 3)
    assert choice.tried["model__says"].tolist() == [2, 0, 1]
    assert choice.tried["sd"].tolist() == pytest.approx([0, 0, 0])


def test_classes_that_a_speaker_lacks_are_not_scored() -> None:
    y, speakers = np.array([0, 1, 2, 0, 2, 2]), np.array([0, 0, 0, 1, 1, 1])
    choice = search(
        piped(Recorder()), [{"model__says": [2]}], np.arange(6.0)[:, None], y, speakers, jobs=1
    )
    assert choice.score == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_last_class_may_occur_only_for_the_speaker_left_out() -> None:
    y, speakers = np.array([0, 1, 2, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    choice = search(
        piped(Recorder()), [{"model__says": [1]}], np.arange(6.0)[:, None], y, speakers, jobs=1
    )
    assert choice.score == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_preprocessing_is_fitted_in_each_inner_fold() -> None:
    """The score is that of scalers fitted without the speaker that is scored."""
    x, y, speakers = toy_data()
    grid = {"classifier__C": [0.1]}
    honest = search(PIPELINE, [grid], x, y, speakers, jobs=1)
    expected = []
    for out in range(4):
        inside = speakers != out
        scaler = StandardScaler().fit(x[inside])
        machine = SVC(kernel="linear", C=0.1).fit(scaler.transform(x[inside]), y[inside])
        scores = machine.decision_function(scaler.transform(x[~inside]))
        hits = scores.argmax(1) == y[~inside]
        expected.append(np.mean([hits[y[~inside] == c].mean() for c in range(3)]))
    assert honest.score == pytest.approx(np.mean(expected))


class Votes(Recorder):
    """As a support vector machine can: votes and decision values name different classes."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), 1)


def test_inner_folds_score_the_largest_decision_value_as_the_test_does() -> None:
    y, speakers = np.array([0, 1, 2, 0, 2, 2]), np.array([0, 0, 0, 1, 1, 1])
    choice = search(
        piped(Votes()), [{"model__says": [2]}], np.arange(6.0)[:, None], y, speakers, jobs=1
    )
    assert choice.score == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_parallel_jobs_change_nothing_and_the_pipeline_stays_unfitted() -> None:
    x, y, speakers = toy_data()
    grid = {"classifier__C": [0.01, 1.0]}
    one, two = (search(PIPELINE, [grid], x, y, speakers, jobs=jobs) for jobs in (1, 2))
    assert one.tried.equals(two.tried)
    assert not hasattr(PIPELINE.named_steps["classifier"], "support_")
