"""Properties that every fold must have, on every corpus shape."""

import numpy as np
import pandas as pd
import pytest

from ser import folds
from ser.errors import UserError

SESSIONS, EACH = 5, 12


@pytest.fixture
def table() -> pd.DataFrame:
    """Five sessions of a woman and a man, a dozen utterances each, every third without label."""
    rows = [
        {"session": str(s), "speaker": f"{s}{g}", "utterance": f"{s}{g}{u:02d}"}
        for s in range(1, SESSIONS + 1)
        for g in "FM"
        for u in range(EACH)
    ]
    return pd.DataFrame(rows).set_index("utterance")


@pytest.fixture
def labelled(table: pd.DataFrame) -> pd.Index:
    return table.index[np.arange(len(table)) % 3 != 0]


@pytest.fixture
def digests(table: pd.DataFrame) -> pd.Series:
    return pd.Series(table.index, index=table.index)


DRAWN = {"count": 4, "split_seed": 0}
FOLDS = {
    "session_swap": (folds.session_swap, {}, 10),
    "session": (folds.session, {}, 5),
    "speakers": (folds.speakers, {"train": 6, "val": 2, "test": 2, **DRAWN}, 4),
    "holdout": (folds.holdout, {"test_share": 0.3, "val_share": 0.1, **DRAWN}, 4),
    "random": (folds.random, {"val_share": 0.1, **DRAWN}, 4),
}


@pytest.mark.parametrize("name", FOLDS)
def test_parts_are_disjoint_and_cover_what_is_labelled(
    name: str, table: pd.DataFrame, labelled: pd.Index, digests: pd.Series
) -> None:
    make, options, count = FOLDS[name]
    for index in range(count):
        fold = make(table, labelled, index=index, **options)
        folds.verify(fold, table, digests)
        assert fold.count == count
        together = fold.train.append(fold.val).append(fold.test)
        assert together.is_unique
        assert set(together) == set(labelled)
        assert set(fold.train) <= set(fold.fit)
    with pytest.raises(UserError, match=f"from 0 to {count - 1}"):
        make(table, labelled, index=count, **options)


@pytest.mark.parametrize("name", ["session_swap", "session", "random"])
def test_every_labelled_utterance_is_tested_once(
    name: str, table: pd.DataFrame, labelled: pd.Index
) -> None:
    make, options, count = FOLDS[name]
    tested = [make(table, labelled, index=i, **options).test for i in range(count)]
    assert sorted(i for test in tested for i in test) == sorted(labelled)


@pytest.mark.parametrize("name", ["session_swap", "session", "speakers"])
def test_no_speaker_is_in_two_parts(name: str, table: pd.DataFrame, labelled: pd.Index) -> None:
    make, options, count = FOLDS[name]
    for index in range(count):
        fold = make(table, labelled, index=index, **options)
        assert fold.speaker_independent
        speakers = [set(table.loc[ids, "speaker"]) for ids in fold.parts.values()]
        assert sum(map(len, speakers)) == len(set.union(*speakers))
        assert not set(table.loc[fold.fit, "speaker"]) & (speakers[1] | speakers[2])


def test_session_swap_swaps_within_the_session_left_out(
    table: pd.DataFrame, labelled: pd.Index
) -> None:
    first = folds.session_swap(table, labelled, index=6)
    second = folds.session_swap(table, labelled, index=7)
    assert set(first.val) == set(second.test)
    assert set(first.test) == set(second.val)
    assert set(table.loc[first.val.append(first.test), "session"]) == {"4"}
    assert set(first.train) == set(second.train)


def test_fit_has_the_unlabelled_utterances_of_training_speakers(
    table: pd.DataFrame, labelled: pd.Index
) -> None:
    fold = folds.session(table, labelled, index=0)
    assert set(fold.fit) == set(table.index[table["session"].isin(["3", "4", "5"])])
    assert len(fold.fit) > len(fold.train)


def test_random_splits_are_marked_and_depend_on_their_own_seed(
    table: pd.DataFrame, labelled: pd.Index
) -> None:
    options = {"count": 4, "val_share": 0.1}
    fold = folds.random(table, labelled, index=0, split_seed=0, **options)
    again = folds.random(table, labelled, index=0, split_seed=0, **options)
    other = folds.random(table, labelled, index=0, split_seed=1, **options)
    assert not fold.speaker_independent
    assert fold.test.equals(again.test)
    assert not fold.test.equals(other.test)


def test_speakers_by_name(table: pd.DataFrame, labelled: pd.Index, digests: pd.Series) -> None:
    options = {"count": 1, "split_seed": 0, "index": 0}
    fold = folds.speakers(table, labelled, train=["1F", "2M"], val=["1M"], test=["5F"], **options)
    assert set(table.loc[fold.train, "speaker"]) == {"1F", "2M"}
    assert set(table.loc[fold.test, "speaker"]) == {"5F"}
    with pytest.raises(UserError, match=r"9X.*has 1F, 1M"):
        folds.speakers(table, labelled, train=["9X"], val=["1M"], test=[], **options)
    twice = folds.speakers(table, labelled, train=["1F"], val=["1M"], test=["1F"], **options)
    with pytest.raises(UserError, match="in both train and test"):
        folds.verify(twice, table, digests)


def test_nobody_has_to_be_tested(
    table: pd.DataFrame, labelled: pd.Index, digests: pd.Series
) -> None:
    options = {"train": 7, "val": 3, "test": 0, "count": 1, "split_seed": 0}
    fold = folds.speakers(table, labelled, index=0, **options)
    folds.verify(fold, table, digests)
    assert fold.test.empty


def test_verify_finds_a_speaker_a_claim_hides(
    table: pd.DataFrame, labelled: pd.Index, digests: pd.Series
) -> None:
    fold = folds.session(table, labelled, index=0)
    table.loc[fold.test[0], "speaker"] = table.loc[fold.train[0], "speaker"]
    with pytest.raises(UserError, match="speaker.s. in both train and test"):
        folds.verify(fold, table, digests)


def test_verify_finds_the_same_audio_under_two_names(
    table: pd.DataFrame, labelled: pd.Index, digests: pd.Series
) -> None:
    fold = folds.session(table, labelled, index=0)
    digests[fold.test[0]] = digests[fold.train[0]]
    with pytest.raises(UserError, match="1 audio content.s. in both train and test"):
        folds.verify(fold, table, digests)


def test_sessions_that_share_a_speaker_are_refused(table: pd.DataFrame, labelled: pd.Index) -> None:
    table.loc[table.index[0], "session"] = "2"
    with pytest.raises(UserError, match=r"\['1F'\] are in several sessions"):
        folds.session_swap(table, labelled, index=0)
