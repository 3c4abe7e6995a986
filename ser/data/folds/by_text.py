"""Text-independent splits: the texts of the test split are not in the training split.

An utterance whose text is missing counts as a text of its own, because it is unknown whether
another utterance has the same. Texts are assigned to groups by the number of utterances that the
target selects.
"""

import numpy as np
import pandas as pd

from ser.data.folds.by_speaker import speakers_by_session
from ser.data.folds.fold import Fold, require_index, require_texts
from ser.errors import UserError


def text(
    table: pd.DataFrame, labels: pd.Series, *, index: int, count: int, split_seed: int
) -> Fold:
    """Test one group of texts, validate on the next one, train on the others; speaker dependent.

    Args:
        table: Of the corpus, with a column `text`.
        labels: Class of each utterance that the target selects.
        index: Number of the fold.
        count: Number of groups; if it is the number of texts, one text tests.
        split_seed: Seed of the draw, which is the same for all folds.

    Raises:
        UserError: The corpus has no texts or too few, or there is no fold `index`.
    """
    require_index("text", index, count)
    texts = _texts(table, "text")
    groups = _groups(texts.loc[labels.index], count, split_seed, "fold=text fold.count")
    of_text = texts.map(groups)
    test, val = of_text == index, of_text == (index + 1) % count
    return _fold(labels.index, index, count, ~test & ~val, val, test, speaker_independent=False)


def speaker_text(
    table: pd.DataFrame, labels: pd.Series, *, index: int, text_groups: int, split_seed: int
) -> Fold:
    """Split by speaker and by text: sessions as in `session`, crossed with groups of texts.

    Fold s * text_groups + t tests the utterances of session s and group t, validates on those of
    the next session and the next group, and trains on the other sessions and groups. All folds
    together test each utterance once. Utterances that share a speaker or a text with another split
    are left out: with five sessions and five groups of equal size 9/25 of the utterances train,
    1/25 validates, 1/25 tests, and 14/25 are left out.

    Args:
        table: Of the corpus, with columns `text` and `session`.
        labels: Class of each utterance that the target selects.
        index: Number of the fold.
        text_groups: Number of groups of texts.
        split_seed: Seed of the draw, which is the same for all folds.

    Raises:
        UserError: The corpus has no texts or too few, fewer than three sessions, or no fold
            `index`.
    """
    texts = _texts(table, "speaker_text")
    sessions = speakers_by_session(table)
    if len(sessions) < 3:
        raise UserError(f"fold=speaker_text needs at least three sessions, not {len(sessions)}")
    count = len(sessions) * text_groups
    require_index("speaker_text", index, count)
    groups = _groups(
        texts.loc[labels.index], text_groups, split_seed, "fold=speaker_text fold.text_groups"
    )
    group = texts.map(groups)
    numbers = {name: number for number, names in enumerate(sessions) for name in names}
    session = table["speaker"].map(numbers)
    s, t = divmod(index, text_groups)
    next_s, next_t = (s + 1) % len(sessions), (t + 1) % text_groups
    train = ~session.isin([s, next_s]) & ~group.isin([t, next_t])
    val = (session == next_s) & (group == next_t)
    test = (session == s) & (group == t)
    return _fold(labels.index, index, count, train, val, test, speaker_independent=True)


def _texts(table: pd.DataFrame, name: str) -> pd.Series:
    """Return the text of each utterance; a missing one is replaced by a unique text."""
    known = require_texts(table, f"fold={name}")
    unique = pd.Series([f"\0{utterance}" for utterance in table.index], index=table.index)
    return known.fillna(unique)


def _groups(texts: pd.Series, count: int, split_seed: int, option: str) -> dict[str, int]:
    """Assign texts in random order, each to the group with the fewest utterances so far."""
    sizes = texts.value_counts().sort_index()
    if not 3 <= count <= len(sizes):
        raise UserError(
            f"{option}={count} must be from 3 to the number of texts, {len(sizes)}; fold=session "
            "and fold=speakers do not depend on texts"
        )
    order = np.random.default_rng([split_seed, 0]).permutation(len(sizes))
    totals, groups = np.zeros(count, np.int64), {}
    for text, size in sizes.iloc[order].items():
        group = int(totals.argmin())
        groups[str(text)] = group
        totals[group] += size
    return groups


def _fold(
    labelled: pd.Index,
    index: int,
    count: int,
    train: pd.Series,
    val: pd.Series,
    test: pd.Series,
    *,
    speaker_independent: bool,
) -> Fold:
    """Return the fold of the masks of each split; `fit` is everything in the training mask.

    Texts of unlabelled utterances only are in no group, and belong to the training mask.
    """
    train_ids, val_ids, test_ids = (
        labelled[mask.loc[labelled].to_numpy()].sort_values() for mask in (train, val, test)
    )
    return Fold(
        index,
        count,
        train_ids,
        val_ids,
        test_ids,
        fit=train.index[train.to_numpy()].sort_values(),
        speaker_independent=speaker_independent,
        text_independent=True,
    )
