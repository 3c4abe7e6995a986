"""What is predicted: a target selects utterances of a corpus and gives each a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

import numpy as np
import pandas as pd

from ser.corpora import Corpus
from ser.errors import UserError

LEVELS = ("low", "neutral", "high")
Bins = Literal["extremes", "rounded", "strict", "majority"]


@dataclass(frozen=True)
class Target:
    """The classes of the utterances that a target selects.

    Attributes:
        name: e.g. "emotion".
        classes: class names, in the order of every table, matrix and probability column.
        labels: class name by utterance id, of the selected utterances alone.
        labelled_fraction: share of the training part's labels that may be used (all of
            validation and test keep theirs, for scoring).
        labelled_seed: of the draw.
        remarks: rules that the corpus does not allow; printed with the scores.
    """

    name: str
    classes: tuple[str, ...]
    labels: pd.Series
    labelled_fraction: float = 1.0
    labelled_seed: int = 0
    remarks: tuple[str, ...] = ()

    def withheld(self, train: pd.Index) -> pd.Index:
        """The training utterances whose label may not be used, drawn class by class.

        At least one utterance of each class keeps its label.

        Args:
            train: utterance ids of a fold's training part.
        """
        if self.labelled_fraction == 1.0:
            return train[:0]
        rng = np.random.default_rng(self.labelled_seed)
        kept: list[str] = []
        for _, group in self.labels.loc[train].groupby(self.labels.loc[train]):
            count = max(1, round(self.labelled_fraction * len(group)))
            kept += list(rng.choice(group.index.sort_values().to_numpy(), count, replace=False))
        return train.difference(pd.Index(kept))

    def only(self, utterances: pd.Index) -> "Target":
        """The same target without the utterances that are not among `utterances`."""
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
    """Categorical emotion.

    Args:
        corpus: where the labels come from.
        classes: emotions kept, in this order; None: all that the corpus has, by name.
        merge: emotions counted as another one, e.g. {"excitement": "happiness"}.
        styles: styles of speech kept, e.g. ["improvised"]; None: all.
        min_agreement: utterances on whose (merged) label fewer raters agree are left out; 0 keeps
            all. Ignored, with a remark, if the corpus has no single ratings.
        labelled_fraction, labelled_seed: see `Target`.

    Raises:
        UserError: the corpus has no emotions or styles as asked for, or a class is empty.
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
    chosen = tuple(classes) if classes is not None else tuple(sorted(labels.unique()))
    _require_fraction(labelled_fraction)
    kept = labels[labels.isin(chosen)]
    target = Target(
        "emotion", chosen, kept, labelled_fraction, labelled_seed, remarks=tuple(remarks)
    )
    _require_all_classes(corpus, target, found=labels)
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
    """An emotional attribute in three classes: low, neutral, high.

    Args:
        corpus: where the values come from, on a scale from 1 to 5.
        name: "activation", "valence" or "dominance".
        bins: rule that makes classes of values, see `levels`. `majority` becomes `rounded`, with a
            remark, if the corpus has no single ratings.
        styles: styles of speech kept; None: all.
        labelled_fraction, labelled_seed: see `Target`.

    Raises:
        UserError: the corpus lacks the attribute or the styles, or a class is empty.
    """
    means = _column(corpus, _of_styles(corpus, styles), name).dropna().astype(float)
    remarks = []
    if bins == "majority" and corpus.raters is None:
        bins = "rounded"
        remarks.append(
            f"target.bins=majority is replaced by rounded: corpus {corpus.name} has no single "
            "ratings"
        )
    labels = levels(corpus, means, bins)
    _require_fraction(labelled_fraction)
    target = Target(name, LEVELS, labels, labelled_fraction, labelled_seed, remarks=tuple(remarks))
    _require_all_classes(corpus, target, found=labels)
    return target


def levels(corpus: Corpus, means: pd.Series, bins: Bins) -> pd.Series:
    """Low, neutral or high for each value.

    A mean of raters is no integer, so the rule moves every figure (IEMOCAP, activation: the
    neutral class has 74%, 49% or 24% of the utterances). The rules:

    - `extremes`: low <= 2 < neutral < 4 <= high
    - `rounded`, half up: low < 2.5 <= neutral < 3.5 <= high
    - `strict`: low < 3, neutral = 3, high > 3 (latif2018, 4.1)
    - `majority` of the raters' own {1, 2}, {3}, {4, 5}; a tie goes to the mean's `rounded` level

    Args:
        corpus: whose raters `majority` asks.
        means: values by utterance id, named as the attribute.
        bins: the rule.
    """
    return _majority(corpus, means) if bins == "majority" else _binned(means, bins)


def _binned(means: pd.Series, bins: Bins) -> pd.Series:
    if bins == "extremes":
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
    """How many raters named each utterance's (merged) label."""
    raters = _raters(corpus, "target.min_agreement")
    votes = raters[["utterance", "emotions"]].explode("emotions").dropna()
    votes["emotions"] = votes["emotions"].replace(dict(merge))
    hits = votes[votes["emotions"] == votes["utterance"].map(labels)]
    # A rater who names both an emotion and what is merged into it is still one rater.
    counts = hits.groupby(level=0)["utterance"].first().value_counts()
    return counts.reindex(labels.index, fill_value=0)


def _raters(corpus: Corpus, option: str) -> pd.DataFrame:
    if corpus.raters is None:
        raise UserError(f"{option} needs single ratings, and corpus {corpus.name} has none")
    return corpus.raters


def _of_styles(corpus: Corpus, styles: Sequence[str] | None) -> pd.DataFrame:
    if styles is None:
        return corpus.table
    found = _column(corpus, corpus.table, "style")
    unknown = sorted(set(styles) - set(found))
    if unknown:
        raise UserError(
            f"target.styles names {unknown}, and corpus {corpus.name} has only "
            f"{sorted(found.dropna().unique())}"
        )
    return corpus.table[found.isin(styles)]


def _column(corpus: Corpus, table: pd.DataFrame, column: str) -> pd.Series:
    if column not in table or table[column].isna().all():
        has = [c for c in ("emotion", "activation", "valence", "dominance") if c in table]
        raise UserError(
            f"corpus {corpus.name} has no {column}; what could be a target here: {', '.join(has)}"
        )
    return table[column]


def _require_fraction(labelled_fraction: float) -> None:
    if not 0 < labelled_fraction <= 1:
        raise UserError(f"target.labelled_fraction={labelled_fraction}: above 0, and 1 at most")


def _require_all_classes(corpus: Corpus, target: Target, found: pd.Series) -> None:
    counts = found.value_counts()
    for name in target.classes:
        if counts.get(name, 0) == 0:
            close = get_close_matches(name, [str(c) for c in counts.index], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            listing = ", ".join(f"{label} {count}" for label, count in counts.items())
            raise UserError(
                f"target {target.name}: no utterance of corpus {corpus.name} has class "
                f"{name}{hint}; it has {listing or 'none at all'}"
            )
    if len(target.classes) < 2:
        raise UserError(f"target {target.name} has one class, {target.classes}: two at least")
