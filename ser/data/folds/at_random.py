"""Utterances drawn by lot, whoever speaks them: the speaker-dependent splits of papers."""

import numpy as np
import pandas as pd

from ser.data.folds.fold import Fold, require_index


def holdout(
    table: pd.DataFrame,
    labelled: pd.Index,
    *,
    index: int,
    test_share: float,
    val_share: float,
    count: int,
    split_seed: int,
) -> Fold:
    """A random split of utterances, speaker dependent (latif2017: 70/30).

    Args:
        table: of the corpus.
        labelled: utterances that the target selects.
        index: of the draw.
        test_share: share of all utterances that test.
        val_share: share of the others that validate.
        count: number of draws.
        split_seed: of the draws.
    """
    require_index("holdout", index, count)
    order = _shuffled(labelled, split_seed, index)
    tested = round(test_share * len(order))
    return _random(index, count, order[tested:], order[:tested], val_share)


def random(
    table: pd.DataFrame,
    labelled: pd.Index,
    *,
    index: int,
    count: int,
    val_share: float,
    split_seed: int,
) -> Fold:
    """k folds of utterances at random, speaker dependent (latif2018: 10 folds).

    Args:
        table: of the corpus.
        labelled: utterances that the target selects.
        index: of the fold.
        count: k.
        val_share: share of the training part that validates instead.
        split_seed: of the draw; one draw for all k folds.
    """
    require_index("random", index, count)
    order = _shuffled(labelled, split_seed, 0)
    test = order[index::count]
    return _random(index, count, order[~order.isin(test)], test, val_share)


def _shuffled(labelled: pd.Index, split_seed: int, index: int) -> pd.Index:
    rng = np.random.default_rng([split_seed, index])
    return labelled.sort_values()[rng.permutation(len(labelled))]


def _random(index: int, count: int, rest: pd.Index, test: pd.Index, val_share: float) -> Fold:
    validated = max(1, round(val_share * len(rest)))
    train, val, test = (part.sort_values() for part in (rest[validated:], rest[:validated], test))
    return Fold(index, count, train, val, test, fit=train, speaker_independent=False)
