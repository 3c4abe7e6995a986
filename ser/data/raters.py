"""Single ratings of the utterances of a target: how well raters agree, and what share says what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics
from ser.corpora import Corpus

# (U,) values -> (U, C), 1 for the class of each value.
Binning = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Ratings:
    """Single ratings in long form, one item per rating.

    Attributes:
        utterances: (R,) utterance ids.
        raters: (R,) names of raters.
        votes: (R, C) shares of the classes that a rater chose, whose sum is 1; (R, 0) of values.
        values: (R,) values of an attribute; None: classes were rated.
        of_mean: Class of a mean of ratings, by which a target combines raters; None: the majority.
        of_tie: Class of the mean of ratings without majority; None: there is none.
    """

    utterances: np.ndarray
    raters: np.ndarray
    votes: np.ndarray
    values: np.ndarray | None = None
    of_mean: Binning | None = None
    of_tie: Binning | None = None

    def of(self, utterances: pd.Index) -> "Ratings":
        """Return the ratings of some utterances."""
        chosen = pd.Series(self.utterances).isin(utterances).to_numpy()
        values = None if self.values is None else self.values[chosen]
        return Ratings(
            self.utterances[chosen],
            self.raters[chosen],
            self.votes[chosen],
            values,
            self.of_mean,
            self.of_tie,
        )


def is_rated(corpus: Corpus, name: str) -> bool:
    """Return whether a corpus has single ratings of "emotion", or of an attribute by its name."""
    column = "emotions" if name == "emotion" else name
    if corpus.raters is None or column not in corpus.raters:
        return False
    known = corpus.raters[column].dropna()
    return bool(known.map(len).any()) if name == "emotion" else not known.empty


def emotion_ratings(
    corpus: Corpus, utterances: pd.Index, classes: Sequence[str], merge: Mapping[str, str]
) -> Ratings | None:
    """Return the (merged) emotions that raters chose among some classes.

    A rater who chose several of the classes has a vote for each, of equal shares. A rating of none
    of the classes is left out.

    Returns:
        None if the corpus has no such ratings.
    """
    rows = _of(corpus, utterances)
    if rows is None or "emotions" not in rows:
        return None
    chosen = rows["emotions"].explode().dropna()
    numbers = {name: number for number, name in enumerate(classes)}
    codes = chosen.map(lambda name: numbers.get(merge.get(name, name), -1)).astype(int)
    codes = codes[codes >= 0]
    votes = np.zeros((len(rows), len(classes)))
    votes[codes.index, codes] = 1
    counts = votes.sum(axis=1)
    rows, votes = rows[counts > 0], votes[counts > 0]
    if rows.empty:
        return None
    votes /= votes.sum(axis=1, keepdims=True)
    return Ratings(rows["utterance"].to_numpy(), rows["rater"].to_numpy(), votes)


def attribute_ratings(
    corpus: Corpus,
    utterances: pd.Index,
    name: str,
    *,
    single: Binning | None = None,
    of_mean: Binning | None = None,
    of_tie: Binning | None = None,
) -> Ratings | None:
    """Return the ratings of an attribute.

    Args:
        corpus: Corpus.
        utterances: Utterance ids.
        name: "activation", "valence" or "dominance".
        single: Class of a single rating; None: the target is a value.
        of_mean, of_tie: See `Ratings`.

    Returns:
        None if the corpus has no such ratings.
    """
    rows = _of(corpus, utterances)
    rows = None if rows is None or name not in rows else rows[rows[name].notna()]
    if rows is None or rows.empty:
        return None
    values = rows[name].to_numpy(float)
    votes = np.zeros((len(rows), 0)) if single is None else single(values)
    ids, raters = rows["utterance"].to_numpy(), rows["rater"].to_numpy()
    return Ratings(ids, raters, votes, values, of_mean, of_tie)


def agreement(ratings: Ratings) -> dict[str, Any]:
    """Return how well raters agree: the score of one rater against the others, and alpha.

    Values are compared with the mean of the other raters by CCC. The class of a rating is compared
    by UA with the class that the target would have by the other raters: of their mean, or of their
    majority; after a tie without a rule, each of k classes counts as 1 / k. Of a panel of raters,
    the scores are means over raters; in a crowd, where a rater has rated less than half of the
    utterances, all ratings are scored together (`ser.metrics.raters.over_raters`).

    Returns:
        `ceiling`: {"ccc": ...} or {"ua": ...}; `alpha`: Krippendorff's alpha at `level`
        "interval" (values), "ordinal" (bins of an attribute) or "nominal" (emotions, without
        ratings that name several); `raters`, `ratings` and `utterances`: their numbers; `panel`:
        whether scores are means over raters. None stands for what is not defined, as with one
        rater.
    """
    # Numbers, because a million names take seconds to sort.
    utterances, raters = (pd.factorize(each)[0] for each in (ratings.utterances, ratings.raters))
    is_value = ratings.votes.shape[1] == 0
    if is_value:
        assert ratings.values is not None
        score = {"ccc": metrics.leave_one_out_ccc(utterances, raters, ratings.values)}
        level, alpha = "interval", _alpha(utterances, ratings.values, "interval")
    else:
        truth = _class_by_others(ratings, utterances)
        score = {"ua": metrics.leave_one_out_ua(utterances, raters, ratings.votes, truth)}
        level = "nominal" if ratings.values is None else "ordinal"
        one = ratings.votes.max(axis=1) == 1
        alpha = _alpha(utterances[one], ratings.votes[one].argmax(axis=1), level)
    return {
        "ceiling": {name: _known(value) for name, value in score.items()},
        "alpha": alpha,
        "level": level,
        "raters": len(np.unique(raters)),
        "ratings": len(raters),
        "utterances": len(np.unique(utterances)),
        "panel": metrics.is_panel(utterances, raters),
    }


def shares(ratings: Ratings, classes: Sequence[str]) -> pd.DataFrame:
    """Return the share of the raters of each utterance for each class.

    Returns:
        A row per rated utterance, sorted, whose sum is 1, and a column per class.
    """
    table = pd.DataFrame(ratings.votes, columns=list(classes))
    return table.groupby(pd.Index(ratings.utterances, name="utterance")).mean()


def _class_by_others(ratings: Ratings, utterances: np.ndarray) -> np.ndarray:
    """Return the class of each rating's utterance by its other raters, (R, C).

    Args:
        ratings: Ratings of classes.
        utterances: (R,) numbers of their utterances.
    """
    if ratings.of_mean is not None or ratings.of_tie is not None:
        assert ratings.values is not None
        means = metrics.others(utterances, ratings.values[:, None])[:, 0]
    if ratings.of_mean is not None:
        return np.where(np.isnan(means)[:, None], np.nan, ratings.of_mean(means))
    truth = metrics.majority(metrics.others(utterances, ratings.votes))
    if ratings.of_tie is not None:
        tied = (truth > 0).sum(axis=1) > 1
        truth[tied] = ratings.of_tie(means[tied])
    return truth


def _alpha(utterances: np.ndarray, values: np.ndarray, level: Any) -> float | None:
    return _known(metrics.krippendorff_alpha(utterances, values, level))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _of(corpus: Corpus, utterances: pd.Index) -> pd.DataFrame | None:
    if corpus.raters is None:
        return None
    chosen = corpus.raters["utterance"].isin(utterances)
    return corpus.raters[chosen].reset_index(drop=True)
