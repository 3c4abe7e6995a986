"""Random splits of utterances, which are speaker dependent, as in some papers."""

import numpy as np
import pandas as pd

from ser.data.folds.fold import Fold, require_index


def holdout(
    table: pd.DataFrame,
    labels: pd.Series,
    *,
    index: int,
    test_share: float,
    val_share: float,
    count: int,
    split_seed: int,
) -> Fold:
    """Split utterances at random, speaker dependent (latif2017: 70/30).

    Args:
        table: Of the corpus.
        labels: Class of each utterance that the target selects.
        index: Number of the draw.
        test_share: Fraction of all utterances that test.
        val_share: Fraction of the others that validate.
        count: Number of draws.
        split_seed: Seed of the draws.
    """
    require_index("holdout", index, count)
    order = _shuffled(labels.index, split_seed, index)
    tests = round(test_share * len(order))
    return _fold(index, count, order[tests:], order[:tests], val_share)


def random(
    table: pd.DataFrame,
    labels: pd.Series,
    *,
    index: int,
    count: int,
    val_share: float,
    split_seed: int,
) -> Fold:
    """Divide utterances into k folds at random, speaker dependent (latif2018: 10 folds).

    Args:
        table: Of the corpus.
        labels: Class of each utterance that the target selects.
        index: Number of the fold.
        count: k.
        val_share: Fraction of the utterances outside the test split that validate.
        split_seed: Seed of the draw, which is the same for all k folds.
    """
    require_index("random", index, count)
    order = _shuffled(labels.index, split_seed, 0)
    test = order[index::count]
    return _fold(index, count, order[~order.isin(test)], test, val_share)


def _shuffled(labelled: pd.Index, split_seed: int, index: int) -> pd.Index:
    rng = np.random.default_rng([split_seed, index])
    return labelled.sort_values()[rng.permutation(len(labelled))]


def _fold(index: int, count: int, rest: pd.Index, test: pd.Index, val_share: float) -> Fold:
    size = max(1, round(val_share * len(rest)))
    train, val, test = (split.sort_values() for split in (rest[size:], rest[:size], test))
    return Fold(index, count, train, val, test, fit=train, speaker_independent=False)
