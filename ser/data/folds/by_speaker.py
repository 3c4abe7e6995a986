"""Speakers apart: by sessions, by lot or by name."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser.data.folds.fold import Fold, require_index
from ser.errors import UserError


def session_swap(table: pd.DataFrame, labelled: pd.Index, *, index: int) -> Fold:
    """All sessions but one train; of its two speakers one validates, the other tests; then swapped.

    Two folds a session, 10 on IEMOCAP (parthasarathy2019, section 5.1). Fold 2k tests the second
    speaker of session k, fold 2k + 1 the first, by name.

    Raises:
        UserError: a session without exactly two speakers, or no fold `index`.
    """
    sessions = speakers_by_session(table)
    require_index("session_swap", index, 2 * len(sessions))
    session, swap = divmod(index, 2)
    pair = sessions[session]
    if len(pair) != 2:
        raise UserError(
            f"fold=session_swap needs two speakers in each session, and session number {session} "
            f"has {len(pair)}: {pair}; fold=session takes any number"
        )
    val, test = (pair[0], pair[1]) if swap == 0 else (pair[1], pair[0])
    return _by_speaker(table, labelled, index, 2 * len(sessions), val=[val], test=[test])


def session(table: pd.DataFrame, labelled: pd.Index, *, index: int) -> Fold:
    """One session tests, the next one (the first after the last) validates, the others train.

    Both speakers of a session validate, so that no gender is missing from the choice.

    Raises:
        UserError: fewer than three sessions, or no fold `index`.
    """
    sessions = speakers_by_session(table)
    if len(sessions) < 3:
        raise UserError(f"fold=session needs three sessions, and there are {len(sessions)}")
    require_index("session", index, len(sessions))
    val = sessions[(index + 1) % len(sessions)]
    return _by_speaker(table, labelled, index, len(sessions), val=val, test=sessions[index])


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
    """Speakers by name, or so many drawn by lot (7 train, 3 validate: ghosh2016, section 4).

    Args:
        table: of the corpus.
        labelled: utterances that the target selects.
        index: of the draw; with names there is only fold 0.
        train, val, test: each a list of speakers, or each a number of them.
        count: number of draws.
        split_seed: of the draws.

    Raises:
        UserError: a speaker that the corpus does not have, one in two lists, too few speakers,
            or no fold `index`.
    """
    known = sorted(table["speaker"].unique())
    asked = {"train": train, "val": val, "test": test}
    if all(isinstance(part, int) for part in asked.values()):
        require_index("speakers", index, count)
        numbers = [int(part) for part in asked.values()]  # type: ignore[arg-type]
        if sum(numbers) > len(known):
            raise UserError(
                f"fold=speakers asks for {'+'.join(map(str, numbers))} speakers, and the corpus "
                f"has {len(known)}"
            )
        order = np.random.default_rng([split_seed, index]).permutation(known).tolist()
        ends = np.cumsum(numbers)
        chosen = [order[: ends[0]], order[ends[0] : ends[1]], order[ends[1] : ends[2]]]
    elif any(isinstance(part, int) for part in asked.values()):
        raise UserError(f"fold=speakers takes three numbers or three lists of names, not {asked}")
    else:
        count = 1
        require_index("speakers", index, count)
        chosen = [[str(name) for name in part] for part in asked.values()]  # type: ignore[union-attr]
        unknown = sorted({name for part in chosen for name in part} - set(known))
        if unknown:
            raise UserError(f"fold=speakers names {unknown}; the corpus has {', '.join(known)}")
    return _of_speakers(table, labelled, index, count, *chosen)


def speakers_by_session(table: pd.DataFrame) -> list[list[str]]:
    if "session" not in table:
        raise UserError("this corpus has no sessions: fold=speakers splits it by speaker")
    pairs = table[["session", "speaker"]].drop_duplicates()
    homes = pairs.groupby("speaker")["session"].nunique()
    if (homes > 1).any():
        raise UserError(
            f"speakers {sorted(homes[homes > 1].index)} are in several sessions, so that sessions "
            "do not separate speakers: fold=speakers does"
        )
    return [sorted(group["speaker"]) for _, group in pairs.groupby("session", sort=True)]


def _by_speaker(
    table: pd.DataFrame,
    labelled: pd.Index,
    index: int,
    count: int,
    *,
    val: list[str],
    test: list[str],
) -> Fold:
    train = sorted(set(table["speaker"]) - set(val) - set(test))
    return _of_speakers(table, labelled, index, count, train, val, test)


def _of_speakers(
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
