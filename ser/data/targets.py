"""Targets: what is predicted. A target selects utterances of a corpus and assigns classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

import numpy as np
import pandas as pd

from ser.corpora import Corpus
from ser.errors import UserError

LEVELS = ("low", "neutral", "high")
Bins = Literal["extremes", "rounded", "strict", "majority"] | Sequence[float]
# Means of ratings from 1 to 5; a few of IEMOCAP's are half a point beyond.
SCALE = (0.5, 5.5)


@dataclass(frozen=True)
class Target:
    """The classes of the utterances that a target selects.

    Attributes:
        name: E.g. "emotion".
        classes: Class names, in the order of every table, matrix and probability column.
        labels: Class name by utterance id, of the selected utterances only.
        labelled_fraction: Fraction of the training labels that may be used. Validation and test
            keep all labels, for scoring.
        labelled_seed: Seed of the draw of these labels.
        remarks: Rules that the corpus does not allow; printed with the scores.
    """

    name: str
    classes: tuple[str, ...]
    labels: pd.Series
    labelled_fraction: float = 1.0
    labelled_seed: int = 0
    remarks: tuple[str, ...] = ()

    def withheld(self, train: pd.Index) -> pd.Index:
        """Return the training utterances whose labels may not be used.

        They are drawn per class. At least one utterance of each class keeps its label.

        Args:
            train: Utterance ids of the training split.
        """
        if self.labelled_fraction == 1.0:
            return train[:0]
        rng = np.random.default_rng(self.labelled_seed)
        labelled: list[str] = []
        for _, group in self.labels.loc[train].groupby(self.labels.loc[train]):
            count = max(1, round(self.labelled_fraction * len(group)))
            labelled += list(rng.choice(group.index.sort_values().to_numpy(), count, replace=False))
        return train.difference(pd.Index(labelled))

    def require_training_classes(self, fold: int, train: pd.Index) -> None:
        """Check that the training split of a fold has utterances of every class.

        Raises:
            UserError: A class has none.
        """
        present = set(self.labels.loc[train])
        if absent := [name for name in self.classes if name not in present]:
            raise UserError(
                f"fold {fold}: no training utterance has class {absent[0]} of {self.name}; "
                "leave the class out of target.classes, or choose another fold"
            )

    def only(self, utterances: pd.Index) -> "Target":
        """Return the same target, restricted to some utterances."""
        return replace(self, labels=self.labels[self.labels.index.isin(utterances)])

    @property
    def codes(self) -> pd.Series:
        """Class index by utterance id."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return self.labels.map(numbers).astype(np.int64)


def emotion(
    corpus: Corpus,
    *,
    classes: Sequence[str] | None,
    merge: Mapping[str, str] | None,
    styles: Sequence[str] | None,
    min_agreement: int,
    labelled_fraction: float,
    labelled_seed: int,
) -> Target:
    """Select utterances by categorical emotion.

    Args:
        corpus: Corpus with the labels.
        classes: Emotions, in the order of the classes; None: all of the corpus, sorted by name.
        merge: Emotions that are replaced by another one, e.g. {"excitement": "happiness"}.
        styles: Styles of speech, e.g. ["improvised"]; None: all.
        min_agreement: Smallest number of raters who agree on the (merged) label; 0: no condition.
            Ignored, with a remark, if the corpus has no single ratings.
        labelled_fraction, labelled_seed: See `Target`.

    Raises:
        UserError: The corpus lacks emotions or the given styles, or a class is empty.
    """
    table = _of_styles(corpus, styles)
    merge = dict(merge or {})
    labels = _column(corpus, table, "emotion").dropna().replace(merge)
    remarks = []
    if min_agreement > 0 and corpus.raters is None:
        remarks.append(
            f"target.min_agreement={min_agreement} is ignored: corpus {corpus.name} has no single "
            "ratings"
        )
    elif min_agreement > 0:
        agreed = _agreement(corpus, labels, merge)
        labels = labels[agreed >= min_agreement]
    names = tuple(classes) if classes is not None else tuple(sorted(labels.unique()))
    _require_fraction(labelled_fraction)
    selected = labels[labels.isin(names)]
    target = Target(
        "emotion", names, selected, labelled_fraction, labelled_seed, remarks=tuple(remarks)
    )
    _require_all_classes(corpus, target, labels)
    return target


