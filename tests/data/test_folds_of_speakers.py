"""Groups of speakers, leave one speaker out, published partitions, and one corpus of several."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from ser.data import folds
from ser.data.folds.grouping import balanced_groups
from ser.errors import UserError


def corpus(*sizes: int, classes: int = 3, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """A table, and the labels of most of its utterances; one speaker for each size."""
    rng = np.random.default_rng(seed)
    speakers = [f"s{number:02d}" for number, size in enumerate(sizes) for _ in range(size)]
    ids = [f"u{number:04d}" for number in range(len(speakers))]
    table = pd.DataFrame({"speaker": speakers}, index=pd.Index(ids, name="utterance"))
    table["gender"] = table["speaker"].map(lambda name: ("female", "male")[int(name[1:]) // 3 % 2])
    labelled = table.index[rng.random(len(table)) < 0.9]
    return table, pd.Series(rng.choice(list("abcdef"[:classes]), len(labelled)), labelled)


def speakers_tested(table: pd.DataFrame, all_folds: list[folds.Fold]) -> list[str]:
    """Return the speakers that test, fold by fold."""
    return [name for fold in all_folds for name in table.loc[fold.test, "speaker"].unique()]


def groups_of(table: pd.DataFrame, labels: pd.Series, **options: int) -> list[folds.Fold]:
    options = {"count": 5, "split_seed": 0, **options}
    return [folds.speaker_kfold(table, labels, index=i, **options) for i in range(options["count"])]


# ---- groups of speakers


@pytest.mark.parametrize("seed", range(4))
def test_every_speaker_tests_once_and_validates_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 8))
    sizes = rng.integers(1, 30, rng.integers(count, 25))
    table, labels = corpus(*sizes, seed=seed)
    known = sorted(table.loc[labels.index, "speaker"].unique())
    all_folds = groups_of(table, labels, count=min(count, len(known)), split_seed=seed)
    assert sorted(speakers_tested(table, all_folds)) == known
    for fold, following in zip(all_folds, [*all_folds[1:], all_folds[0]], strict=True):
        folds.verify(fold, table, pd.Series(table.index, table.index))
        assert set(fold.val) == set(following.test)
        assert set(fold.everyone) == set(labels.index)


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_more_balanced_than_the_best_of_many_random_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table, labels = corpus(*rng.integers(5, 40, 15), classes=4, seed=seed)
    counts = pd.crosstab(table.loc[labels.index, "speaker"], labels)
    counts["all"] = counts.sum(axis=1)

    def deviation(groups: np.ndarray) -> float:
        sums = counts.groupby(groups).sum()
        return float(((sums - sums.mean()) ** 2 / sums.mean()).to_numpy().sum())

    groups = balanced_groups(labels, table["speaker"], 5, seed)
    ours = deviation(counts.index.map(groups).to_numpy())
    at_random = [deviation(rng.permutation(np.arange(15) % 5)) for _ in range(50)]
    assert ours < min(at_random)


def test_groups_of_few_speakers_are_the_best_there_are() -> None:
    for seed in range(3):
        table, labels = corpus(9, 3, 20, 4, 12, 8, seed=seed)
        counts = pd.crosstab(table.loc[labels.index, "speaker"], labels)
        counts["all"] = counts.sum(axis=1)
        numbers = counts.to_numpy()

        def deviation(groups: tuple[int, ...], numbers: np.ndarray = numbers) -> float:
            sums = np.array([numbers[np.array(groups) == g].sum(axis=0) for g in range(3)])
            return float(((sums - sums.mean(axis=0)) ** 2 / sums.mean(axis=0)).sum())

        best = min(deviation(each) for each in product(range(3), repeat=6) if len(set(each)) == 3)
        groups = balanced_groups(labels, table["speaker"], 3, seed)
        assert deviation(tuple(counts.index.map(groups))) <= 1.5 * best + 1e-9


def test_six_speakers_make_five_groups() -> None:
    table, labels = corpus(10, 10, 10, 10, 10, 10)
    all_folds = groups_of(table, labels)
    assert sorted(len(table.loc[fold.test, "speaker"].unique()) for fold in all_folds) == [
        *(1, 1, 1, 1, 2)
    ]


def test_groups_depend_on_the_labelled_table_and_their_own_seed() -> None:
    table, labels = corpus(*range(5, 17))
    backwards = groups_of(table[::-1], labels[::-1])
    for fold, again in zip(groups_of(table, labels), backwards, strict=True):
        assert fold.test.equals(again.test)
    other = groups_of(table, labels, split_seed=1)
    assert [list(f.test) for f in other] != [list(f.test) for f in backwards]


def test_the_error_for_too_few_speakers_or_groups_names_the_right_number() -> None:
    table, labels = corpus(5, 5, 5, 5)
    with pytest.raises(UserError, match=r"only 4 speakers .*: fold.count=4$"):
        folds.speaker_kfold(table, labels, index=0, count=5, split_seed=0)
    with pytest.raises(UserError, match=r"fold.count=2: .* at least 3 groups"):
        folds.speaker_kfold(table, labels, index=0, count=2, split_seed=0)
    with pytest.raises(UserError, match=r"from 0 to 3, not 4"):
        folds.speaker_kfold(table, labels, index=4, count=4, split_seed=0)
    table, labels = corpus(9, 9)
    for make, options in (
        (folds.speaker_kfold, {"count": 3, "split_seed": 0}),
        (folds.loso, {"val": 1}),
    ):
        with pytest.raises(UserError, match="at least 3 speakers, .* only 2: s00, s01"):
            make(table, labels, index=0, **options)


def test_speech_of_speakers_without_labels_is_for_unsupervised_stages() -> None:
    table, labels = corpus(6, 6, 6, 6)
    labels = labels[(table.loc[labels.index, "speaker"] != "s02").to_numpy()]
    fold = folds.speaker_kfold(table, labels, index=0, count=3, split_seed=0)
    assert set(table.index[table["speaker"] == "s02"]) < set(fold.fit)
    folds.verify(fold, table, pd.Series(table.index, table.index))


# ---- leave one speaker out


def test_each_speaker_tests_once_and_a_woman_and_a_man_validate() -> None:
    table, labels = corpus(*[5] * 8)
    all_folds = [folds.loso(table, labels, index=i, val=2) for i in range(8)]
    assert speakers_tested(table, all_folds) == sorted(table["speaker"].unique())
    for fold in all_folds:
        assert fold.count == 8
        assert set(table.loc[fold.val, "gender"]) == {"female", "male"}
    first = folds.loso(table, labels, index=0, val=2)
    assert set(table.loc[first.val, "speaker"]) == {"s01", "s03"}
    without = table.drop(columns="gender")
    first = folds.loso(without, labels, index=7, val=3)
    assert set(table.loc[first.val, "speaker"]) == {"s00", "s01", "s02"}


def test_loso_needs_a_speaker_to_train() -> None:
    table, labels = corpus(5, 5, 5)
    assert folds.loso(table, labels, index=2, val=1).count == 3
    with pytest.raises(UserError, match=r"fold.val=2: .* at most 1 validate: fold.val=1"):
        folds.loso(table, labels, index=0, val=2)
    with pytest.raises(UserError, match="needs a number of speakers"):
        folds.loso(table, labels, index=0, val=["s01"])  # type: ignore[arg-type]


# ---- as published

NAMES: dict[str, None] = dict.fromkeys(("train", "val", "test"))


def published(*names: str | None) -> tuple[pd.DataFrame, pd.Series]:
    """Speakers of five utterances, each in a split of this name."""
    table, labels = corpus(*[5] * len(names))
    return table.assign(split=np.repeat(np.array(names, object), 5)), labels


def test_published_partition_by_its_usual_names() -> None:
    for train, val, test in (
        ("train", "development", "test"),
        ("Train", "Validation", "Test"),
        ("training", "dev", "TEST1"),
    ):
        table, labels = published(train, val, test, "other", None)
        fold = folds.partition(table, labels, index=0, **NAMES)
        folds.verify(fold, table, pd.Series(table.index, table.index))
        for part, name in (("train", train), ("val", val), ("test", test)):
            assert set(fold.parts[part]) == set(labels.index) & set(
                table.index[table["split"] == name]
            )
        assert set(fold.fit) == set(table.index[table["split"] == train])
        assert fold.speaker_independent
        assert not fold.test_sets


def test_several_test_sets_are_tested_together_and_each_by_itself() -> None:
    table, labels = published("train", "train", "development", "test1", "test2", "test3")
    labels = labels[(table.loc[labels.index, "split"] != "test3").to_numpy()]  # not published
    fold = folds.partition(table, labels, index=0, **NAMES)
    assert list(fold.test_sets) == ["test1", "test2"]
    assert set(fold.test) == {each for ids in fold.test_sets.values() for each in ids}
    options = {**NAMES, "train": ["train"], "val": ["TEST1"], "test": ["Test2"]}
    fold = folds.partition(table, labels, index=0, **options)
    assert set(table.loc[fold.val, "split"]) == {"test1"}
    assert set(table.loc[fold.test, "split"]) == {"test2"}
    assert not set(fold.everyone) & set(table.index[table["split"] == "development"])
    fold = folds.partition(table, labels, index=0, **{**NAMES, "test": []})
    assert fold.test.empty


def test_published_splits_that_share_speakers_are_speaker_dependent() -> None:
    table, labels = published("train", "train", "dev", "test")
    shared = table.copy()
    shared.loc[shared["split"] == "test", "speaker"] = ["s00", "s01", "s03", "s03", "s03"]
    fold = folds.partition(shared, labels, index=0, **NAMES)
    assert not fold.speaker_independent
    assert "of the 3 test speakers are in train" in fold.dependence
    shared = table.copy()
    shared.loc[shared["split"] == "dev", "speaker"] = "s00"
    fold = folds.partition(shared, labels, index=0, **NAMES)
    assert not fold.speaker_independent
    assert fold.dependence == "as published, 1 of the 1 val speakers are in train"
    unknown = table.assign(speaker=table["speaker"].where(table["split"] != "test"))
    fold = folds.partition(unknown, labels, index=0, **NAMES)
    assert fold.speaker_independent
    (remark,) = fold.remarks
    assert remark.endswith(f"unknown, and may be in two splits: {len(fold.test)} test")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": ["learn"]}, "no published split learn; there are test, train, val"),
        ({"val": ["train"]}, "fold.train: train is in train and val"),
        ({"train": 7}, "needs a list of test, train, val"),
    ],
)
def test_wrong_names_of_splits_are_answered_by_those_there_are(options: dict, message: str) -> None:
    table, labels = published("train", "val", "test")
    with pytest.raises(UserError, match=message):
        folds.partition(table, labels, index=0, **{**NAMES, **options})


def test_a_corpus_without_a_partition_is_refused() -> None:
    table, labels = corpus(5, 5, 5)
    for without in (table, table.assign(split=None)):
        with pytest.raises(UserError, match="a column `split` .*; fold=speaker_kfold needs none"):
            folds.partition(without, labels, index=0, **NAMES)
    table, labels = published("train", "train", "eval")
    with pytest.raises(UserError, match=r"usual name for val; .* fold.val=\[...\]. There are eval"):
        folds.partition(table, labels, index=0, **NAMES)


# ---- one of several corpora


def test_each_corpus_tests_once_and_speakers_of_all_others_validate() -> None:
    table, labels = corpus(*[6] * 15)
    table["corpus"] = np.repeat(["x", "y", "z"], 30)
    options = {"val_share": 0.2, "split_seed": 0}
    for index, name in enumerate("xyz"):
        fold = folds.corpus(table, labels, index=index, **options)
        folds.verify(fold, table, pd.Series(table.index, table.index))
        assert fold.count == 3
        assert set(fold.test) == set(labels.index[table.loc[labels.index, "corpus"] == name])
        assert set(table.loc[fold.val, "corpus"]) == set("xyz") - {name}
        assert table.loc[fold.val, "speaker"].nunique() == 2
        assert set(fold.everyone) == set(labels.index)
    with pytest.raises(UserError, match="from 0 to 2"):
        folds.corpus(table, labels, index=3, **options)
    with pytest.raises(UserError, match="column `corpus`"):
        folds.corpus(table.drop(columns="corpus"), labels, index=0, **options)
    with pytest.raises(UserError, match="two corpora or more"):
        folds.corpus(table.assign(corpus="x"), labels, index=0, **options)
    table.loc[table.index[-1], "speaker"] = "s00"
    with pytest.raises(UserError, match=r"speaker s00 is in several corpora \(x, z\)"):
        folds.corpus(table, labels, index=0, **options)


# ---- one language trains, another one tests


def two_languages() -> tuple[pd.DataFrame, pd.Series]:
    """Ten speakers, of whom the last two speak Danish only."""
    table, labels = corpus(*[12] * 10)
    table["language"] = np.where(np.arange(len(table)) % 2, "da", "en")
    table.loc[table["speaker"].isin(["s08", "s09"]), "language"] = "da"
    return table, labels


@pytest.mark.parametrize(("train", "test"), [("en", "da"), ("da", "en"), ("da", "da")])
def test_who_speaks_two_languages_is_in_one_split_and_one_language(train: str, test: str) -> None:
    table, labels = two_languages()
    for index, group in enumerate(groups_of(table, labels)):
        options = {"language": train, "test_language": test, "count": 5, "split_seed": 0}
        fold = folds.language(table, labels, index=index, **options)
        folds.verify(fold, table, pd.Series(table.index, table.index))
        assert fold.speaker_independent
        for name, spoken in (("train", train), ("val", train), ("fit", train), ("test", test)):
            ids = getattr(group, name)
            expected = ids[table.loc[ids, "language"] == spoken]
            assert getattr(fold, name).equals(expected)
        assert fold.remarks == (f"languages: trained and selected on {train}, tested on {test}",)


def test_folds_by_language_name_the_languages_there_are() -> None:
    table, labels = two_languages()
    options = {"index": 0, "count": 5, "split_seed": 0}
    with pytest.raises(UserError, match=r"fold.language=None: must be one of da, en"):
        folds.language(table, labels, language=None, test_language="da", **options)
    with pytest.raises(UserError, match=r"fold.test_language=de: must be one of da, en"):
        folds.language(table, labels, language="en", test_language="de", **options)
    plain = table.drop(columns="language")
    with pytest.raises(UserError, match="a column `language`"):
        folds.language(plain, labels, language="en", test_language="da", **options)
    nobody = table.assign(language=np.where(table["speaker"] == "s00", "en", "da"))
    options |= {"language": "da", "test_language": "en"}
    tested = [table["speaker"].loc[g.test].unique() for g in groups_of(table, labels)]
    options["index"] = next(index for index, names in enumerate(tested) if "s00" not in names)
    with pytest.raises(UserError, match="none of its test speakers has an utterance in en"):
        folds.language(nobody, labels, **options)
