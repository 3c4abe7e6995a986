"""Linear probes: how well codes predict a label, measured on utterances unseen by the probe.

A probe is a multinomial logistic regression on standardised codes. Its score is a lower bound: a
non-linear probe might find more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ser import metrics

TRAINED, HELD_OUT = "train", "held out"
SPEAKER_FOLDS, SENTENCE_FOLDS = 10, 5
RESAMPLES = 1000
Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Trial:
    """How one label is probed on one side of the fold; the same for all latents.

    Attributes:
        label: `speaker`, `gender` or a target.
        side: Whose codes are scored: "held out" or "train".
        truth: (N,) class indices of all utterances; -1 where there is no label.
        splits: Disjoint row numbers to fit a probe on and to score it on.
        how: The same in words, or why there are no splits.
    """

    label: str
    side: str
    truth: np.ndarray
    splits: Sequence[Split]
    how: str


@dataclass(frozen=True)
class Score:
    """How well one latent predicts one label.

    Attributes:
        latent: Name of the latent, or several joined by " + ".
        label, side, how: As in `Trial`.
        ua: UA over all scored utterances; None if it could not be measured.
        low, high: 95% confidence interval of `ua` by a bootstrap over utterances, hence for these
            speakers only.
        chance: UA at chance level.
        utterances: Number of scored utterances.
    """

    latent: str
    label: str
    side: str
    how: str
    ua: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None
    utterances: int = 0

    @property
    def above_chance(self) -> bool:
        return self.low is not None and self.chance is not None and self.low > self.chance

    @property
    def interval(self) -> str:
        """`low` and `high` in percent; empty if not measured."""
        if self.low is None or self.high is None:
            return ""
        return f"{100 * self.low:.0f}-{100 * self.high:.0f}"


def percent(score: Score) -> str:
    """Format a score for a sentence.

    Examples:
        >>> percent(Score("z", "emotion", "train", "", ua=0.7, low=0.6, high=0.8))
        '70.0% [60-80]'
    """
    return "not measured" if score.ua is None else f"{100 * score.ua:.1f}% [{score.interval}]"


def probe(
    codes: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    targets: Mapping[str, str],
    independent: bool,
) -> list[Score]:
    """Probe each latent and all of them together for targets, gender and speaker.

    Args:
        codes: (N, K) by latent.
        table: N rows with `part`, `speaker`, columns of targets and, where known, `gender`, `text`.
        targets: Column with the class of each target, by its name.
        independent: Whether no speaker is in two splits of the fold.
    """
    inputs = dict(codes)
    if len(codes) > 1:
        inputs[" + ".join(codes)] = np.concatenate(list(codes.values()), axis=1)
    every = trials(table, targets, independent)
    return [score(name, x, trial) for name, x in inputs.items() for trial in every]


def trials(table: pd.DataFrame, targets: Mapping[str, str], independent: bool) -> list[Trial]:
    """Return how each label is probed; see `probe`.

    Targets and gender: from the training split to the held-out ones, and, within the training
    split, from some speakers to others. Speaker: from some utterances to others of the same
    speakers, if possible with other sentences.
    """
    train = (table["part"] == "train").to_numpy()
    listed = []
    for label, column in {**targets, "gender": "gender"}.items():
        truth = _numbered(table, column)
        known = truth >= 0
        held_out = _transferred(train & known, ~train & known, independent)
        trained = _across_speakers(np.flatnonzero(train & known), table["speaker"])
        listed.append(_trial(label, HELD_OUT, truth, *held_out))
        listed.append(_trial(label, TRAINED, truth, *trained))
    truth = _numbered(table, "speaker")
    for side, rows in ((HELD_OUT, ~train), (TRAINED, train)):
        splits, how = _across_sentences(np.flatnonzero(rows), truth, table)
        listed.append(_trial("speaker", side, truth, splits, how))
    return listed


def score(latent: str, x: np.ndarray, trial: Trial) -> Score:
    """Fit a probe per split and score all predictions together.

    Args:
        latent: Name of the codes.
        x: (N, K) codes.
        trial: What to predict from them.
    """
    if not trial.splits:
        return Score(latent, trial.label, trial.side, trial.how)
    pairs = []
    for learn, held_out in trial.splits:
        fitted = _probe().fit(x[learn], trial.truth[learn])
        pairs.append((trial.truth[held_out], fitted.predict(x[held_out])))
    truth, predicted = (np.concatenate(column) for column in zip(*pairs, strict=True))
    classes = int(trial.truth.max()) + 1
    scores = metrics.scores(metrics.confusion_matrix(truth, predicted, classes))
    draws = np.random.default_rng(0).integers(len(truth), size=(RESAMPLES, len(truth)))
    matrices = (metrics.confusion_matrix(truth[r], predicted[r], classes) for r in draws)
    low, high = np.percentile([metrics.unweighted_accuracy(each) for each in matrices], [2.5, 97.5])
    return Score(
        latent,
        trial.label,
        trial.side,
        trial.how,
        ua=scores["ua"],
        low=float(low),
        high=float(high),
        chance=scores["chance_ua"],
        utterances=len(truth),
    )


def _trial(label: str, side: str, truth: np.ndarray, splits: Sequence[Split], how: str) -> Trial:
    """Return a trial, without splits if there are too few classes."""
    learned = [len(np.unique(truth[learn])) for learn, _ in splits]
    scored = {number for _, held_out in splits for number in truth[held_out]}
    if (truth < 0).all():
        splits, how = [], f"this corpus has no {label}"
    elif splits and len(scored) < 2:
        splits, how = [], f"fewer than two classes of {label} to score on"
    elif splits and min(learned) < 2:
        splits, how = [], f"fewer than two classes of {label} to learn from"
    return Trial(label, side, truth, splits, how)


def _transferred(train: np.ndarray, held: np.ndarray, independent: bool) -> tuple[list[Split], str]:
    speakers = "speakers unseen by encoder and probe" if independent else "the same speakers"
    how = f"fitted on train, scored on val (used to select the epoch) + test: {speakers}"
    return [(np.flatnonzero(train), np.flatnonzero(held))], how


def _across_speakers(rows: np.ndarray, speakers: pd.Series) -> tuple[list[Split], str]:
    groups = speakers.to_numpy()[rows]
    count = len(np.unique(groups))
    if count < 2:
        return [], "fewer than two speakers for cross-validation"
    folds = GroupKFold(min(SPEAKER_FOLDS, count)).split(rows, groups=groups)
    left_out = "speaker" if count <= SPEAKER_FOLDS else f"tenth of the {count} speakers"
    how = f"cross-validation leaving out one {left_out}, within the encoder's training split"
    return [(rows[a], rows[b]) for a, b in folds], how


def _across_sentences(
    rows: np.ndarray, truth: np.ndarray, table: pd.DataFrame
) -> tuple[list[Split], str]:
    """Return folds with every speaker on both sides and, if possible, no sentence on both."""
    y = truth[rows]
    column = next((name for name in ("text", "dialogue") if name in table), None)
    groups = np.arange(len(rows))
    how = "cross-validation over utterances of the same speakers"
    if column is not None:
        # An unknown sentence is a group of its own.
        unknown = pd.Series([f"\0{number}" for number in groups], index=table.index[rows])
        named = table[column].iloc[rows].fillna(unknown).to_numpy()
        if pd.Series(named).groupby(y).nunique().min() >= 2:
            groups = named
            how += f", no {column} on both sides"
    most = min(pd.Series(groups).groupby(y).nunique(), default=0)
    if most < 2:
        return [], "fewer than two utterances of a speaker"
    folds = StratifiedGroupKFold(min(SENTENCE_FOLDS, most), shuffle=True, random_state=0)
    return [(rows[a], rows[b]) for a, b in folds.split(rows, y, groups)], how


def _numbered(table: pd.DataFrame, column: str) -> np.ndarray:
    """Return (N,) numbers of a column's values in sorted order; -1 where it has none."""
    if column not in table:
        return np.full(len(table), -1)
    return pd.factorize(table[column], sort=True)[0]


def _probe() -> Pipeline:
    # C=1, the default: for few, standardised codes a search by inner folds would cost more than it
    # improves. Balanced, because UA weights all classes equally.
    model = LogisticRegression(class_weight="balanced", max_iter=5000)
    return make_pipeline(StandardScaler(), model)