def attribute(
    corpus: Corpus,
    *,
    name: Literal["activation", "valence", "dominance"],
    bins: Bins,
    styles: Sequence[str] | None,
    labelled_fraction: float,
    labelled_seed: int,
) -> Target:
    """Divide an emotional attribute into three classes: low, neutral, high.

    Args:
        corpus: Corpus with the values; on a scale from 1 to 5, unless `bins` are thresholds.
        name: "activation", "valence" or "dominance".
        bins: Rule that converts values to classes, see `levels`. `majority` becomes `rounded`, with
            a remark, if the corpus has no single ratings.
        styles: Styles of speech, e.g. ["improvised"]; None: all.
        labelled_fraction, labelled_seed: See `Target`.

    Raises:
        UserError: The corpus lacks the attribute or the given styles, values have another scale
            than the rule, or a class is empty.
    """
    means = _column(corpus, _of_styles(corpus, styles), name).dropna().astype(float)
    remarks = []
    if bins == "majority" and corpus.raters is None:
        bins = "rounded"
        remarks.append(
            f"target.bins=majority is replaced by rounded: corpus {corpus.name} has no single "
            "ratings"
        )
    _require_scale(corpus, means, bins)
    labels = levels(corpus, means, bins)
    _require_fraction(labelled_fraction)
    target = Target(name, LEVELS, labels, labelled_fraction, labelled_seed, remarks=tuple(remarks))
    _require_all_classes(corpus, target, labels)
    return target


def levels(corpus: Corpus, means: pd.Series, bins: Bins) -> pd.Series:
    """Convert each value to low, neutral or high.

    A mean of ratings is not an integer, so the rule changes every score: in IEMOCAP the neutral
    class of activation has 74%, 49% or 24% of the utterances. The rules:

    - `extremes`: low <= 2 < neutral < 4 <= high
    - `rounded`, half up: low < 2.5 <= neutral < 3.5 <= high
    - `strict`: low < 3, neutral = 3, high > 3 (latif2018, 4.1)
    - `majority`: most frequent level of the single ratings, {1, 2}, {3}, {4, 5}; after a tie the
      `rounded` level of the mean
    - two thresholds, e.g. [2.5, 3.5], for any scale: low < 2.5 <= neutral < 3.5 <= high

    Args:
        corpus: Corpus with the single ratings, for `majority`.
        means: Values by utterance id; the name of the series is the attribute.
        bins: Rule.
    """
    return _majority(corpus, means) if bins == "majority" else _binned(means, bins)


def _binned(means: pd.Series, bins: Bins) -> pd.Series:
    if not isinstance(bins, str):
        low, high = means < bins[0], means >= bins[1]
    elif bins == "extremes":
        low, high = means <= 2.0, means >= 4.0
    elif bins == "rounded":
        low, high = means < 2.5, means >= 3.5
    else:
        low, high = means < 3.0, means > 3.0
    return pd.Series(
        np.select([low, high], [LEVELS[0], LEVELS[2]], LEVELS[1]), index=means.index, name="label"
    )


def _majority(corpus: Corpus, means: pd.Series) -> pd.Series:
    name = str(means.name)
    raters = _raters(corpus, f"target.bins=majority for {name}")
    votes = raters.loc[raters["utterance"].isin(means.index), ["utterance", name]].dropna()
    votes["label"] = _binned(votes[name].astype(float), "rounded")
    counts = votes.groupby(["utterance", "label"]).size().unstack(fill_value=0)
    counts = counts.reindex(means.index, columns=list(LEVELS), fill_value=0)
    top = counts.max(axis=1)
    single = counts.eq(top, axis=0).sum(axis=1) == 1
    return counts.idxmax(axis=1).where(single, _binned(means, "rounded")).rename("label")


