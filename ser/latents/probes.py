"""Linear probes: how well codes tell a label, measured on utterances that no probe learned from.

A probe is a multinomial logistic regression on standardised codes. What a linear probe does not
find may still be there; what it finds is.
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
    """How one label is probed on one side of the fold; the same for every latent.

    Attributes:
        label: `speaker`, `gender` or the target.
        side: "held out" or "train": whose codes are scored.
        truth: (N,) class indices of all utterances, -1 where there is no label.
        splits: rows that a probe learns from, and rows that it is scored on; disjoint.
        how: the same in words, or why there are no splits.
    """

    label: str
    side: str
    truth: np.ndarray
    splits: Sequence[Split]
    how: str


@dataclass(frozen=True)
class Score:
    """How well one latent tells one label.

    Attributes:
        latent: its name, or several joined by " + ".
        label, side, how: as in `Trial`.
        ua: of all scored utterances together; None where it could not be measured.
        low, high: 95% of `ua` over resampled utterances: of these speakers, not of others.
        chance: UA of guessing.
        utterances: how many were scored.
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
        """`low` and `high` in percent; empty where not measured."""
        if self.low is None or self.high is None:
            return ""
        return f"{100 * self.low:.0f}-{100 * self.high:.0f}"


def percent(score: Score) -> str:
    """As it stands in a sentence.

    Examples:
        >>> percent(Score("z", "emotion", "train", "", ua=0.7, low=0.6, high=0.8))
        '70.0% [60-80]'
    """
    return "not measured" if score.ua is None else f"{100 * score.ua:.1f}% [{score.interval}]"


def probed(
    codes: Mapping[str, np.ndarray], table: pd.DataFrame, target: str, independent: bool
) -> list[Score]:
    """Probes every latent alone and all together, for target, gender and speaker.

    Args:
        codes: (N, K) by latent.
        table: N rows with `part`, `truth`, `speaker` and, where known, `gender`, `text`.
        target: its name.
        independent: whether no speaker is in two parts.
    """
    inputs = dict(codes)
    if len(codes) > 1:
        inputs[" + ".join(codes)] = np.concatenate(list(codes.values()), axis=1)
    every = trials(table, target, independent)
    return [scored(name, x, trial) for name, x in inputs.items() for trial in every]


def trials(table: pd.DataFrame, target: str, independent: bool) -> list[Trial]:
    """What is learned from what; see `probed`.

    Target and gender: from the training part to the held-out ones, and, within the training part,
    from some speakers to others. Speaker: from some utterances to others of the same speakers, if
    possible with other sentences.
    """
    train = (table["part"] == "train").to_numpy()
    found = []
    for label, column in ((target, "truth"), ("gender", "gender")):
        truth = _numbered(table, column)
        known = truth >= 0
        held = _transferred(train & known, ~train & known, independent)
        across = _across_speakers(np.flatnonzero(train & known), table["speaker"])
        found += [_trial(label, HELD_OUT, truth, *held), _trial(label, TRAINED, truth, *across)]
    truth = _numbered(table, "speaker")
    for side, rows in ((HELD_OUT, ~train), (TRAINED, train)):
        splits, how = _across_sentences(np.flatnonzero(rows), truth, table)
        found.append(_trial("speaker", side, truth, splits, how))
    return found


def _trial(label: str, side: str, truth: np.ndarray, splits: Sequence[Split], how: str) -> Trial:
    """A trial, or one without splits that says why."""
    kinds = [len(np.unique(truth[learn])) for learn, _ in splits]
    seen = {number for _, held in splits for number in truth[held]}
    if (truth < 0).all():
        splits, how = [], f"this corpus has no {label}"
    elif splits and len(seen) < 2:
        splits, how = [], f"fewer than two kinds of {label} to tell apart"
    elif splits and min(kinds) < 2:
        splits, how = [], f"fewer than two kinds of {label} to learn from"
    return Trial(label, side, truth, splits, how)


