"""Single ratings of a manifest, and their consensus."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser.corpora import Corpus
from ser.corpora.demo import demo
from ser.corpora.manifest import manifest
from ser.data import targets
from ser.data.targets import emotion
from ser.errors import UserError

COLUMNS = ["utterance", "rater", "emotions", "valence", "activation", "dominance"]
NAN = float("nan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three empty recordings."""
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.wav").touch()
    return tmp_path


def wide(folder: Path, header: str, *cells: str) -> Corpus:
    rows = [f"{name}.wav,ann,{each}" for name, each in zip("abc", cells, strict=True)]
    (folder / "my.csv").write_text("\n".join([f"file,speaker,{header}", *rows]))
    return manifest(folder / "my.csv")


def test_columns_of_raters_are_ratings_with_a_consensus(folder: Path) -> None:
    corpus = wide(
        folder,
        "emotion_1,emotion_2,emotion_3,arousal.1,arousal_rater2",
        "anger,Anger,fear,2,3", "anger,fear,joy,,1", "fear|anger,fear,anger;joy,,",
    )  # fmt: skip
    assert corpus.problems == ()
    table = corpus.table
    # of c, fear and anger have two votes each
    assert list(table["emotion"].fillna("-")) == ["anger", "-", "-"]
    assert table["activation"].to_list()[:2] == [2.5, 1.0]
    assert np.isnan(table["activation"]["c"])
    assert "valence" not in table
    assert list(corpus.raters) == COLUMNS
    ratings = corpus.raters.set_index(["utterance", "rater"])
    assert len(ratings) == 9
    assert ratings.loc[("c", "3"), "emotions"] == ("anger", "joy")
    assert ratings.loc[("a", "2"), "activation"] == 3.0
    assert np.isnan(ratings.loc[("a", "3"), "activation"])
    notes = " ".join(corpus.notes)
    assert "columns of 3 raters" in notes
    assert "emotion: one spelling is used, 'anger' from 'Anger'" in notes
    assert "emotion is the one that most raters chose; 2 of 3 utterances have none" in notes
    assert "activation: mean of the raters" in notes


def test_targets_use_the_ratings(folder: Path) -> None:
    corpus = wide(
        folder, "emotion_1,emotion_2,valence_1,valence_2", "joy,joy,1,1", "joy,,1,", "fear,fear,5,5"
    )
    options = {"styles": None, "labelled_fraction": 1.0, "labelled_seed": 0}
    target = emotion(corpus, classes=None, merge=None, min_agreement=2, **options)
    assert target.labels.to_dict() == {"a": "joy", "c": "fear"}
    levels = corpus.table["valence"]
    assert targets.levels(corpus, levels, "majority").to_list() == ["low", "low", "high"]


def test_a_given_consensus_stands(folder: Path) -> None:
    corpus = wide(folder, "emotion,emotion_1,emotion_2", "joy,fear,fear", ",joy,joy", "joy,joy,")
    assert list(corpus.table["emotion"].fillna("-")) == ["joy", "-", "joy"]
    assert len(corpus.raters) == 5


def test_ratings_are_on_the_scale_of_the_manifest(folder: Path) -> None:
    file = folder / "my.csv"
    file.write_text("file,speaker,valence_1,valence_2\na.wav,ann,-1,1\nb.wav,ann,0,2\n")
    corpus = manifest(file, scale=[-1, 1])
    assert list(corpus.raters["valence"]) == [1.0, 5.0]
    assert list(corpus.table["valence"]) == [3.0]
    (problem,) = corpus.problems
    assert problem.line == 3
    assert "valence 2 is outside corpus.scale=[-1,1]" in problem.reason


def long(folder: Path, text: str, name: str = "my.ratings.csv") -> Path:
    (folder / "my.csv").write_text("file,speaker\na.wav,ann\nb.wav,bob\n")
    (folder / name).write_text(text)
    return folder / "my.csv"


@pytest.mark.parametrize("column", ["utterance", "file"])
@pytest.mark.parametrize("name", ["my.ratings.csv", "other.csv"])
def test_a_file_of_ratings_equals_columns(folder: Path, column: str, name: str) -> None:
    ids = "a,b,c" if column == "utterance" else "a.wav,./b.wav,c.wav"
    a, b, c = ids.split(",")
    text = (
        f"{column};Annotator;label;arousal\n{a};x;anger;2\n{a};y;anger;3,5\n{b};x;fear;\n{c};x;;1\n"
    )
    file = long(folder, text, name)
    corpus = manifest(file, ratings=None if name == "my.ratings.csv" else folder / name)
    assert corpus.problems == ()
    assert list(corpus.table["emotion"]) == ["anger", "fear"]
    assert corpus.table["activation"]["a"] == 2.75
    assert list(corpus.raters["rater"]) == ["x", "y", "x"]
    assert f"3 single ratings from {name}" in corpus.notes[0]
    assert corpus.notes[2] == f"ratings in {name} of utterances that the manifest lacks: 1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("utterance,rater,emotion\na,x,joy\na,x,fear\n", "duplicate rating of 'a' by rater 'x'"),
        ("utterance,rater,emotion\nb,y,joy\na,,fear\n", "the rater is missing"),
        ("utterance,rater,valence\nb,y,3\na,x,high\n", "valence must be a number, found 'high'"),
    ],
)
def test_an_invalid_rating_is_a_problem_with_its_line(folder: Path, text: str, reason: str) -> None:
    (problem,) = manifest(long(folder, text)).problems
    assert (problem.file.name, problem.line) == ("my.ratings.csv", 3)
    assert reason in problem.reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("utterance,emotion\na,joy\n", "lacks the column rater, or utterance"),
        ("utterance,rater,emotion\nz,x,joy\n", "rates no utterance of the manifest, such as 'a'"),
    ],
)
def test_a_file_without_usable_ratings_is_an_error(folder: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        manifest(long(folder, text))
    with pytest.raises(UserError, match=r"corpus\.ratings=nowhere\.csv does not exist"):
        manifest(folder / "my.csv", ratings="nowhere.csv")
    (folder / "my.csv").write_text("file,speaker,emotion_1\na.wav,ann,joy\n")
    with pytest.raises(UserError, match="columns of single raters, and .* has ratings, too"):
        manifest(folder / "my.csv")


def test_the_consensus_is_that_of_the_demo_corpus(demo_root: Path, tmp_path: Path) -> None:
    """Raters of the demo agree by the rule of IEMOCAP, in whose layout it is written."""
    corpus = demo(demo_root)
    corpus.table[["file", "speaker"]].to_csv(tmp_path / "demo.csv")
    ratings = corpus.raters.assign(emotion=corpus.raters["emotions"].map("|".join))
    ratings.drop(columns="emotions").to_csv(tmp_path / "demo.ratings.csv", index=False)
    table = manifest(tmp_path / "demo.csv").table
    assert table["emotion"].isna().any()
    pd.testing.assert_series_equal(table["emotion"], corpus.table["emotion"])
    for column in ("valence", "activation", "dominance"):
        assert (table[column] - corpus.table[column]).abs().max() < 1e-4
