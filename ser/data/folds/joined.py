"""Folds over the corpora of a joined manifest."""

import pandas as pd

from ser.data.folds.by_speaker import of_speakers
from ser.data.folds.fold import Fold, require_index
from ser.data.folds.grouping import balanced_groups
from ser.errors import UserError


def corpus(
    table: pd.DataFrame, labels: pd.Series, *, index: int, val_share: float, split_seed: int
) -> Fold:
    """Test one corpus of several; of the others, some speakers validate and the others train.

    Args:
        table: Of the joined corpora, with a column `corpus`.
        labels: Class of each utterance that the target selects.
        index: Number of the fold: of the corpus that tests, by name.
        val_share: Fraction of the speakers of the other corpora that validate: one of groups that
            are balanced by the utterances of each corpus and class.
        split_seed: Seed of the grouping.

    Raises:
        UserError: There are not two corpora, their speakers are the same or too few, or there is no
            fold `index`.
    """
    if "corpus" not in table:
        raise UserError(
            "fold=corpus needs a corpus that several were joined into, with a column `corpus`; "
            "fold=speaker_kfold needs none"
        )
    home = _corpora(table)
    labelled = home.loc[sorted(table.loc[labels.index, "speaker"].dropna().unique())]
    names = sorted(labelled.unique())
    if len(names) < 2:
        raise UserError(
            f"fold=corpus needs two corpora or more; with a label there are {len(names)}"
        )
    require_index("corpus", index, len(names))
    others = labelled.index[labelled != names[index]]
    if len(others) < 2:
        raise UserError(
            f"fold=corpus, fold {index}: corpora other than {names[index]} need two speakers or "
            f"more, one of whom validates, but have {len(others)}"
        )
    selected = table.loc[labels.index]
    selected = selected[selected["speaker"].isin(others)]
    strata = selected["corpus"].astype(str) + "/" + labels.loc[selected.index].astype(str)
    count = min(max(2, round(1 / val_share)), len(others))
    groups = balanced_groups(strata, table["speaker"], count, split_seed)
    val = [speaker for speaker, group in groups.items() if group == 0]
    test = home.index[home == names[index]].tolist()
    train = home.index.difference([*val, *test]).tolist()
    return of_speakers(table, labels, index, len(names), train, val, test)


def _corpora(table: pd.DataFrame) -> pd.Series:
    """Return the corpus of each speaker.

    Raises:
        UserError: A speaker is in several corpora.
    """
    pairs = table[["speaker", "corpus"]].dropna().drop_duplicates().set_index("speaker")["corpus"]
    if pairs.index.has_duplicates:
        name = pairs.index[pairs.index.duplicated()][0]
        raise UserError(
            f"fold=corpus: speaker {name} is in several corpora ({', '.join(pairs.loc[name])}): "
            "give different people different names, such as the corpus and the name"
        )
    return pairs.sort_index()
