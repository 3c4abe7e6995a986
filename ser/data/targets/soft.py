"""Labels of several raters: shares of classes to learn, and weights by agreement."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ser import metrics
from ser.corpora import Corpus
from ser.data.raters import Ratings, shares
from ser.data.targets.target import Target
from ser.errors import UserError


def shares_of(
    corpus: Corpus, ratings: Ratings | None, classes: Sequence[str], labels: pd.Series
) -> pd.DataFrame:
    """Return the share of the raters of each utterance for each class, (N, C).

    Args:
        corpus: Corpus.
        ratings: Its single ratings; None: there are none.
        classes: C names.
        labels: Class name by utterance id. It has the whole share of an utterance without ratings.

    Raises:
        UserError: There are no ratings.
    """
    ratings = _required(corpus, ratings, "target.labels=distribution")
    own = pd.DataFrame(one_hot(classes, labels), labels.index, list(classes))
    return shares(ratings, classes).reindex(labels.index).fillna(own)


def with_shares(target: Target, votes: pd.DataFrame) -> Target:
    """Return a target that is learned and scored as a distribution of raters.

    Args:
        target: Its labels are the classes of most raters, after a tie any of them.
        votes: Share of the raters of each utterance for each class, (N, C).
    """
    tied = votes.index[(metrics.majority(votes.to_numpy()) > 0).sum(axis=1) > 1]
    remark = f"{len(tied)} utterances without a majority of raters have no part in UA"
    remarks = (*target.remarks, remark) if len(tied) else target.remarks
    return replace(target, shares=votes, tied=tied, remarks=remarks)


def agreement_weights(
    corpus: Corpus, ratings: Ratings | None, classes: Sequence[str], labels: pd.Series
) -> pd.Series:
    """Return the share of the raters of each utterance who chose its label.

    Raters of an emotion that is none of the classes do not count. An utterance without ratings has
    the mean weight.

    Raises:
        UserError: The corpus has no single ratings.
    """
    ratings = _required(corpus, ratings, "target.weights=agreement")
    votes = shares(ratings, classes).reindex(labels.index).to_numpy()
    weights = np.where(one_hot(classes, labels) == 1, votes, 0.0).sum(axis=1)
    series = pd.Series(weights, labels.index)
    return series.fillna(series.mean())


def one_hot(classes: Sequence[str], labels: pd.Series) -> np.ndarray:
    """Return 1 for the class of each label and else 0, (N, C)."""
    return (labels.to_numpy()[:, None] == np.array(classes, object)).astype(float)


def _required(corpus: Corpus, ratings: Ratings | None, option: str) -> Ratings:
    if ratings is None:
        raise UserError(f"{option} needs single ratings, and corpus {corpus.name} has none")
    return ratings
