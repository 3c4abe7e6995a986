"""How well a classifier predicts the label from nuisance variables alone.

Folds are stratified over utterances, so that speakers, sessions and texts are in training and test:
that is what makes a shortcut visible. A score is a lower bound of what a model could exploit.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    OneHotEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
)

from ser import metrics
from ser.audit.acoustics import MEASUREMENTS
from ser.report.statistics import resampled_ua, speaker_interval, weights

# Columns of a corpus that are nuisance variables, and how a sentence names them.
LABELS = {
    "speaker": "the speaker",
    "session": "the recording session",
    "text": "the text",
    "dialogue": "the dialogue",
    "gender": "the gender",
    "age": "the age",
    "language": "the language",
    "style": "the style of speech",
    "corpus": "the corpus",
    "format": "the file format",
}
ALL_LABELS, ALL_ACOUSTICS = "all columns together", "all acoustics together"
GROUPING = ("speaker", "session", "text")  # folds keep these apart; a high score is a fault
FOLDS, SEED = 5, 0
REPEATS = 3  # of the cross-validation, with other folds
MANY = 2000  # utterances; above, one cross-validation is precise enough
DRAWS = 1000  # of the bootstrap
FEWEST_SPEAKERS = 5  # of a bootstrap over speakers
MARGIN = 0.1  # of the way from chance to 100%; less above chance is no warning
KNOTS = 8  # of the piecewise linear functions of a measurement
OFFSET = 0.02  # seconds, or Hz; keeps the logarithm of no silence finite
LOGARITHMIC = ("duration", "bandwidth", "silence_start", "silence_end")

Kind = Literal["label", "acoustic"]


@dataclass(frozen=True)
class Baseline:
    """The score of a classifier that sees one nuisance variable, or several.

    Attributes:
        nuisance: Name of the variable.
        kind: "label": a column of the corpus; "acoustic": measured from the audio.
        values: Number of different values of a column; measurements, for acoustic ones.
        confusion: (C, C) counts, summed over repetitions.
        ua: UA over all utterances, mean over repetitions.
        low, high: 95% confidence interval of `ua`.
        chance: UA at chance level.
    """

    nuisance: str
    kind: Kind
    values: str
    confusion: np.ndarray
    ua: float
    low: float
    high: float
    chance: float

    @property
    def is_fault(self) -> bool:
        """Whether a variable that groups utterances gives half of what can be had, or more."""
        return self.nuisance in GROUPING and self.ua >= halfway_from(self.chance)

    @property
    def is_warning(self) -> bool:
        """Whether the interval is above chance by `MARGIN` of the way to 100%."""
        return not self.is_fault and self.low > self.chance + MARGIN * (1 - self.chance)


def halfway_from(chance: float) -> float:
    """Return the score halfway from chance to 100%."""
    return (1 + chance) / 2


@dataclass(frozen=True)
class Data:
    """Labelled utterances, their nuisance variables and folds.

    Attributes:
        table: N rows with the columns of the corpus and the acoustic measurements.
        truth: (N,) class indices.
        classes: Number of classes; each has two utterances or more.
    """

    table: pd.DataFrame
    truth: np.ndarray
    classes: int

    @property
    def splits(self) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """Rows to fit on and to score, by repetition and fold."""
        x = np.zeros(len(self.truth))
        folds = min(FOLDS, int(np.bincount(self.truth, minlength=self.classes).min()))
        repeats = 1 if len(self.truth) > MANY else REPEATS
        return [
            list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, self.truth))
            for seed in range(SEED, SEED + repeats)
        ]

    @property
    def units(self) -> tuple[np.ndarray, str]:
        """What the bootstrap draws: (N,) indices of speakers, or of utterances, and its name."""
        numbers, speakers = pd.factorize(self.table["speaker"])
        if len(speakers) >= FEWEST_SPEAKERS:
            return numbers, "speakers"
        return np.arange(len(numbers)), "utterances"


def nuisances(table: pd.DataFrame) -> tuple[dict[str, list[str]], list[str]]:
    """Return the columns of each nuisance variable, and the variables that cannot predict anything.

    Args:
        table: With the columns of the corpus and the measurements.
    """
    known = {name: [name] for name in LABELS if name in table}
    known |= {name: list(columns) for name, columns in MEASUREMENTS.items()}
    varying = {
        name: columns
        for name, columns in known.items()
        if any(table[column].nunique(dropna=False) > 1 for column in columns)
    }
    absent = [name for name in (*LABELS, *MEASUREMENTS) if name not in varying]
    return varying, absent


def score_nuisances(
    data: Data, progress: Callable[[Sequence[str]], Iterator[str]]
) -> list[Baseline]:
    """Return the baseline of each nuisance variable, and of all of a kind together.

    Args:
        data: Labelled utterances.
        progress: Iterates over names while it shows a progress bar.
    """
    varying, _ = nuisances(data.table)
    tasks: dict[str, tuple[Kind, list[str]]] = {}
    kinds: tuple[tuple[Kind, Collection[str], str], ...] = (
        ("label", LABELS, ALL_LABELS),
        ("acoustic", MEASUREMENTS, ALL_ACOUSTICS),
    )
    for kind, names, together in kinds:
        of = {name: columns for name, columns in varying.items() if name in names}
        tasks |= {name: (kind, columns) for name, columns in of.items()}
        if len(of) > 1:
            tasks[together] = kind, [column for columns in of.values() for column in columns]
    splits = data.splits
    return [_baseline(data, splits, name, *tasks[name]) for name in progress(list(tasks))]


def _baseline(
    data: Data,
    splits: Sequence[Sequence[tuple[np.ndarray, np.ndarray]]],
    name: str,
    kind: Kind,
    columns: list[str],
) -> Baseline:
    x, model = (_categorical if kind == "label" else _acoustic)(data.table[columns])
    units, _ = data.units
    count, classes = units.max() + 1, data.classes
    confusions = np.zeros((len(splits), count, classes, classes), np.int64)
    for confusion, folds in zip(confusions, splits, strict=True):
        for fit, score in folds:
            predicted = model.fit(x[fit], data.truth[fit]).predict(x[score])
            np.add.at(confusion, (units[score], data.truth[score], predicted), 1)
    ua = float(resampled_ua(confusions, np.ones((1, count)))[0])
    # None: UA is the same for every speaker, so that its interval has no width.
    low, high = speaker_interval(confusions, weights(count, DRAWS, SEED)) or (ua, ua)
    summed = confusions.sum(axis=(0, 1))
    number = data.table[columns[0]].nunique(dropna=False)
    about = ", ".join(columns).replace("_", " ")
    if len(columns) == 1 and kind == "label":
        about = f"{number:,}"
    elif name in (ALL_LABELS, ALL_ACOUSTICS):
        about = f"{len(columns)} of them"
    chance = metrics.scores(summed)["chance_ua"]
    return Baseline(name, kind, about, summed, ua, low, high, chance)


def _categorical(table: pd.DataFrame) -> tuple[np.ndarray, Any]:
    """Return categories as numbers, and the classifier of one or several of them.

    One category: the class with the largest share of its utterances there, by Bayes' rule with
    equal priors, because UA weights classes equally. Several: logistic regression.
    """
    # An unknown value is a value of its own: that it is unknown may depend on the class.
    x = np.stack([pd.factorize(table[name], use_na_sentinel=False)[0] for name in table], axis=1)
    if x.shape[1] == 1:
        return x, CategoricalNB(fit_prior=False, min_categories=int(x.max()) + 1)
    encoder = OneHotEncoder(handle_unknown="ignore")
    return x, make_pipeline(encoder, LogisticRegression(class_weight="balanced", max_iter=1000))


def _acoustic(table: pd.DataFrame) -> tuple[np.ndarray, Any]:
    """Return measurements, and a classifier of smooth and of abrupt dependencies on them.

    It is a logistic regression on squares, products and piecewise linear functions.
    """
    scaled = table.copy()
    for name in set(LOGARITHMIC) & set(table):
        scaled[name] = np.log(table[name] + OFFSET)
    # Knots at quantiles: a device that made some recordings of each class can be recognised.
    pieces = SplineTransformer(KNOTS, degree=1, knots="quantile", include_bias=False)
    curves = make_union(PolynomialFeatures(2, include_bias=False), pieces)
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    return scaled.to_numpy(), make_pipeline(StandardScaler(), curves, model)
