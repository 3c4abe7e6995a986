"""Categorical emotions as a target."""

from collections.abc import Mapping, Sequence
from typing import Literal

import pandas as pd

from ser import metrics
from ser.corpora import Corpus
from ser.data.raters import emotion_ratings, is_rated, shares
from ser.data.targets.selection import column_of, of_styles, raters_of
from ser.data.targets.soft import agreement_weights, with_shares
from ser.data.targets.target import Target, require_all_classes, require_fraction
from ser.errors import UserError


def emotion(
    corpus: Corpus,
    *,
    classes: Sequence[str] | None,
    merge: Mapping[str, str] | None,
    styles: Sequence[str] | None,
    min_agreement: int,
    labelled_fraction: float,
    labelled_seed: int,
    labels: Literal["corpus", "majority", "distribution"] = "corpus",
    weights: Literal["agreement"] | None = None,
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
        labels: "corpus": the label of the corpus; "majority": the (merged) emotion that most raters
            chose among the classes, without utterances that have a tie; "distribution": the share
            of the raters for each class, also of utterances with a tie. The last two leave out
            utterances of which most raters chose none of the classes. "corpus", as in
            configurations before there was a choice.
        weights: "agreement": an utterance counts in training by the share of its raters who chose
            its label; None, as in configurations before there was a choice: all count the same.

    Raises:
        UserError: The corpus lacks emotions, the single ratings or the given styles, or a class is
            empty.
    """
    table = of_styles(corpus, styles)
    merge = dict(merge or {})
    given = column_of(corpus, table, "emotion").dropna().replace(merge)
    remarks = []
    named, votes = given, None
    if labels != "corpus":
        among = list(classes) if classes is not None else sorted(given.unique())
        votes = _votes(corpus, table.index, among, merge, f"target.labels={labels}")
        tied = (metrics.majority(votes.to_numpy()) > 0).sum(axis=1) > 1
        votes = votes[~tied] if labels == "majority" else votes
        named = votes.idxmax(axis=1).astype(str)
    if min_agreement > 0 and corpus.raters is None:
        remarks.append(
            f"target.min_agreement={min_agreement} is ignored: corpus {corpus.name} has no single "
            "ratings"
        )
    else:
        named = _agreed(corpus, named, merge, min_agreement)
    names = tuple(classes) if classes is not None else tuple(sorted(named.unique()))
    require_fraction(labelled_fraction)
    selected = named[named.isin(names)]
    ratings = emotion_ratings(corpus, selected.index, names, merge)
    target = Target(
        "emotion",
        names,
        selected,
        labelled_fraction,
        labelled_seed,
        remarks=tuple(remarks),
        ratings=ratings,
        weights=agreement_weights(corpus, ratings, names, selected) if weights else None,
    )
    if votes is not None and labels == "distribution":
        target = with_shares(target, votes.loc[selected.index, list(names)])
    require_all_classes(corpus, target, named)
    return target


def emotion_shares(
    corpus: Corpus,
    *,
    classes: Sequence[str],
    merge: Mapping[str, str] | None,
    styles: Sequence[str] | None,
    min_agreement: int,
) -> Target:
    """Return emotions as `emotion` does with `labels="distribution"`, for a model that exists.

    The corpus may lack some of the classes of the model.

    Args:
        corpus: Corpus with single ratings.
        classes: Classes of the model, in the order of its probabilities.
        merge, styles, min_agreement: As of `emotion`.

    Raises:
        UserError: No rater chose any of the classes.
    """
    merge = dict(merge or {})
    utterances = of_styles(corpus, styles).index
    votes = _votes(corpus, utterances, classes, merge, "target.labels=distribution")
    named = _agreed(corpus, votes.idxmax(axis=1).astype(str), merge, min_agreement)
    ratings = emotion_ratings(corpus, named.index, classes, merge)
    return with_shares(
        Target("emotion", tuple(classes), named, ratings=ratings), votes.loc[named.index]
    )


def _votes(
    corpus: Corpus,
    utterances: pd.Index,
    classes: Sequence[str],
    merge: Mapping[str, str],
    option: str,
) -> pd.DataFrame:
    """Return the share of the raters for each class, (N, C).

    Utterances are left out if less than half of their raters chose one of the classes.
    """
    rows = raters_of(corpus, option)
    if not is_rated(corpus, "emotion"):
        raise UserError(f"{option}: the raters of corpus {corpus.name} chose no emotions")
    chosen = rows["utterance"].isin(utterances) & (rows["emotions"].str.len() > 0)
    everyone = rows.loc[chosen, "utterance"].value_counts()
    ratings = emotion_ratings(corpus, utterances, classes, merge)
    if ratings is None:
        raise UserError(f"{option}: no rater of corpus {corpus.name} chose {', '.join(classes)}")
    table = shares(ratings, classes)
    counts = pd.Series(ratings.utterances).value_counts()
    return table[2 * counts.loc[table.index] >= everyone.loc[table.index]]


def _agreed(
    corpus: Corpus, labels: pd.Series, merge: Mapping[str, str], min_agreement: int
) -> pd.Series:
    """Return the labels on which enough raters agree; all of them if none need to."""
    if min_agreement == 0:
        return labels
    return labels[_agreement(corpus, labels, merge) >= min_agreement]


def _agreement(corpus: Corpus, labels: pd.Series, merge: Mapping[str, str]) -> pd.Series:
    """Count the raters who chose the (merged) label of each utterance."""
    raters = raters_of(corpus, "target.min_agreement")
    votes = raters[["utterance", "emotions"]].explode("emotions").dropna()
    votes["emotions"] = votes["emotions"].replace(dict(merge))
    hits = votes[votes["emotions"] == votes["utterance"].map(labels)]
    # A rater counts once, even if both an emotion and the one merged into it were chosen.
    counts = hits.groupby(level=0)["utterance"].first().value_counts()
    return counts.reindex(labels.index, fill_value=0)
