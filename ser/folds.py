"""Which utterances train, validate and test: pure functions of a corpus' table.

Each takes `(table, labelled, *, index, ...)`: the corpus' table, the ids of the utterances that the
target selects, and the fold's number. Parts hold labelled utterances only; `fit` holds what
unsupervised stages may see, i.e. the training part and the unlabelled utterances beside it.
Splits that are drawn depend on `split_seed`, never on the training seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ser.errors import UserError

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Fold:
    """The parts of one fold, as sorted utterance ids.

    Attributes:
        index: number of the fold, from 0.
        count: how many folds there are.
        train, val, test: labelled utterances. `test` is empty where an experiment has none.
        fit: what unsupervised stages may see.
        speaker_independent: the claim that no speaker is in two parts; `verify` checks it.
    """

    index: int
    count: int
    train: pd.Index
    val: pd.Index
    test: pd.Index
    fit: pd.Index
    speaker_independent: bool

    @property
    def parts(self) -> dict[str, pd.Index]:
        return {"train": self.train, "val": self.val, "test": self.test}

    def beyond(self, fit_on: Literal["target", "train", "all"], table: pd.DataFrame) -> pd.Index:
        """The utterances beside the training part that unsupervised stages may see.

        Args:
            fit_on: "target": none; "train": those of `fit`; "all": everybody's, the test part's
                too, which makes a result transductive.
            table: of the corpus.
        """
        seen = {"target": self.train, "train": self.fit, "all": table.index}[fit_on]
        return seen.difference(self.train)

    @property
    def everyone(self) -> pd.Index:
        """The utterances of all parts."""
        return self.train.append([self.val, self.test])


def session_swap(table: pd.DataFrame, labelled: pd.Index, *, index: int) -> Fold:
    """All sessions but one train; of its two speakers one validates, the other tests; then swapped.

    Two folds a session, 10 on IEMOCAP (parthasarathy2019, section 5.1). Fold 2k tests the second
    speaker of session k, fold 2k + 1 the first, by name.

    Raises:
        UserError: a session without exactly two speakers, or no fold `index`.
    """
    sessions = _speakers_by_session(table)
    _require_index("session_swap", index, 2 * len(sessions))
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
    sessions = _speakers_by_session(table)
    if len(sessions) < 3:
        raise UserError(f"fold=session needs three sessions, and there are {len(sessions)}")
    _require_index("session", index, len(sessions))
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
        _require_index("speakers", index, count)
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
        _require_index("speakers", index, count)
        chosen = [[str(name) for name in part] for part in asked.values()]  # type: ignore[union-attr]
        unknown = sorted({name for part in chosen for name in part} - set(known))
        if unknown:
            raise UserError(f"fold=speakers names {unknown}; the corpus has {', '.join(known)}")
    return _of_speakers(table, labelled, index, count, *chosen)


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
    _require_index("holdout", index, count)
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
    _require_index("random", index, count)
    order = _shuffled(labelled, split_seed, 0)
    test = order[index::count]
    return _random(index, count, order[~order.isin(test)], test, val_share)


def verify(fold: Fold, table: pd.DataFrame, contents: pd.Series) -> None:
    """Proves what the fold claims; called at every run.

    Args:
        fold: to be verified.
        table: of the corpus.
        contents: what each utterance's audio is, by utterance id; equal for equal audio.

    Raises:
        UserError: an utterance, the same audio under two names or, where the fold claims speaker
            independence, a speaker in two parts; unlabelled utterances of a tested speaker in
            `fit`; an empty training or validation part.
    """
    for name in ("train", "val"):
        if fold.parts[name].empty:
            raise UserError(f"fold {fold.index}: the {name} part is empty")
    seen = {**fold.parts, "fit": fold.fit}
    for a, b in (
        ("train", "val"),
        ("train", "test"),
        ("val", "test"),
        ("fit", "val"),
        ("fit", "test"),
    ):
        _require_disjoint(fold, a, b, "utterance", seen[a], seen[b])
        audio = [pd.Index(contents.reindex(seen[part]).dropna().unique()) for part in (a, b)]
        _require_disjoint(fold, a, b, "audio content", *audio)
        if fold.speaker_independent:
            speakers = [pd.Index(table.loc[seen[part], "speaker"].unique()) for part in (a, b)]
            _require_disjoint(fold, a, b, "speaker", *speakers)


def _require_disjoint(
    fold: Fold, a: str, b: str, what: str, left: pd.Index, right: pd.Index
) -> None:
    both = left.intersection(right)
    if len(both):
        raise UserError(
            f"fold {fold.index}: {len(both)} {what}(s) in both {a} and {b}, e.g. {both[0]}"
        )


def _require_index(name: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise UserError(
            f"fold={name} has {count} folds here: fold.index from 0 to {count - 1}, not {index}"
        )


def _speakers_by_session(table: pd.DataFrame) -> list[list[str]]:
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


def _shuffled(labelled: pd.Index, split_seed: int, index: int) -> pd.Index:
    rng = np.random.default_rng([split_seed, index])
    return labelled.sort_values()[rng.permutation(len(labelled))]


def _random(index: int, count: int, rest: pd.Index, test: pd.Index, val_share: float) -> Fold:
    validated = max(1, round(val_share * len(rest)))
    train, val, test = (part.sort_values() for part in (rest[validated:], rest[:validated], test))
    return Fold(index, count, train, val, test, fit=train, speaker_independent=False)
