import os
from pathlib import Path

import pandas as pd
import pytest

from ser.corpora import REQUIRED
from ser.corpora.manifest import manifest
from ser.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two empty recordings in `wav`."""
    (tmp_path / "wav").mkdir()
    for name in ("one", "two"):
        (tmp_path / "wav" / f"{name}.wav").touch()
    return tmp_path


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.csv"
    file.write_text(text)
    return file


def test_file_and_speaker_are_enough(folder: Path) -> None:
    corpus = manifest(write(folder, "file,speaker\nwav/two.wav,ann\nwav/one.wav,bob\n"))
    assert corpus.name == "mine"
    assert corpus.problems == ()
    assert list(corpus.table.columns) == list(REQUIRED)
    assert list(corpus.table.index) == ["wav/one", "wav/two"]
    assert list(corpus.table["speaker"]) == ["bob", "ann"]
    assert list(corpus.table["file"]) == [str(folder / f"wav/{n}.wav") for n in ("one", "two")]
    assert corpus.table[["start", "end"]].isna().all(axis=None)
    assert manifest(folder / "mine.csv", name="other").name == "other"


@pytest.mark.parametrize("subfolder", ["wav", "."])
def test_utterance_and_speaker_are_enough(folder: Path, subfolder: str) -> None:
    file = write(folder / subfolder, "utterance,speaker\none,ann\ntwo,bob\n")
    corpus = manifest(file)
    assert corpus.problems == ()
    assert list(corpus.table["file"]) == [str(folder / f"wav/{n}.wav") for n in ("one", "two")]


def test_all_columns_are_read_and_blanks_are_missing_values(folder: Path) -> None:
    text = (
        "utterance,file,start,end,speaker,gender,session,dialogue,style,text,emotion,"
        "valence,activation,dominance\n"
        "a,wav/one.wav,0,1.5,ann,female,s1,d1,read,t1,anger,1,2.5,3\n"
        '"b, again",wav/one.wav,1.5,,007,male,,,,,,,,\n'
    )
    corpus = manifest(write(folder, text))
    assert corpus.problems == ()
    a, b = corpus.table.loc["a"], corpus.table.loc["b, again"]
    assert (a["start"], a["end"], a["activation"], a["text"]) == (0.0, 1.5, 2.5, "t1")
    assert b["speaker"] == "007"  # not read as a number
    assert b[["end", "session", "emotion", "valence"]].isna().all()


def test_parquet_equals_csv(folder: Path) -> None:
    text = "utterance,speaker,emotion,valence\none,ann,,1.5\ntwo,bob,fear,\n"
    expected = manifest(write(folder, text))
    pd.read_csv(folder / "mine.csv").to_parquet(folder / "mine.parquet")
    pd.testing.assert_frame_equal(manifest(folder / "mine.parquet").table, expected.table)
    pd.read_csv(folder / "mine.csv", index_col="utterance").to_parquet(folder / "mine.parquet")
    pd.testing.assert_frame_equal(manifest(folder / "mine.parquet").table, expected.table)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("wav/two.wav,,,,,", "the speaker is missing"),
        (",bob,,,,", "file and utterance are both missing"),
        ("wav/one.wav,bob,,,,", "duplicate utterance 'wav/one', first in line 2"),
        ("wav/six.wav,bob,,,,", "no audio file"),
        ("wav/two.wav,bob,,,,high", "valence must be a number, found 'high'"),
        ("wav/two.wav,bob,,,,inf", "valence must be a number, found 'inf'"),
        ("wav/two.wav,bob,x,,,", "gender must be female, male, f or m, or empty, found 'x'"),
        ("wav/two.wav,bob,,2,1,", "must be before end 1.0"),
        ("wav/two.wav,bob,,-1,1,", "must not be negative"),
        ("wav/two.wav,bob,,,", "5 cells, but 6 columns"),
        ("wav/two.wav,bob,,,,,", "7 cells, but 6 columns"),
    ],
)
def test_an_invalid_row_is_a_problem_with_its_line(folder: Path, row: str, reason: str) -> None:
    # the quoted line break and the blank line must be counted
    head = 'file,speaker,gender,start,end,valence\nwav/one.wav,"an\nn",,,,\n\n'
    corpus = manifest(write(folder, f"{head}{row}\n"))
    (problem,) = corpus.problems
    assert (problem.file, problem.line) == (folder / "mine.csv", 5)
    assert reason in problem.reason
    assert (problem.kind == "no audio") == ("no audio" in reason)
    assert list(corpus.table.index) == ["wav/one"]


def test_an_unknown_column_is_ignored_unless_it_looks_misspelt(folder: Path) -> None:
    corpus = manifest(write(folder, "file,speaker,emotoin,zzz\nwav/one.wav,ann,fear,1\n"))
    (problem,) = corpus.problems
    assert problem.line == 1
    assert "'emotoin' (did you mean 'emotion'?)" in problem.reason
    assert corpus.notes == ("columns ignored: 'zzz'",)
    assert "emotoin" not in corpus.table


def test_a_file_that_is_not_a_manifest_is_an_error(folder: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_MANIFEST_ROOT"):
        manifest(None)
    with pytest.raises(UserError, match=r"lacks the column speaker; .*did you mean 'speaker'"):
        manifest(write(folder, "file,speakr\nwav/one.wav,ann\n"))
    with pytest.raises(UserError, match=r"lacks the column speaker and file \(or utterance\)"):
        manifest(write(folder, "name,person\nwav/one.wav,ann\n"))
    with pytest.raises(UserError, match="duplicate columns: file"):
        manifest(write(folder, "file,file,speaker\nwav/one.wav,wav/two.wav,ann\n"))
    with pytest.raises(UserError, match="no utterance could be read"):
        manifest(write(folder, "file,speaker\n"))
    with pytest.raises(UserError, match=r"is a folder; .*it contains mine\.csv"):
        manifest(folder)
    with pytest.raises(UserError, match=r"neither \.csv nor \.parquet"):
        manifest(folder / "wav" / "one.wav")
    (folder / "bad.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(UserError, match="cannot be read as a Parquet file"):
        manifest(folder / "bad.parquet")
    (folder / "bad.csv").write_bytes(b"file,speaker\nwav/one.wav,Zo\x81\n")
    with pytest.raises(UserError, match="is not a text in UTF-8"):
        manifest(folder / "bad.csv")
    (folder / "bad.csv").write_text('file,speaker\nwav/one.wav,"ann" x\n')
    with pytest.raises(UserError, match=r"bad\.csv:2 cannot be read as CSV"):
        manifest(folder / "bad.csv")
    (folder / "bad.csv").write_bytes(b"PK\x03\x04 a spreadsheet")
    with pytest.raises(UserError, match="is a spreadsheet"):
        manifest(folder / "bad.csv")
    (folder / "my.xlsx").touch()
    with pytest.raises(UserError, match="save it as CSV"):
        manifest(folder / "my.xlsx")


def test_gender_may_be_abbreviated(folder: Path) -> None:
    corpus = manifest(write(folder, "file,speaker,gender\nwav/two.wav,a,M\nwav/one.wav,b,Female\n"))
    assert corpus.problems == ()
    assert dict(corpus.table["gender"]) == {"wav/one": "female", "wav/two": "male"}


def test_a_pipe_and_a_long_name_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match="neither a folder nor a file"):
        manifest(tmp_path / "pipe.csv")
    with pytest.raises(UserError, match="File name too long"):
        manifest(tmp_path / f"{'x' * 5000}.csv")
    (tmp_path / "my.csv").write_text(f"file,speaker,emotion\n{'x' * 5000}.wav,a,anger\n")
    with pytest.raises(UserError, match="no audio file .*x\\.\\.\\.") as error:
        manifest(tmp_path / "my.csv")
    assert len(str(error.value)) < 1000
