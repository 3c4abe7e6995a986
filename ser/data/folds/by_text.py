"""Texts apart: what is tested is said in words that training has not heard.

An utterance whose text is missing counts as one of its own: nobody knows of another that says the
same. Texts are dealt into groups by the utterances that the target selects.
"""

import numpy as np
import pandas as pd

from ser.data.folds.by_speaker import speakers_by_session
from ser.data.folds.fold import Fold, require_index, require_texts
from ser.errors import UserError


def text(
    table: pd.DataFrame, labelled: pd.Index, *, index: int, count: int, split_seed: int
) -> Fold:
    """One group of texts tests, the next one validates, the others train; speaker dependent.

    Args:
        table: of the corpus, with a column `text`.
        labelled: utterances that the target selects.
        index: of the fold.
        count: groups of texts; as many as there are texts: one text tests.
        split_seed: of the draw; one draw for all folds.

    Raises:
        UserError: the corpus tells no texts or too few, or there is no fold `index`.
    """
    require_index("text", index, count)
    texts = _texts(table, "text")
    groups = _groups(texts.loc[labelled], count, split_seed, "fold=text fold.count")
    of_text = texts.map(groups)
    test, val = of_text == index, of_text == (index + 1) % count
    return _of_masks(labelled, index, count, ~test & ~val, val, test, speaker_independent=False)


def speaker_text(
    table: pd.DataFrame, labelled: pd.Index, *, index: int, text_groups: int, split_seed: int
) -> Fold:
    """Speakers and texts both apart: sessions as in `session`, crossed with groups of texts.

    Fold s * text_groups + t tests what session s says of group t; the next session's utterances of
    the next group validate; the other sessions' of the other groups train. All folds together test
    each utterance once. What shares a speaker or a text with another part is in none: with five
    sessions and five groups of equal size 9 of 25 train, 1 validates, 1 tests, 14 are left out.

    Args:
        table: of the corpus, with columns `text` and `session`.
        labelled: utterances that the target selects.
        index: of the fold.
        text_groups: how many groups of texts.
        split_seed: of the draw; one draw for all folds.

    Raises:
        UserError: the corpus tells no texts or too few, or fewer than three sessions, or there is
            no fold `index`.
    """
    texts = _texts(table, "speaker_text")
    sessions = speakers_by_session(table)
    if len(sessions) < 3:
        raise UserError(f"fold=speaker_text needs three sessions, and there are {len(sessions)}")
    count = len(sessions) * text_groups
    require_index("speaker_text", index, count)
    groups = _groups(
        texts.loc[labelled], text_groups, split_seed, "fold=speaker_text fold.text_groups"
    )
    said = texts.map(groups)
    number = {name: place for place, names in enumerate(sessions) for name in names}
    spoken = table["speaker"].map(number)
    s, t = divmod(index, text_groups)
    after_s, after_t = (s + 1) % len(sessions), (t + 1) % text_groups
    train = ~spoken.isin([s, after_s]) & ~said.isin([t, after_t])
    val = (spoken == after_s) & (said == after_t)
    test = (spoken == s) & (said == t)
    return _of_masks(labelled, index, count, train, val, test, speaker_independent=True)


def _texts(table: pd.DataFrame, name: str) -> pd.Series:
    """The text of each utterance, by id; of those without, one that nobody else has."""
    known = require_texts(table, f"fold={name}")
    alone = pd.Series([f"\0{utterance}" for utterance in table.index], index=table.index)
    return known.fillna(alone)


def _groups(texts: pd.Series, count: int, split_seed: int, asked: str) -> dict[str, int]:
    """Texts dealt in random order, each to the group that has the fewest utterances by then."""
    sizes = texts.value_counts().sort_index()
    if not 3 <= count <= len(sizes):
        raise UserError(
            f"{asked}={count}: from 3 (to train, validate and test) to the number of texts, and "
            f"there are {len(sizes)}; fold=session and fold=speakers part speakers alone"
        )
    order = np.random.default_rng([split_seed, 0]).permutation(len(sizes))
    totals, groups = np.zeros(count, np.int64), {}
    for text, size in sizes.iloc[order].items():
        group = int(totals.argmin())
        groups[str(text)] = group
        totals[group] += size
    return groups


def _of_masks(
    labelled: pd.Index,
    index: int,
    count: int,
    train: pd.Series,
    val: pd.Series,
    test: pd.Series,
    *,
    speaker_independent: bool,
) -> Fold:
    """A fold from who could be in each part, by utterance id; `fit` is all that could train.

    A text that only unlabelled utterances have is in no group, and can train.
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
