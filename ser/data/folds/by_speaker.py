"""Speaker-independent splits: by session, at random or by name."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser.data.folds.fold import Fold, require_index
from ser.errors import UserError


def session_swap(table: pd.DataFrame, labelled: pd.Index, *, index: int) -> Fold:
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
    return _train_on_others(table, labelled, index, 2 * len(sessions), [val], [test])


def session(table: pd.DataFrame, labelled: pd.Index, *, index: int) -> Fold:
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
    return _train_on_others(table, labelled, index, len(sessions), val, sessions[index])


def speakers(
    table: pd.DataFrame,
    labelled: pd.Index,
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
        labelled: Utterances that the target selects.
        index: Number of the draw; with names there is only fold 0.
        train, val, test: Each a list of speakers, or each a number of speakers.
        count: Number of draws.
        split_seed: Seed of the draws.

    Raises:
        UserError: The corpus lacks a speaker or has too few, or there is no fold `index`.
    """
    known = sorted(table["speaker"].unique())
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
    elif any(isinstance(each, int) for each in requested.values()):
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
    return _fold(table, labelled, index, count, *splits)


def speakers_by_session(table: pd.DataFrame) -> list[list[str]]:
    """Return the sorted speakers of each session, in the order of the sessions.

    Raises:
        UserError: The corpus has no sessions, or a speaker is in several of them.
    """
    if "session" not in table:
        raise UserError("this corpus has no sessions; fold=speakers splits by speaker")
    pairs = table[["session", "speaker"]].drop_duplicates()
    counts = pairs.groupby("speaker")["session"].nunique()
    if (counts > 1).any():
        raise UserError(
            f"speakers {sorted(counts[counts > 1].index)} are in several sessions, so that "
            "sessions do not separate speakers; fold=speakers does"
        )
    return [sorted(group["speaker"]) for _, group in pairs.groupby("session", sort=True)]


def _train_on_others(
    table: pd.DataFrame,
    labelled: pd.Index,
    index: int,
    count: int,
    val: list[str],
    test: list[str],
) -> Fold:
    train = sorted(set(table["speaker"]) - set(val) - set(test))
    return _fold(table, labelled, index, count, train, val, test)


def _fold(
    table: pd.DataFrame,
    labelled: pd.Index,
    index: int,
    count: int,
    train: list[str],
    val: list[str],
    test: list[str],
) -> Fold:
    selected = table.loc[labelled, "speaker"]
    return Fold(
        index,
        count,
        train=selected.index[selected.isin(train)].sort_values(),
        val=selected.index[selected.isin(val)].sort_values(),
        test=selected.index[selected.isin(test)].sort_values(),
        fit=table.index[table["speaker"].isin(train)].sort_values(),
        speaker_independent=True,
    )
