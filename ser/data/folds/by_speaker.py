"""Speaker-independent splits: by session, by group of speakers, at random or by name."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ser.data.folds.fold import Fold, require_index
from ser.data.folds.grouping import balanced_groups
from ser.errors import UserError


def session_swap(table: pd.DataFrame, labels: pd.Series, *, index: int) -> Fold:
    """Leave one session out: one of its two speakers validates, the other one tests.

    There are two folds per session, 10 on IEMOCAP (parthasarathy2019, section 5.1). Fold 2k tests
    the second speaker of session k, fold 2k + 1 the first speaker, by name.

    Raises:
        UserError: A session does not have exactly two speakers, or there is no fold `index`.
    """
    sessions = speakers_by_session(table)
    require_index("session_swap", index, 2 * len(sessions))
    session, swap = divmod(index, 2)
    pair = sessions[session]
    if len(pair) != 2:
        raise UserError(
            f"fold=session_swap needs two speakers in each session, but session number {session} "
            f"has {len(pair)}: {pair}; fold=session allows any number"
        )
    val, test = (pair[0], pair[1]) if swap == 0 else (pair[1], pair[0])
    fold = _train_on_others(table, labels, index, 2 * len(sessions), [val], [test])
    return replace(fold, counterpart=index ^ 1)


def session(table: pd.DataFrame, labels: pd.Series, *, index: int) -> Fold:
    """Test one session, validate on the next one (cyclically), and train on the others.

    Both speakers of a session validate, so that the selection on validation includes both genders.

    Raises:
        UserError: There are fewer than three sessions, or there is no fold `index`.
    """
    sessions = speakers_by_session(table)
    if len(sessions) < 3:
        raise UserError(f"fold=session needs at least three sessions, not {len(sessions)}")
    require_index("session", index, len(sessions))
    val = sessions[(index + 1) % len(sessions)]
    return _train_on_others(table, labels, index, len(sessions), val, sessions[index])


def speaker_kfold(
    table: pd.DataFrame, labels: pd.Series, *, index: int, count: int, split_seed: int
) -> Fold:
    """Test one group of speakers, validate on the next one (cyclically), train on the others.

    Groups are balanced by utterances and classes. Each speaker tests once over all folds.

    Args:
        table: Of the corpus.
        labels: Class of each utterance that the target selects.
        index: Number of the fold.
        count: Number of groups, from 3 to the number of speakers.
        split_seed: Seed of the grouping, which is the same for all folds.

    Raises:
        UserError: There are too few speakers or groups, or there is no fold `index`.
    """
    number = len(_labelled_speakers(table, labels, "speaker_kfold", 3))
    if count < 3:
        raise UserError(
            f"fold.count={count}: fold=speaker_kfold needs at least 3 groups, as one tests, "
            "another one validates and the others train"
        )
    if count > number:
        raise UserError(
            f"fold.count={count}: only {number} speakers of this corpus have a label, so there "
            f"can be {number} groups at most: fold.count={number}"
        )
    require_index("speaker_kfold", index, count)
    groups = balanced_groups(labels, table["speaker"], count, split_seed)
    val, test = (
        [speaker for speaker, group in groups.items() if group == number]
        for number in ((index + 1) % count, index)
    )
    return _train_on_others(table, labels, index, count, val, test)


def loso(table: pd.DataFrame, labels: pd.Series, *, index: int, val: int) -> Fold:
    """Leave one speaker out: each speaker with a label tests once, in the order of their names.

    The speakers that validate are the next ones by name (cyclically), taken in turn from each
    gender where genders are known, so that a woman and a man are among the first two.

    Args:
        table: Of the corpus.
        labels: Class of each utterance that the target selects.
        index: Number of the fold.
        val: Number of speakers that validate.

    Raises:
        UserError: There are too few speakers, or there is no fold `index`.
    """
    if not isinstance(val, int):
        raise UserError(f"fold.val={val}: fold=loso needs a number of speakers that validate")
    known = _labelled_speakers(table, labels, "loso", 3)
    if val > len(known) - 2:
        raise UserError(
            f"fold.val={val}: one of {len(known)} speakers tests and one or more train, so at most "
            f"{len(known) - 2} validate: fold.val={len(known) - 2}"
        )
    require_index("loso", index, len(known))
    others = known[index + 1 :] + known[:index]
    chosen = _alternating(others, table)[:val]
    return _train_on_others(table, labels, index, len(known), chosen, [known[index]])


def speakers(
    table: pd.DataFrame,
    labels: pd.Series,
    *,
    index: int,
    train: Sequence[str] | int,
    val: Sequence[str] | int,
    test: Sequence[str] | int,
    count: int,
    split_seed: int,
) -> Fold:
    """Split speakers by name, or at random (7 train, 3 validate: ghosh2016, section 4).

    Args:
        table: Of the corpus.
        labels: Class of each utterance that the target selects.
        index: Number of the draw; with names there is only fold 0.
        train, val, test: Each a list of speakers, or each a number of speakers.
        count: Number of draws.
        split_seed: Seed of the draws.

    Raises:
        UserError: The corpus lacks a speaker or has too few, or there is no fold `index`.
    """
    known = sorted(table["speaker"].dropna().unique())
    requested = {"train": train, "val": val, "test": test}
    if all(isinstance(each, int) for each in requested.values()):
        require_index("speakers", index, count)
        numbers = [int(each) for each in requested.values()]  # type: ignore[arg-type]
        if sum(numbers) > len(known):
            raise UserError(
                f"fold=speakers needs {'+'.join(map(str, numbers))} speakers, but the corpus has "
                f"only {len(known)}"
            )
        order = np.random.default_rng([split_seed, index]).permutation(known).tolist()
        ends = np.cumsum(numbers)
        splits = [order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] : ends[2]]]
    elif not all(isinstance(each, list) for each in requested.values()):
        raise UserError(
            f"fold=speakers needs three numbers or three lists of names, not {requested}"
        )
    else:
        count = 1
        require_index("speakers", index, count)
        splits = [[str(name) for name in names] for names in requested.values()]  # type: ignore[union-attr]
        unknown = sorted({name for names in splits for name in names} - set(known))
        if unknown:
            raise UserError(
                f"fold=speakers: the corpus has no speakers {unknown}, only {', '.join(known)}"
            )
    return of_speakers(table, labels, index, count, *splits)


def speakers_by_session(table: pd.DataFrame) -> list[list[str]]:
    """Return the sorted speakers of each session, in the order of the sessions.

    Raises:
        UserError: The corpus has no sessions, or a speaker is in several of them.
    """
    if "session" not in table:
        raise UserError("this corpus has no sessions; fold=speaker_kfold splits by speaker")
    pairs = table[["session", "speaker"]].drop_duplicates()
    counts = pairs.groupby("speaker")["session"].nunique()
    if (counts > 1).any():
        raise UserError(
            f"speakers {sorted(counts[counts > 1].index)} are in several sessions, so that "
            "sessions do not separate speakers; fold=speaker_kfold does"
        )
    return [sorted(group["speaker"]) for _, group in pairs.groupby("session", sort=True)]


def _labelled_speakers(
    table: pd.DataFrame, labels: pd.Series, name: str, minimum: int
) -> list[str]:
    """Return the sorted speakers that have a label.

    Raises:
        UserError: There are fewer than `minimum`.
    """
    known = sorted(table.loc[labels.index, "speaker"].dropna().unique())
    if len(known) < minimum:
        raise UserError(
            f"fold={name} needs at least {minimum} speakers, as one tests, another one validates "
            f"and the others train; with a label there are only {len(known)}: {', '.join(known)}"
        )
    return known


def _alternating(speakers: list[str], table: pd.DataFrame) -> list[str]:
    """Return speakers so that genders take turns, each in the given order."""
    if "gender" not in table:
        return speakers
    genders = table.groupby("speaker")["gender"].first().loc[speakers].fillna("unknown")
    turns = genders.groupby(genders).cumcount()
    return turns.sort_values(kind="stable").index.tolist()


def _train_on_others(
    table: pd.DataFrame,
    labels: pd.Series,
    index: int,
    count: int,
    val: list[str],
    test: list[str],
) -> Fold:
    train = sorted(set(table["speaker"].dropna()) - set(val) - set(test))
    return of_speakers(table, labels, index, count, train, val, test)


def of_speakers(
    table: pd.DataFrame,
    labels: pd.Series,
    index: int,
    count: int,
    train: list[str],
    val: list[str],
    test: list[str],
) -> Fold:
    selected = table.loc[labels.index, "speaker"]
    return Fold(
        index,
        count,
        train=selected.index[selected.isin(train)].sort_values(),
        val=selected.index[selected.isin(val)].sort_values(),
        test=selected.index[selected.isin(test)].sort_values(),
        fit=table.index[table["speaker"].isin(train)].sort_values(),
        speaker_independent=True,
    )
