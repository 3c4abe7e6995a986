import shutil
from pathlib import Path

import pytest

from ser.corpora.emodb import emodb
from ser.errors import UserError

WOMEN = {"08", "09", "13", "14", "16"}
MEN = {"03", "10", "11", "12", "15"}


def test_counts_equal_the_published_counts(emodb_root: Path) -> None:
    corpus = emodb(emodb_root)
    assert corpus.problems == ()
    assert len(corpus.table) == 535
    assert corpus.table["emotion"].value_counts().to_dict() == {
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "sadness": 62,
        "neutral": 79,
    }
    genders = corpus.table.groupby("gender")["speaker"].unique().map(set).to_dict()
    assert genders == {"female": WOMEN, "male": MEN}
    # as documented in its readme
    by_speaker = corpus.table[corpus.table["emotion"] == "disgust"]["speaker"].value_counts()
    assert "08" not in by_speaker
    assert by_speaker["03"] == by_speaker["10"] == 1


def test_sessions_are_pairs_of_a_woman_and_a_man(emodb_root: Path) -> None:
    table = emodb(emodb_root).table
    sessions = table.groupby("session")["speaker"].unique().map(set).to_dict()
    assert set(sessions) == {"03+08", "10+09", "11+13", "12+14", "15+16"}
    for name, speakers in sessions.items():
        assert speakers == set(name.split("+"))
        assert len(speakers & WOMEN) == len(speakers & MEN) == 1


def test_a_row_is_parsed_from_the_file_name(emodb_root: Path) -> None:
    row = emodb(emodb_root).table.loc["16b10Wb"]
    assert row["file"].endswith("16b10Wb.wav")
    assert (row["speaker"], row["text"], row["emotion"]) == ("16", "b10", "anger")


def test_root_can_be_the_folder_or_its_subfolder(emodb_root: Path) -> None:
    home = emodb_root / "wav" if (emodb_root / "wav").is_dir() else emodb_root
    assert emodb(home).table.equals(emodb(emodb_root).table)


@pytest.fixture
def small_root(tmp_path: Path) -> Path:
    """Two files with EMO-DB's names, and a hidden one, all empty."""
    root = tmp_path / "emodb"
    (root / "wav").mkdir(parents=True)
    for name in ("03a01Fa.wav", "08b02Tc.wav", "._03a01Fa.wav"):
        (root / "wav" / name).touch()
    return root


def test_an_unknown_name_is_a_problem(small_root: Path) -> None:
    unknown = ["03a01Xa.wav", "04a01Fa.wav", "03a01F.wav", "notes.wav"]
    for name in unknown:
        (small_root / "wav" / name).touch()
    corpus = emodb(small_root)
    assert list(corpus.table.index) == ["03a01Fa", "08b02Tc"]
    assert sorted(p.file.name for p in corpus.problems) == sorted(unknown)
    assert {p.kind for p in corpus.problems} == {"no label"}


def test_the_error_for_a_wrong_root_names_the_right_one(small_root: Path) -> None:
    for wrong in (small_root.parent, small_root / "wav" / "deeper"):
        wrong.mkdir(exist_ok=True)
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={small_root}"):
            emodb(wrong)
    shutil.rmtree(small_root / "wav")
    with pytest.raises(UserError, match=r"such as 03a01Fa\.wav, found nothing"):
        emodb(small_root)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_EMODB_ROOT"):
        emodb(None)
