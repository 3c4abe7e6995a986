"""Corpora written as manifests, alone and joined."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from ser.__main__ import main
from ser.corpora import Corpus
from ser.corpora.demo import demo
from ser.corpora.emodb import emodb
from ser.corpora.emotale import emotale
from ser.corpora.manifest import manifest
from ser.data.check import check
from ser.data.manifests import join, write_manifest
from ser.errors import UserError


def require_equal(actual: Corpus, expected: Corpus) -> None:
    assert actual.problems == ()
    pd.testing.assert_frame_equal(actual.table, expected.table)
    assert actual.synthetic == expected.synthetic
    if expected.raters is None:
        assert actual.raters is None
    else:
        pd.testing.assert_frame_equal(actual.raters, expected.raters)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", ["emodb", "demo", "emotale"])
def test_a_corpus_is_read_back_exactly(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, suffix: str
) -> None:
    root = request.getfixturevalue(f"{name}_root")
    corpus = {"emodb": emodb, "demo": demo, "emotale": emotale}[name](root)
    file = tmp_path / f"{name}{suffix}"
    written = write_manifest(corpus, file)
    assert written == [file, *([tmp_path / f"{name}.ratings{suffix}"] if name != "emodb" else [])]
    require_equal(manifest(file), corpus)


def test_paths_are_relative_below_the_manifest(emodb_root: Path, tmp_path: Path) -> None:
    corpus = emodb(emodb_root)
    (tmp_path / "audio").symlink_to(emodb_root / "wav")
    files = corpus.table["file"].map(lambda file: str(tmp_path / "audio" / Path(file).name))
    below = Corpus("emodb", corpus.table.assign(file=files))
    write_manifest(below, tmp_path / "x.csv")
    assert "\n03a01Fa,audio/03a01Fa.wav,03," in (tmp_path / "x.csv").read_text()
    require_equal(manifest(tmp_path / "x.csv"), below)
    write_manifest(corpus, tmp_path / "y.csv")
    assert f",{emodb_root.absolute()}/wav/03a01Fa.wav," in (tmp_path / "y.csv").read_text()


def odd(folder: Path, name: str = "odd") -> Corpus:
    """Names that a spreadsheet would run, and numbers that must not change."""
    names = ["+1", "-a", "=b", "@c"]
    (folder / name).mkdir()
    for each in names:
        (folder / name / f"{each}.wav").touch()
    table = pd.DataFrame(
        {
            "file": [str(folder / name / f"{each}.wav") for each in names],
            "start": np.nan,
            "end": np.nan,
            "speaker": ["-1", "=cmd()", "'=quoted", "7"],
            "session": ["a", "a", "b", None],
            "text": ['he said "no", twice', "NA", "@home", "two\nlines"],
            "emotion": ["=anger", "-", None, "joy"],
            "valence": [-0.1 - 0.2, 1 / 3, np.nan, 5.0],
        },
        index=pd.Index(names, name="utterance"),
    )
    texts = dict.fromkeys(["file", "speaker", "session", "text", "emotion"], "str")
    table.index = table.index.astype("str")
    return Corpus(name, table.astype(texts))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_texts_that_look_like_formulas_are_read_back(tmp_path: Path, suffix: str) -> None:
    corpus = odd(tmp_path)
    write_manifest(corpus, tmp_path / f"x{suffix}")
    require_equal(manifest(tmp_path / f"x{suffix}"), corpus)
    if suffix == ".csv":
        cells = pd.read_csv(tmp_path / "x.csv", dtype=str)[["utterance", "speaker", "emotion"]]
        assert not cells.stack().str.startswith(("=", "+", "-", "@")).any()


def test_equal_names_of_two_corpora_stay_apart(tmp_path: Path) -> None:
    joined = join([odd(tmp_path, "one"), odd(tmp_path, "two")])
    table = joined.table
    assert list(table["corpus"]) == ["one"] * 4 + ["two"] * 4
    assert list(table.index)[3:5] == ["one/@c", "two/+1"]
    assert table["speaker"].nunique() == 8
    assert set(table["session"].dropna()) == {"one/a", "one/b", "two/a", "two/b"}
    assert table["text"].nunique() == 4  # the same sentence is the same text
    assert table["session"].isna().sum() == 2
    write_manifest(joined, tmp_path / "joined.csv")
    again = manifest(tmp_path / "joined.csv")
    require_equal(again, joined)
    # A joined corpus can be joined once more; names are prefixed once.
    more = join([again, odd(tmp_path, "three")])
    assert list(more.table["corpus"].unique()) == ["one", "three", "two"]
    assert "one/@c" in more.table.index
    with pytest.raises(
        UserError, match="two of the corpora are named one: give one manifest another"
    ):
        join([again, Corpus("one", odd(tmp_path, "four").table)])


def test_raters_of_two_corpora_stay_apart(tmp_path: Path) -> None:
    def rated(name: str) -> Corpus:
        raters = pd.DataFrame({"utterance": ["-a"], "rater": ["1"], "emotions": [("joy", "fear")]})
        raters = raters.assign(valence=1.0, activation=np.nan, dominance=np.nan)
        return Corpus(name, odd(tmp_path, name).table, raters)

    lost = Corpus("none", rated("none").table.drop("-a"), rated("lost").raters)
    joined = join([rated("one"), lost, rated("two")])
    assert list(joined.raters["rater"]) == ["one/1", "none/1", "two/1"]
    write_manifest(joined, tmp_path / "joined.csv")
    again = manifest(tmp_path / "joined.csv")
    assert list(again.raters["utterance"]) == ["one/-a", "two/-a"]  # of what is in the table
    assert list(again.raters["emotions"]) == [("joy", "fear")] * 2
    assert write_manifest(lost, tmp_path / "lost.csv") == [tmp_path / "lost.csv"]


def test_command_joins_manifests_and_corpora(
    emodb_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.csv"
    copy.write_text(f"file,speaker,emotion\n{emodb_root}/wav/03a01Fa.wav,ann,joy\n")
    out = tmp_path / "joined.csv"
    corpus = ["corpus=emodb", f"corpus.root={emodb_root}"]
    assert main(["manifest", str(copy), *corpus, "--out", str(out)]) == 0
    assert f"{out}: 536 utterances" in capsys.readouterr().err
    joined = manifest(out)
    assert joined.table["corpus"].value_counts().to_dict() == {"emodb": 535, "copy": 1}
    assert joined.table.at["copy/03a01Fa", "speaker"] == "copy/ann"
    assert joined.table.at["emodb/03a01Fa", "emotion"] == "happiness"
    # One of the utterances is the same audio.
    stream = io.StringIO()
    few = joined.table.loc[["copy/03a01Fa", "emodb/03a01Fa", "emodb/03a01Nc"]]
    (tmp_path / "again.wav").write_bytes((emodb_root / "wav" / "03a01Fa.wav").read_bytes())
    few.loc["copy/03a01Fa", "file"] = str(tmp_path / "again.wav")
    assert not check(Corpus("joined", few), console=Console(file=stream, width=100))
    assert "byte-identical files of different speakers (1)" in stream.getvalue()
    # Nothing is overwritten.
    assert main(["manifest", str(copy), "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["corpus.root=x"], "corpus.root=x: expected a manifest or corpus=... first"),
        (["nowhere.csv"], "nowhere.csv does not exist"),
        (["corpus=emmodb"], "did you mean corpus=emodb"),
    ],
)
def test_a_wrong_corpus_is_named(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifest", *words, "--out", str(tmp_path / "x.csv")]) == 1
    assert message in capsys.readouterr().err


def test_faulty_rows_are_refused_unless_they_may_be_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "x.csv").write_text("file,speaker\na.wav,ann\nb.wav,bob\n")
    words, out = ["manifest", str(tmp_path / "x.csv")], ["--out", str(tmp_path / "y.csv")]
    assert main([*words, *out]) == 1
    assert "x.csv:3: no audio file" in capsys.readouterr().err
    assert main([*words, "skip_faulty=true", *out]) == 0
    assert len(manifest(tmp_path / "y.csv").table) == 1
