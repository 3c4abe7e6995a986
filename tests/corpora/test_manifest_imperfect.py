"""Tables that people really have, with audio of EMO-DB: understood, or named in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ser.corpora import Corpus
from ser.corpora.demo import demo
from ser.corpora.emodb import emodb
from ser.corpora.manifest import manifest
from ser.errors import UserError

Write = Callable[..., Path]
EMOTIONS = ("anger", "happiness", "neutral", "sadness")


@pytest.fixture(scope="module")
def audio(emodb_root: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Twelve files of three speakers in the folder `my audio`; their table."""
    table = emodb(emodb_root).table
    table = table[table["emotion"].isin(EMOTIONS) & table["speaker"].isin(["03", "08", "13"])]
    table = table.groupby(["speaker", "emotion"]).head(1).copy()
    folder = tmp_path_factory.mktemp("own") / "my audio"
    folder.mkdir()
    for utterance, file in table["file"].items():
        shutil.copy(file, folder / f"{utterance}.WAV")
    return table.assign(file=[f"my audio/{utterance}.WAV" for utterance in table.index])


@pytest.fixture
def write(audio: pd.DataFrame, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write a manifest next to the audio: a header, and a line for each row of the table."""
    folder = next(tmp_path_factory.getbasetemp().glob("own*"))
    (tmp_path / "my audio").symlink_to(folder / "my audio")

    def to(header: str, line: Callable[[pd.Series], str], encoding: str = "utf-8") -> Path:
        text = "".join(f"{row}\n" for row in [header, *map(line, (r for _, r in audio.iterrows()))])
        file = tmp_path / "my.csv"
        file.write_bytes(text.encode(encoding))
        return file

    return to


def require(corpus: Corpus, audio: pd.DataFrame, *notes: str) -> None:
    """Check that everything was read, and what the notes say."""
    assert corpus.problems == ()
    assert len(corpus.table) == len(audio)
    assert sorted(corpus.table["speaker"].astype(int)) == sorted(audio["speaker"].astype(int))
    assert list(corpus.table["file"].map(Path).map(Path.exists)) == [True] * len(audio)
    if "emotion" in corpus.table:
        assert sorted(corpus.table["emotion"].str.lower()) == sorted(audio["emotion"])
    assert len(corpus.notes) == len(notes)
    for note, expected in zip(corpus.notes, notes, strict=True):
        assert expected in note


def test_a_table_as_excel_exports_it_in_german(audio: pd.DataFrame, write: Write) -> None:
    file = write(
        "Datei;Sprecher;Geschlecht;Emotion;Arousal;Anmerkung;\r",
        lambda row: ";".join(
            (
                *(f"my audio\\{row.name}.WAV", str(int(row.speaker)), row.gender[0], row.emotion),
                *("2,5", "schön", "\r"),
            )
        ),
        "cp1252",
    )
    corpus = manifest(file)
    require(corpus, audio, "Windows-1252", "file from 'Datei', speaker", "ignored: 'Anmerkung'")
    assert "'schön'" in corpus.notes[0]
    assert set(corpus.table["activation"]) == {2.5}
    assert sorted(corpus.table["gender"]) == sorted(audio["gender"])
    file.write_text("sep=;\r\n" + file.read_text("cp1252"), "utf-8-sig")
    require(manifest(file), audio, "file from 'Datei'", "ignored: 'Anmerkung'")


@pytest.mark.parametrize(
    ("separator", "encoding"), [("\t", "utf-16"), (";", "utf-8"), ("|", "utf-8")]
)
def test_separators_and_encodings(
    audio: pd.DataFrame, write: Write, separator: str, encoding: str
) -> None:
    file = write(
        separator.join(("file", "speaker", "emotion")),
        lambda row: separator.join((row.file, row.speaker, row.emotion)),
        encoding,
    )
    require(manifest(file), audio)
    shutil.copy(file, file.with_suffix(".tsv"))
    require(manifest(file.with_suffix(".tsv")), audio)


def test_synonyms_of_columns_in_any_case(audio: pd.DataFrame, write: Write) -> None:
    file = write(
        "FileName,SpkrID,EmoClass,EmoAct,Sex,Split_Set,take 2",
        lambda row: f"{row.file},{row.speaker},{row.emotion},3,F,Train,x",
    )
    corpus = manifest(file)
    require(corpus, audio, "activation from 'EmoAct'", "columns ignored: 'take 2'")
    assert set(corpus.table["split"]) == {"Train"}
    with pytest.raises(UserError, match="'label' and 'category' could all be emotion; rename one"):
        manifest(write("file,speaker,label,category", lambda row: f"{row.file},{row.speaker},1,a"))


def test_a_known_name_wins_over_its_synonym(audio: pd.DataFrame, write: Write) -> None:
    file = write(
        "file,path,speaker,emotion", lambda row: f"{row.file},nowhere,{row.speaker},{row.emotion}"
    )
    require(manifest(file), audio, "columns ignored: 'path'")


@pytest.mark.parametrize(
    "name", ["my audio/{}.wav", "my audio/{}", "MY AUDIO\\..\\my audio\\{}.WAV"]
)
def test_names_in_another_case_or_without_suffix(
    audio: pd.DataFrame, write: Write, name: str
) -> None:
    file = write(
        "file,speaker,emotion",
        lambda row: (
            f"{name.replace('MY AUDIO', 'my audio').format(row.name)},{row.speaker},{row.emotion}"
        ),
    )
    notes = [] if "\\" in name else [f"{len(audio)} files have another spelling, e.g. '03a01"]
    require(manifest(file), audio, *notes)


def test_ids_of_absolute_paths_do_not_depend_on_the_machine(
    audio: pd.DataFrame, write: Write, tmp_path: Path
) -> None:
    home = tmp_path / "my audio"
    file = write("file,speaker", lambda row: f"{home}/{row.name}.WAV,{row.speaker}")
    assert list(manifest(file).table.index) == list(audio.index)
    # Equal names in folders of speakers are distinguished by the folders.
    lines = ["file,speaker"]
    for n, row in enumerate(audio.itertuples()):
        folder = tmp_path / "all" / row.speaker
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / row.file, folder / f"{n % 4}.wav")
        lines.append(f"{folder}/{n % 4}.wav,{row.speaker}")
    file.write_text("\n".join(lines))
    corpus = manifest(file)
    require(corpus, audio)
    assert list(corpus.table.index)[:5] == ["03/0", "03/1", "03/2", "03/3", "08/0"]


def test_a_missing_file_comes_with_a_hint(write: Write, tmp_path: Path) -> None:
    def reason(name: str) -> str:
        file = write("file,speaker", lambda row: f"{row.file},{row.speaker}")
        file.write_text(file.read_text().replace("my audio/03a01Fa.WAV", name))
        (problem,) = manifest(file).problems
        assert (problem.line, problem.kind) == (2, "no audio")
        return problem.reason

    assert reason("/home/nobody/03a01Fa.WAV").endswith(
        "(there is my audio/03a01Fa.WAV next to the manifest)"
    )
    nowhere = tmp_path / "nowhere"
    expected = f"(the folder {nowhere} does not exist; {tmp_path} does)"
    assert expected in reason(f"{nowhere}/x.wav")
    assert reason("my audio/03a01Fa.flac").endswith("(there is 03a01Fa.WAV)")
    assert reason("my audio/x.wav").endswith("no audio file " + str(tmp_path / "my audio/x.wav"))


def test_a_wrong_name_of_the_table_is_named(write: Write) -> None:
    file = write("file,speaker", lambda row: f"{row.file},{row.speaker}")
    with pytest.raises(UserError, match=f"Did you mean {file}"):
        manifest(file.with_suffix(".cvs"))
    for reader in (demo, emodb):
        with pytest.raises(UserError, match="corpus=manifest reads a table"):
            reader(file)


def test_a_speaker_may_be_unknown_where_the_split_is_published(write: Write) -> None:
    file = write("file,speaker,split", lambda row: f"{row.file},,test1")
    corpus = manifest(file)
    assert corpus.problems == ()
    assert corpus.table["speaker"].isna().all()
    file.write_text(file.read_text().replace("test1", "", 1))
    (problem,) = manifest(file).problems
    assert problem.reason == "the speaker is missing"


def test_a_row_that_occurs_twice_is_named(write: Write) -> None:
    file = write("file,speaker,emotion", lambda row: f"{row.file},{row.speaker},{row.emotion}")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines, lines[1], lines[2].replace("anger", "fear"), ",,"]))
    assert next((p.line, p.reason) for p in manifest(file).problems) == (
        14, "duplicate utterance 'my audio/03a01Fa': the same row as line 2",
    )  # fmt: skip


def test_emotions_that_differ_in_case_are_one(audio: pd.DataFrame, write: Write) -> None:
    def line(row: pd.Series) -> str:
        emotion = row.emotion.title() if row.name == audio.index[0] else row.emotion
        return f"{row.file},{row.speaker}, {emotion} "

    file = write("file,speaker,emotion", line)
    corpus = manifest(file)
    require(corpus, audio, "emotion: one spelling is used, 'happiness' from 'Happiness'")
    assert set(corpus.table["emotion"]) == set(EMOTIONS)


def test_speakers_that_differ_in_case_are_named(write: Write) -> None:
    names = iter(["Ann", "ann"] * 6)
    corpus = manifest(write("file,speaker", lambda row: f"{row.file},{next(names)}"))
    (note,) = corpus.notes
    assert "'Ann' and 'ann' differ in case only: if they are one person, use one name" in note
    assert set(corpus.table["speaker"]) == {"Ann", "ann"}


def test_segments_of_one_file_need_no_names(write: Write) -> None:
    file = write("file,speaker,start,duration", lambda row: f"{row.file},{row.speaker},0,0.5")
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:3], lines[1].replace(",0,0.5", ",0:00:00.5,0.75")]))
    table = manifest(file).table
    assert list(table.index) == ["my audio/03a01Fa@0", "my audio/03a01Fa@0.5", "my audio/03a01Nc"]
    assert list(table["start"]) == [0.0, 0.5, 0.0]
    assert list(table["end"]) == [0.5, 1.25, 0.5]
    # Of a whole file, a duration says nothing new.
    whole = manifest(write("file,speaker,duration", lambda row: f"{row.file},{row.speaker},99"))
    assert whole.problems == ()
    assert whole.table["end"].isna().all()


@pytest.mark.parametrize(("end", "unit"), [("900", "milliseconds"), ("16000", "samples")])
def test_times_in_another_unit_are_named_once(write: Write, end: str, unit: str) -> None:
    file = write("file,speaker,start,end", lambda row: f"{row.file},{row.speaker},0,{end}")
    (problem,) = manifest(file).problems
    assert (
        f"12 of 12 rows begin or end after their audio, such as line 2 ({end}, " in problem.reason
    )
    assert problem.reason.endswith(f"are in seconds, and these look like {unit}")


def test_a_single_time_after_the_end_is_a_problem_of_its_line(write: Write) -> None:
    file = write("file,speaker,start,end", lambda row: f"{row.file},{row.speaker},0,1")
    file.write_text(file.read_text().replace("Fa.WAV,03,0,1", "Fa.WAV,03,0,9"))
    (problem,) = manifest(file).problems
    assert (problem.line, problem.reason) == (2, "9 s is after the end of its audio (1.89825 s)")


def test_ratings_on_another_scale_name_the_option(audio: pd.DataFrame, write: Write) -> None:
    values = iter([1, 7, 4] * 4)
    file = write("file,speaker,valence", lambda row: f"{row.file},{row.speaker},{next(values)}")
    require(manifest(file), audio, "valence is from 1 to 7, not from 1 to 5 (line 3: 7): give")
    assert manifest(file).notes[0].endswith("corpus.scale=[1,7]")
    scaled = manifest(file, scale=[1, 7])
    require(scaled, audio)
    assert list(scaled.table["valence"]) == [1.0, 5.0, 3.0] * 4
    problems = manifest(file, scale=[1, 4]).problems
    assert problems[0].reason == "valence 7 is outside corpus.scale=[1,4]"
    assert [problem.line for problem in problems] == [3, 6, 9, 12]
    with pytest.raises(UserError, match=r"corpus\.scale=\[7, 1\]: must be the lowest and"):
        manifest(file, scale=[7, 1])


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("gender", "Frau", "female"),
        ("gender", "W", "female"),
        ("gender", "männlich", "male"),
        ("gender", "unknown", None),
        ("age", "31", 31.0),
        ("language", "DE", "de"),
        ("language", "en-US", "en"),
        ("language", "Danish", "da"),
        ("emotion", "NA", None),
        ("valence", "nan", None),
        ("text", "NA", "NA"),
        ("start", "0 days 00:00:01.500000", 1.5),
    ],
)
def test_cells_of_other_programs_are_understood(
    write: Write, column: str, cell: str, value: object
) -> None:
    corpus = manifest(
        write(f"file,speaker,{column}", lambda row: f"{row.file},{row.speaker},{cell}")
    )
    assert corpus.problems == ()
    cells = corpus.table[column]
    assert cells.isna().all() if value is None else (cells == value).all()


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("sex", "1", "female, male, f or m, or empty, found '1', whose meaning differs between"),
        ("age", "20-30", "age must be a number, found '20-30'"),
        ("age", "1987", "age must be in years, found '1987'"),
        ("language", "Klingon", "language must be a code of two letters such as en (ISO 639-1)"),
        ("offset", "1", "column 'offset' is ambiguous: rename it to start or end"),
    ],
)
def test_cells_that_are_not_understood_are_named(
    write: Write, column: str, cell: str, reason: str
) -> None:
    file = write("file,speaker", lambda row: f"{row.file},{row.speaker}")
    lines = [f"{line}," for line in file.read_text().splitlines()]
    file.write_text("\n".join([lines[0] + column, lines[1] + cell, *lines[2:]]))
    (problem,) = manifest(file).problems
    assert reason in problem.reason
