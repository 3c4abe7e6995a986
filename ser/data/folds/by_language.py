"""Folds that train on one language and test on another, by other speakers."""

from dataclasses import replace

import pandas as pd

from ser.data.folds.by_speaker import speaker_kfold
from ser.data.folds.fold import Fold
from ser.errors import UserError


def language(
    table: pd.DataFrame,
    labels: pd.Series,
    *,
    index: int,
    language: str | None,
    test_language: str | None,
    count: int,
    split_seed: int,
) -> Fold:
    """Train and validate on one language, and test on another.

    Speakers are grouped as by `speaker_kfold`, so that somebody who speaks both languages is in one
    split only. Of each split only the utterances in its language are kept; the others are left out.

    Args:
        table: Of the corpus, with a column `language`.
        labels: Class of each utterance that the target selects.
        index: Number of the fold.
        language: Language of training and validation.
        test_language: Language of the test; the same one gives a reference within a language.
        count: Number of groups of speakers, from 3.
        split_seed: Seed of the grouping.

    Raises:
        UserError: The corpus has no such language or too few speakers, nobody in the test group
            speaks the language, or there is no fold `index`.
    """
    if "language" not in table:
        raise UserError("fold=language needs a corpus with a column `language`")
    known = sorted(table.loc[labels.index, "language"].dropna().unique())
    for option, value in (("language", language), ("test_language", test_language)):
        if value not in known:
            raise UserError(f"fold.{option}={value}: must be one of {', '.join(known)}")
    fold = speaker_kfold(table, labels, index=index, count=count, split_seed=split_seed)

    def spoken(ids: pd.Index, name: str | None) -> pd.Index:
        return ids[(table.loc[ids, "language"] == name).to_numpy()]

    test = spoken(fold.test, test_language)
    if test.empty:
        raise UserError(
            f"fold=language, fold {index}: none of its test speakers has an utterance in "
            f"{test_language}; a smaller fold.count makes larger groups"
        )
    return replace(
        fold,
        train=spoken(fold.train, language),
        val=spoken(fold.val, language),
        test=test,
        fit=spoken(fold.fit, language),
        remarks=(f"languages: trained and selected on {language}, tested on {test_language}",),
    )
