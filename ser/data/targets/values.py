"""Emotional attributes as a target: three classes, or values."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from ser.corpora import Corpus
from ser.data.raters import Binning, attribute_ratings
from ser.data.targets.selection import column_of, of_styles, raters_of
from ser.data.targets.soft import agreement_weights, one_hot, shares_of
from ser.data.targets.target import Target, require_all_classes, require_fraction
from ser.errors import UserError

LEVELS = ("low", "neutral", "high")
Bins = Literal["extremes", "rounded", "strict", "majority"] | Sequence[float]
# Means of ratings from 1 to 5; a few of IEMOCAP's are half a point beyond.
SCALE = (0.5, 5.5)


def attribute(
    corpus: Corpus,
    *,
    name: Literal["activation", "valence", "dominance"],
    bins: Bins | None,
    styles: Sequence[str] | None,
    labelled_fraction: float,
    labelled_seed: int,
    labels: Literal["mean", "majority", "distribution"] = "mean",
    weights: Literal["agreement"] | None = None,
) -> Target:
    """Select the values of an emotional attribute, or divide them into low, neutral and high.

    Args:
        corpus: Corpus with the values; on a scale from 1 to 5, unless `bins` are thresholds or
            None.
        name: "activation", "valence" or "dominance".
        bins: Rule that converts values to classes, see `levels`. `majority` becomes `rounded`, with
            a remark, if the corpus has no single ratings. None: values, on any scale.
        styles: Styles of speech, e.g. ["improvised"]; None: all.
        labelled_fraction, labelled_seed: See `Target`.
        labels: How raters are combined: "mean": the mean of their ratings, or its class;
            "majority": the most frequent class of the single ratings, after a tie the class of
            their mean (`bins=majority` is this with `rounded`); "distribution": the share of the
            raters for each class, where the label is that of "majority". "mean", as in
            configurations before there was a choice.
        weights: "agreement": an utterance counts in training by the share of its raters who chose
            its label; None, as in configurations before there was a choice: all count the same.

    Raises:
        UserError: The corpus lacks the attribute, the single ratings or the given styles, values
            have another scale than the rule, or a class is empty.
    """
    means = column_of(corpus, of_styles(corpus, styles), name).dropna().astype(float)
    require_fraction(labelled_fraction)
    if bins is None:
        assert (labels, weights) == ("mean", None)  # see `ser.config.combinations`
        return Target(
            name,
            (),
            means,
            labelled_fraction,
            labelled_seed,
            levels=_levels_of_any_scale(means),
            ratings=attribute_ratings(corpus, means.index, name),
        )
    remarks = []
    if bins == "majority" and corpus.raters is None:
        bins = "rounded"
        remarks.append(
            f"target.bins=majority is replaced by rounded: corpus {corpus.name} has no single "
            "ratings"
        )
    _require_scale(corpus, means, bins)
    if bins == "majority":
        bins, labels = "rounded", "majority" if labels == "mean" else labels
    binning = _binning(bins)
    rule = {"of_mean": binning} if labels == "mean" else {"of_tie": binning}
    ratings = attribute_ratings(corpus, means.index, name, single=binning, **rule)
    classes = _binned(means, bins) if labels == "mean" else _majority(corpus, means, bins)
    target = Target(
        name,
        LEVELS,
        classes,
        labelled_fraction,
        labelled_seed,
        remarks=tuple(remarks),
        ratings=ratings,
        shares=shares_of(corpus, ratings, LEVELS, classes) if labels == "distribution" else None,
        weights=agreement_weights(corpus, ratings, LEVELS, classes) if weights else None,
    )
    require_all_classes(corpus, target, classes)
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
    return _majority(corpus, means, "rounded") if bins == "majority" else _binned(means, bins)


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


def _binning(bins: Bins) -> Binning:
    """Return a rule as a function of (U,) values to (U, 3), 1 for the level of each."""
    return partial(_binned_one_hot, bins)


def _binned_one_hot(bins: Bins, values: np.ndarray) -> np.ndarray:
    return one_hot(LEVELS, _binned(pd.Series(values), bins))


def _majority(corpus: Corpus, means: pd.Series, bins: Bins) -> pd.Series:
    name = str(means.name)
    raters = raters_of(corpus, f"the level of most ratings of {name}")
    votes = raters.loc[raters["utterance"].isin(means.index), ["utterance", name]].dropna()
    votes["label"] = _binned(votes[name].astype(float), bins)
    counts = votes.groupby(["utterance", "label"]).size().unstack(fill_value=0)
    counts = counts.reindex(means.index, columns=list(LEVELS), fill_value=0)
    top = counts.max(axis=1)
    single = counts.eq(top, axis=0).sum(axis=1) == 1
    return counts.idxmax(axis=1).where(single, _binned(means, bins)).rename("label")


def _levels_of_any_scale(means: pd.Series) -> pd.Series:
    """Return levels that balance folds: those of `rounded`, else thirds of the utterances.

    The groups of speakers are then the same whether the target has classes or values.
    """
    thirds = means.quantile([1 / 3, 2 / 3]).tolist()
    return _binned(means, "rounded" if on_scale(means) else thirds)


def on_scale(values: pd.Series) -> bool:
    """Return whether values are on the scale from 1 to 5 on which corpora have attributes."""
    return bool(SCALE[0] <= values.min() and 1 < values.max() <= SCALE[1])


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