def _agreement(corpus: Corpus, labels: pd.Series, merge: Mapping[str, str]) -> pd.Series:
    """Count the raters who chose the (merged) label of each utterance."""
    raters = _raters(corpus, "target.min_agreement")
    votes = raters[["utterance", "emotions"]].explode("emotions").dropna()
    votes["emotions"] = votes["emotions"].replace(dict(merge))
    hits = votes[votes["emotions"] == votes["utterance"].map(labels)]
    # A rater counts once, even if both an emotion and the one merged into it were chosen.
    counts = hits.groupby(level=0)["utterance"].first().value_counts()
    return counts.reindex(labels.index, fill_value=0)


def _raters(corpus: Corpus, option: str) -> pd.DataFrame:
    if corpus.raters is None:
        raise UserError(f"{option} needs single ratings, and corpus {corpus.name} has none")
    return corpus.raters


def _of_styles(corpus: Corpus, styles: Sequence[str] | None) -> pd.DataFrame:
    if styles is None:
        return corpus.table
    available = _column(corpus, corpus.table, "style")
    unknown = sorted(set(styles) - set(available))
    if unknown:
        raise UserError(
            f"target.styles={list(styles)}: corpus {corpus.name} has no style {unknown}, only "
            f"{sorted(available.dropna().unique())}"
        )
    return corpus.table[available.isin(styles)]


def _column(corpus: Corpus, table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table or table[column].isna().all():
        available = [c for c in ("emotion", "activation", "valence", "dominance") if c in table]
        hint = f": choose target={available[0]}" if available else ""
        ignored = "".join(f" ({n})" for n in corpus.notes if n.startswith("columns ignored"))
        raise UserError(
            f"corpus {corpus.name} has no {column}; its targets are "
            f"{', '.join(available) or 'none'}{hint}{ignored}"
        )
    return table[column]


def _require_scale(corpus: Corpus, values: pd.Series, bins: Bins) -> None:
    """Check that values have the scale that a rule is for, or that thresholds increase."""
    name, low, high = values.name, values.min(), values.max()
    if not isinstance(bins, str):
        if len(bins) != 2 or not bins[0] < bins[1]:
            raise UserError(f"target.bins={list(bins)}: must be two increasing thresholds")
    elif low < SCALE[0] or high > SCALE[1] or high <= 1:
        third = (high - low) / 3
        raise UserError(
            f"{name} of corpus {corpus.name} is from {low:g} to {high:g}, but target.bins={bins} "
            "is for a scale from 1 to 5: give the scale of a manifest's ratings, e.g. "
            f"corpus.scale=[{low:g},{high:g}], or thresholds, e.g. "
            f"target.bins=[{low + third:.3g},{high - third:.3g}]"
        )


def _require_fraction(labelled_fraction: float) -> None:
    if not 0 < labelled_fraction <= 1:
        raise UserError(
            f"target.labelled_fraction={labelled_fraction} must be above 0 and at most 1"
        )


def _require_all_classes(corpus: Corpus, target: Target, labels: pd.Series) -> None:
    counts = labels.value_counts()
    for name in target.classes:
        if counts.get(name, 0) == 0:
            close = get_close_matches(name, [str(c) for c in counts.index], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            listing = ", ".join(f"{label} {count}" for label, count in counts.items())
            raise UserError(
                f"target {target.name}: no utterance of corpus {corpus.name} has class "
                f"{name}{hint}; its classes: {listing or 'none'}"
            )
    if len(target.classes) < 2:
        raise UserError(f"target {target.name} needs at least two classes, not {target.classes}")