def _transferred(train: np.ndarray, held: np.ndarray, independent: bool) -> tuple[list[Split], str]:
    whose = "speakers that neither encoder nor probe met" if independent else "the same speakers"
    how = f"learned on the training part, scored on val (which chose the epoch) + test: {whose}"
    return [(np.flatnonzero(train), np.flatnonzero(held))], how


def _across_speakers(rows: np.ndarray, speakers: pd.Series) -> tuple[list[Split], str]:
    groups = speakers.to_numpy()[rows]
    count = len(np.unique(groups))
    if count < 2:
        return [], "fewer than two speakers to leave out in turn"
    folds = GroupKFold(min(SPEAKER_FOLDS, count)).split(rows, groups=groups)
    left = "one speaker" if count <= SPEAKER_FOLDS else f"a tenth of {count} speakers"
    how = f"{left} left out in turn, within the training part that the encoder learned from"
    return [(rows[a], rows[b]) for a, b in folds], how


def _across_sentences(
    rows: np.ndarray, truth: np.ndarray, table: pd.DataFrame
) -> tuple[list[Split], str]:
    """Folds in which every speaker is on both sides and, if possible, no sentence is."""
    y = truth[rows]
    column = next((name for name in ("text", "dialogue") if name in table), None)
    groups = np.arange(len(rows))
    how = "folds of utterances of the same speakers"
    if column is not None:
        # A sentence that nobody has noted is one of its own.
        alone = pd.Series([f"\0{number}" for number in groups], index=table.index[rows])
        named = table[column].iloc[rows].fillna(alone).to_numpy()
        if pd.Series(named).groupby(y).nunique().min() >= 2:
            groups = named
            how += f", no {column} on both sides"
    most = min(pd.Series(groups).groupby(y).nunique(), default=0)
    if most < 2:
        return [], "fewer than two utterances of a speaker"
    folds = StratifiedGroupKFold(min(SENTENCE_FOLDS, most), shuffle=True, random_state=0)
    return [(rows[a], rows[b]) for a, b in folds.split(rows, y, groups)], how


def _numbered(table: pd.DataFrame, column: str) -> np.ndarray:
    """(N,) numbers of a column's values in sorted order, -1 where it has none."""
    if column not in table:
        return np.full(len(table), -1)
    return pd.factorize(table[column], sort=True)[0]


def scored(latent: str, x: np.ndarray, trial: Trial) -> Score:
    """Fits a probe a split and scores all predictions together.

    Args:
        latent: name of what `x` holds.
        x: (N, K) codes.
        trial: what to tell from them.
    """
    score = Score(latent, trial.label, trial.side, trial.how)
    if not trial.splits:
        return score
    pairs = []
    for learn, held in trial.splits:
        fitted = _probe().fit(x[learn], trial.truth[learn])
        pairs.append((trial.truth[held], fitted.predict(x[held])))
    truth, told = (np.concatenate(column) for column in zip(*pairs, strict=True))
    classes = int(trial.truth.max()) + 1
    facts = metrics.scores(metrics.confusion_matrix(truth, told, classes))
    draws = np.random.default_rng(0).integers(len(truth), size=(RESAMPLES, len(truth)))
    matrices = (metrics.confusion_matrix(truth[rows], told[rows], classes) for rows in draws)
    low, high = np.percentile([metrics.unweighted_accuracy(each) for each in matrices], [2.5, 97.5])
    return Score(
        latent,
        trial.label,
        trial.side,
        trial.how,
        ua=facts["ua"],
        low=float(low),
        high=float(high),
        chance=facts["chance_ua"],
        utterances=len(truth),
    )


def _probe() -> Pipeline:
    # The library's C=1: with codes standardised and few, a choice of C by inner folds would cost
    # more than it tells. Balanced, because UA counts every class the same.
    model = LogisticRegression(class_weight="balanced", max_iter=5000)
    return make_pipeline(StandardScaler(), model)
