"""Properties that every fold must have, on synthetic tables and on EMO-DB."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser import results
from ser.config import build
from ser.corpora.emodb import emodb as read_emodb
from ser.data import folds
from ser.errors import UserError
from ser.runs.run import run

SESSIONS, EACH = 5, 12


@pytest.fixture
def table() -> pd.DataFrame:
    """Five sessions of a woman and a man, a dozen utterances each of as many texts."""
    rows = [
        {
            "session": str(s),
            "speaker": f"{s}{g}",
            "utterance": f"{s}{g}{u:02d}",
            "text": f"t{u:02d}",
        }
        for s in range(1, SESSIONS + 1)
        for g in "FM"
        for u in range(EACH)
    ]
    return pd.DataFrame(rows).set_index("utterance")


@pytest.fixture
def labels(table: pd.DataFrame) -> pd.Series:
    """Two thirds of the utterances of each speaker and of each text, of three classes in turn."""
    numbers = np.arange(len(table))
    labelled = table.index[(numbers + numbers // EACH) % 3 != 0]
    return pd.Series(np.array(["a", "b", "c"])[np.arange(len(labelled)) % 3], labelled)


@pytest.fixture
def digests(table: pd.DataFrame) -> pd.Series:
    return pd.Series(table.index, index=table.index)


DRAWN = {"count": 4, "split_seed": 0}
FOLDS = {
    "session_swap": (folds.session_swap, {}, 10),
    "session": (folds.session, {}, 5),
    "speaker_kfold": (folds.speaker_kfold, DRAWN, 4),
    "loso": (folds.loso, {"val": 2}, 10),
    "speakers": (folds.speakers, {"train": 6, "val": 2, "test": 2, **DRAWN}, 4),
    "holdout": (folds.holdout, {"test_share": 0.3, "val_share": 0.1, **DRAWN}, 4),
    "random": (folds.random, {"val_share": 0.1, **DRAWN}, 4),
    "text": (folds.text, DRAWN, 4),
}
BY_TEXT = {
    "text": (folds.text, {"count": 4, "split_seed": 0}, 4),
    "speaker_text": (folds.speaker_text, {"text_groups": 4, "split_seed": 0}, 20),
}


@pytest.mark.parametrize("name", FOLDS)
def test_splits_are_disjoint_and_cover_all_labelled_utterances(
    name: str, table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    make, options, count = FOLDS[name]
    for index in range(count):
        fold = make(table, labels, index=index, **options)
        folds.verify(fold, table, digests)
        assert fold.count == count
        together = fold.train.append(fold.val).append(fold.test)
        assert together.is_unique
        assert set(together) == set(labels.index)
        assert set(fold.train) <= set(fold.fit)
    with pytest.raises(UserError, match=f"from 0 to {count - 1}"):
        make(table, labels, index=count, **options)


ONCE = ["session_swap", "session", "speaker_kfold", "loso", "random", "text", "speaker_text"]


@pytest.mark.parametrize("name", ONCE)
def test_every_labelled_utterance_is_tested_once(
    name: str, table: pd.DataFrame, labels: pd.Series
) -> None:
    make, options, count = (FOLDS | BY_TEXT)[name]
    tested = [make(table, labels, index=i, **options).test for i in range(count)]
    assert sorted(i for test in tested for i in test) == sorted(labels.index)


@pytest.mark.parametrize("name", ["session_swap", "session", "speaker_kfold", "loso", "speakers"])
def test_no_speaker_is_in_two_splits(name: str, table: pd.DataFrame, labels: pd.Series) -> None:
    make, options, count = FOLDS[name]
    for index in range(count):
        fold = make(table, labels, index=index, **options)
        assert fold.speaker_independent
        speakers = [set(table.loc[ids, "speaker"]) for ids in fold.parts.values()]
        assert sum(map(len, speakers)) == len(set.union(*speakers))
        assert not set(table.loc[fold.fit, "speaker"]) & (speakers[1] | speakers[2])


def test_session_swap_swaps_the_speakers_of_the_session(
    table: pd.DataFrame, labels: pd.Series
) -> None:
    first = folds.session_swap(table, labels, index=6)
    second = folds.session_swap(table, labels, index=7)
    assert set(first.val) == set(second.test)
    assert set(first.test) == set(second.val)
    assert set(table.loc[first.val.append(first.test), "session"]) == {"4"}
    assert set(first.train) == set(second.train)


def test_fit_includes_unlabelled_utterances_of_training_speakers(
    table: pd.DataFrame, labels: pd.Series
) -> None:
    fold = folds.session(table, labels, index=0)
    assert set(fold.fit) == set(table.index[table["session"].isin(["3", "4", "5"])])
    assert len(fold.fit) > len(fold.train)


def test_random_splits_are_speaker_dependent_and_depend_on_their_own_seed(
    table: pd.DataFrame, labels: pd.Series
) -> None:
    options = {"count": 4, "val_share": 0.1}
    fold = folds.random(table, labels, index=0, split_seed=0, **options)
    again = folds.random(table, labels, index=0, split_seed=0, **options)
    other = folds.random(table, labels, index=0, split_seed=1, **options)
    assert not fold.speaker_independent
    assert fold.test.equals(again.test)
    assert not fold.test.equals(other.test)


def test_speakers_can_be_given_by_name(
    table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    options = {"count": 1, "split_seed": 0, "index": 0}
    fold = folds.speakers(table, labels, train=["1F", "2M"], val=["1M"], test=["5F"], **options)
    assert set(table.loc[fold.train, "speaker"]) == {"1F", "2M"}
    assert set(table.loc[fold.test, "speaker"]) == {"5F"}
    with pytest.raises(UserError, match=r"no speakers \[.9X.\], only 1F, 1M"):
        folds.speakers(table, labels, train=["9X"], val=["1M"], test=[], **options)
    twice = folds.speakers(table, labels, train=["1F"], val=["1M"], test=["1F"], **options)
    with pytest.raises(UserError, match="in both train and test"):
        folds.verify(twice, table, digests)


def test_the_test_split_can_be_empty(
    table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    options = {"train": 7, "val": 3, "test": 0, "count": 1, "split_seed": 0}
    fold = folds.speakers(table, labels, index=0, **options)
    folds.verify(fold, table, digests)
    assert fold.test.empty


def test_verify_detects_a_speaker_in_two_splits(
    table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    fold = folds.session(table, labels, index=0)
    table.loc[fold.test[0], "speaker"] = table.loc[fold.train[0], "speaker"]
    with pytest.raises(UserError, match="speaker.s. in both train and test"):
        folds.verify(fold, table, digests)


def test_verify_detects_the_same_audio_under_two_names(
    table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    fold = folds.session(table, labels, index=0)
    digests[fold.test[0]] = digests[fold.train[0]]
    with pytest.raises(UserError, match="1 utterance.s. of test contain audio that is also in tra"):
        folds.verify(fold, table, digests)


@pytest.mark.parametrize(
    ("train", "test", "is_leak"),
    [
        ((0.0, 2.0), (1.0, 3.0), True),
        ((1.0, 3.0), (0.0, 2.0), True),
        ((None, None), (1.0, 3.0), True),
        ((1.0, 3.0), (None, None), True),
        ((1.0, 2.0), (0.0, 9.0), True),
        ((2.0, None), (1.0, 3.0), True),
        ((0.0, 1.005), (1.0, 3.0), False),
        ((1.0, 2.0), (None, 1.0), False),
    ],
)
def test_verify_detects_overlapping_parts_of_a_recording(
    train: tuple[float, float],
    test: tuple[float, float],
    is_leak: bool,
    table: pd.DataFrame,
    labels: pd.Series,
    digests: pd.Series,
) -> None:
    fold = folds.random(table, labels, index=0, count=5, val_share=0.1, split_seed=0)
    a, b = fold.train[0], fold.test[0]
    digests[b] = digests[a]
    table = table.assign(start=float("nan"), end=float("nan"))
    table.loc[a, ["start", "end"]] = train
    table.loc[b, ["start", "end"]] = test
    if not is_leak:
        folds.verify(fold, table, digests)
        return
    with pytest.raises(UserError, match=f"audio that is also in train, e.g. {b}"):
        folds.verify(fold, table, digests)


def test_sessions_that_share_a_speaker_are_an_error(table: pd.DataFrame, labels: pd.Series) -> None:
    table.loc[table.index[0], "session"] = "2"
    with pytest.raises(UserError, match=r"\['1F'\] are in several sessions"):
        folds.session_swap(table, labels, index=0)


# ---- texts


def require_independent(fold: folds.Fold, table: pd.DataFrame, column: str) -> None:
    """Assert that no value is in two splits, nor in `fit` and in validation or test."""
    values = {split: set(table.loc[ids, column].dropna()) for split, ids in fold.parts.items()}
    assert not values["train"] & values["val"]
    assert not (values["train"] | values["val"]) & values["test"]
    assert not set(table.loc[fold.fit, column].dropna()) & (values["val"] | values["test"])


@pytest.mark.parametrize("name", BY_TEXT)
def test_no_text_is_in_two_splits(
    name: str, table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    make, options, count = BY_TEXT[name]
    for index in range(count):
        fold = make(table, labels, index=index, **options)
        folds.verify(fold, table, digests)
        assert fold.text_independent
        assert fold.speaker_independent == (name == "speaker_text")
        assert set(fold.everyone) <= set(labels.index)
        assert set(fold.train) == set(fold.fit) & set(labels.index)
        assert len(fold.fit) > len(fold.train)
        require_independent(fold, table, "text")
        if name == "speaker_text":
            require_independent(fold, table, "speaker")
    with pytest.raises(UserError, match=f"from 0 to {count - 1}"):
        make(table, labels, index=count, **options)


@pytest.mark.parametrize(
    ("make", "options", "count"),
    [
        (folds.text, {"count": 5}, 5),
        (folds.text, {"count": 10}, 10),
        (folds.speaker_text, {"text_groups": 5}, 25),
        (folds.speaker_text, {"text_groups": 10}, 50),
    ],
)
def test_folds_of_emodb_are_text_independent(
    make: Callable[..., folds.Fold], options: dict, count: int, emodb_root: Path
) -> None:
    """They test one or two of its ten sentences, and each utterance once."""
    table = read_emodb(emodb_root).table
    contents = pd.Series(table.index, index=table.index)
    for split_seed in (0, 1):
        tested: list[str] = []
        for index in range(count):
            fold = make(table, table["emotion"], index=index, split_seed=split_seed, **options)
            folds.verify(fold, table, contents)
            require_independent(fold, table, "text")
            each = 10 // next(iter(options.values()))
            assert table.loc[fold.test, "text"].nunique() == each
            assert table.loc[fold.train, "text"].nunique() == 10 - 2 * each
            if make is folds.speaker_text:
                require_independent(fold, table, "speaker")
                left_out = table.drop(fold.everyone)
                others = table.loc[fold.val.append(fold.test)]
                shares = left_out["text"].isin(others["text"])
                shares |= left_out["speaker"].isin(others["speaker"])
                assert shares.all()  # those left out could not have trained
            else:
                assert set(fold.everyone) == set(table.index)
            tested.extend(fold.test)
        assert sorted(tested) == sorted(table.index)


def test_groups_of_texts_depend_on_their_seed_only_and_have_similar_sizes(
    table: pd.DataFrame, labels: pd.Series
) -> None:
    def tests(split_seed: int, rows: pd.DataFrame) -> list[list[str]]:
        return [
            folds.text(rows, labels, index=i, count=4, split_seed=split_seed).test.tolist()
            for i in range(4)
        ]

    assert tests(0, table) == tests(0, table[::-1])
    assert tests(0, table) != tests(1, table)
    assert max(map(len, tests(0, table))) - min(map(len, tests(0, table))) <= 2


def test_a_missing_text_counts_as_a_text_of_its_own(
    table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    table.loc[table.index[::2], "text"] = np.nan
    for make, options, count in BY_TEXT.values():
        all_folds = [make(table, labels, index=index, **options) for index in range(count)]
        for fold in all_folds:
            folds.verify(fold, table, digests)
        assert sorted(i for fold in all_folds for i in fold.test) == sorted(labels.index)
    fold = folds.text(table, labels, index=0, count=4, split_seed=0)
    assert table.loc[fold.test, "text"].isna().any()


def test_verify_detects_a_text_in_two_splits(
    table: pd.DataFrame, labels: pd.Series, digests: pd.Series
) -> None:
    for make, options, _ in BY_TEXT.values():
        fold = make(table, labels, index=0, **options)
        for part in ("val", "test"):
            changed = table.copy()
            changed.loc[fold.parts[part][0], "text"] = table.loc[fold.train[0], "text"]
            with pytest.raises(UserError, match=f"1 text.s. in both train and {part}"):
                folds.verify(fold, changed, digests)
        unlabelled = fold.fit.difference(fold.train)
        changed = table.copy()
        changed.loc[unlabelled[0], "text"] = table.loc[fold.test[0], "text"]
        with pytest.raises(UserError, match=r"1 text.s. in both fit and test"):
            folds.verify(fold, changed, digests)
        with pytest.raises(UserError, match="column `text`"):
            folds.verify(fold, table.drop(columns="text"), digests)


def test_the_error_for_missing_or_too_few_texts_names_other_folds(
    table: pd.DataFrame, labels: pd.Series
) -> None:
    for name, (make, options, _) in BY_TEXT.items():
        for without in (table.drop(columns="text"), table.assign(text=np.nan)):
            with pytest.raises(
                UserError, match=f"fold={name} needs the texts .*`text`.*; fold=session"
            ):
                make(without, labels, index=0, **options)
        two = table.assign(text=np.where(table["text"] < "t06", "a", "b"))
        with pytest.raises(UserError, match=r"(groups|count)=4 must be from 3 .* 2; fold=session"):
            make(two, labels, index=0, **options)
    with pytest.raises(UserError, match="has no sessions"):
        folds.speaker_text(
            table.drop(columns="session"), labels, index=0, text_groups=4, split_seed=0
        )


@pytest.mark.parametrize(
    ("fold", "remarks", "left_out"), [("text", 1, False), ("speaker_text", 0, True)]
)
def test_result_of_a_run_states_the_independence_of_its_fold(
    fold: str, remarks: int, left_out: bool, emodb: list[str], composed: Callable, tmp_path: Path
) -> None:
    """On a part of EMO-DB; the sentences of the test split are not in the training split."""
    few = ["trainer.max_epochs=2", "model.encoder.hidden=[16,16]"]
    cfg, names = composed(*emodb, *few, f"fold={fold}", "fold.index=3")
    run(cfg, tmp_path, names)
    result = results.read_json(tmp_path / results.RESULT)
    assert result is not None
    assert result["text_independent"]
    assert result["speaker_independent"] == (fold == "speaker_text")
    assert len(result["remarks"]) == remarks  # speaker dependent
    scored = sum(sum(part.values()) for part in result["class_counts"].values())
    assert result["left_out"] == len(build(cfg.corpus).table) - scored
    assert (result["left_out"] > 0) == left_out
    utterances = results.RunFolder(tmp_path).read_utterances()
    assert set(utterances.loc[utterances["part"] != "train", "text"]) == {"new"}
