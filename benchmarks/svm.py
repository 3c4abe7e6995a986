"""Compare a run of `model=svm` with one fit of scikit-learn's SVC of the same size, in turn.

    python benchmarks/svm.py [--utterances 1440] [--features 6373] [--speakers 22] [--rounds 1]

Data are random: 8 classes whose means differ, and speakers with an offset each. Prints medians over
rounds, with minimum and maximum:

- direct: seconds of one fit of `SVC(kernel="linear")` of all utterances, standardised;
- run: seconds of what `model=svm` computes: the choice of C among five values by leaving out one
  speaker each, a calibrated fit without the two speakers of the validation split, predictions of
  them, a calibrated fit of all utterances, and predictions of as many new ones; as a multiple of
  the direct fit (target: 10 at most).

Then, at a quarter of the size, the same by `GridSearchCV` and `CalibratedClassifierCV` of plain
pipelines: whether the choice and all predicted classes are the same, and how much probabilities
differ. Times are processor times of one thread, because other programs disturb the wall clock more.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser.metrics import confusion_matrix, unweighted_accuracy
from ser.models.estimator import Estimator
from ser.models.tuning import predicted

CLASSES = 8
VALUES = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]  # of C, as in conf/model/svm.yaml
BAR = 10.0

Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def random_data(utterances: int, features: int, speakers: int, seed: int) -> Data:
    """Return features (N, D), class indices (N,) and speakers (N,)."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    means = fixed.normal(0, 0.06, (CLASSES, features))
    voices = fixed.normal(0, 0.3, (speakers, features))
    y, groups = np.arange(utterances) % CLASSES, np.arange(utterances) // CLASSES % speakers
    x = rng.normal(size=(utterances, features)) + means[y] + voices[groups]
    return x.astype(np.float32), y, groups


def run(train: Data, test: Data) -> tuple[float, np.ndarray]:
    """Return the chosen C and the probabilities of the test split, as `model=svm` gives them."""
    x, y, groups = train
    machine = SVC(kernel="linear")
    options = {"grid": {"C": VALUES}, "leave_out": "speaker", "jobs": 1}
    model = Estimator(None, None, classifier=machine, **options)  # type: ignore[arg-type]
    choice = model.choose(x, y, groups)
    inside = groups < groups.max() - 1
    model.fit(x[inside], y[inside], groups[inside])
    model.predictions(x[~inside])
    model.fit(x, y, groups)
    return choice.options["classifier__C"], model.predictions(test[0])


def plain(train: Data, test: Data) -> tuple[float, np.ndarray]:
    """Return the same as `run`, by scikit-learn alone."""
    x, y, groups = train

    def score(classifier: Pipeline, x: np.ndarray, y: np.ndarray) -> float:
        return unweighted_accuracy(confusion_matrix(y, predicted(classifier, x), CLASSES))

    pipeline = Pipeline([("standardise", StandardScaler()), ("classifier", SVC(kernel="linear"))])
    folds = list(LeaveOneGroupOut().split(x, y, groups))
    search = GridSearchCV(pipeline, {"classifier__C": VALUES}, cv=folds, scoring=score, refit=False)
    chosen = search.fit(x, y).best_params_
    pipeline.set_params(**chosen)
    calibrated = CalibratedClassifierCV(pipeline, method="temperature", cv=folds, ensemble=False)
    return chosen["classifier__C"], calibrated.fit(x, y).predict_proba(test[0])


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def shown(values: list[float], digits: int) -> str:
    low, mid, high = min(values), median(values), max(values)
    return f"{mid:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--utterances", type=int, default=1440)
    parser.add_argument("--features", type=int, default=6373)
    parser.add_argument("--speakers", type=int, default=22)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    size = args.utterances, args.features, args.speakers
    train, test = random_data(*size, seed=1), random_data(*size, seed=2)
    standardised = StandardScaler().fit_transform(train[0])
    direct, whole = [], []
    for _ in range(args.rounds):
        direct.append(seconds(lambda: SVC(kernel="linear", C=1e-3).fit(standardised, train[1])))
        whole.append(seconds(lambda: run(train, test)))
    ratios = [a / b for a, b in zip(whole, direct, strict=True)]
    print(f"direct: {shown(direct, 2)} s")
    print(f"run: {shown(whole, 1)} s, {shown(ratios, 1)} times as long (target: {BAR:g} at most)")
    quarter = args.utterances // 4, args.features // 4, args.speakers
    train, test = random_data(*quarter, seed=1), random_data(*quarter, seed=2)
    (c, ours), (expected_c, expected) = run(train, test), plain(train, test)
    print(
        f"at a quarter of the size: C={c:g}, by plain pipelines {expected_c:g}; "
        f"{(ours.argmax(1) != expected.argmax(1)).sum()} of {len(ours)} classes differ, "
        f"probabilities by {np.abs(ours - expected).max():.1e}; "
        f"UA {100 * unweighted_accuracy(confusion_matrix(test[1], ours.argmax(1), CLASSES)):.1f}%"
    )


if __name__ == "__main__":
    main()
