import shutil
from pathlib import Path

import pytest

from ser.corpora.cremad import cremad
from ser.errors import UserError


def test_the_published_layout_is_read(cremad_root: Path) -> None:
    corpus = cremad(cremad_root)
    assert corpus.problems == ()
    table = corpus.table
    assert table["emotion"].value_counts().to_dict() == dict.fromkeys(
        ["anger", "disgust", "fear", "happiness", "neutral", "sadness"], 91
    )
    row = table.loc["1040_ITH_SAD_X"]
    assert (row["speaker"], row["gender"], row["text"]) == ("1040", "female", "ITH")


def test_sessions_are_ten_groups_of_consecutive_actors(cremad_root: Path) -> None:
    table = cremad(cremad_root).table
    sessions = table.groupby("session")["speaker"].unique().map(sorted)
    assert list(sessions.index) == [f"{n:02d}" for n in range(1, 11)]
    assert sorted({len(s) for s in sessions}) == [9, 10]
    assert [actor for session in sessions for actor in session] == sorted(table["speaker"].unique())


def test_sessions_do_not_depend_on_which_actors_are_present(cremad_root: Path) -> None:
    whole = cremad(cremad_root).table["session"]
    for file in (cremad_root / "AudioWAV").glob("10[0-4]*.wav"):
        file.unlink()
    part = cremad(cremad_root).table["session"]
    assert len(part) < len(whole)
    assert part.equals(whole[part.index])


def test_gender_is_absent_without_demographics(cremad_root: Path) -> None:
    (cremad_root / "VideoDemographics.csv").unlink()
    corpus = cremad(cremad_root)
    assert "gender" not in corpus.table
    assert corpus.problems == ()


def test_faulty_demographics_are_problems(cremad_root: Path) -> None:
    file = cremad_root / "VideoDemographics.csv"
    lines = file.read_text().splitlines()
    lines[5] = lines[5].replace("Male", "M").replace("Female", "F")  # actor 1005
    file.write_text("\n".join(lines) + "\n")
    corpus = cremad(cremad_root)
    assert [(p.file, p.line) for p in corpus.problems] == [(file, 6), (file, None)]
    assert "1005" in corpus.problems[1].reason
    gender = corpus.table.set_index("speaker")["gender"]
    assert gender["1005"].isna().all()
    assert gender.drop("1005").notna().all()


def test_unknown_names_are_problems(cremad_root: Path) -> None:
    unknown = ["1000_ITH_SAD_XX.wav", "1092_ITH_SAD_XX.wav", "1001_ITH_SUR_XX.wav", "1001.wav"]
    for name in unknown:
        (cremad_root / "AudioWAV" / name).touch()
    corpus = cremad(cremad_root)
    assert sorted(p.file.name for p in corpus.problems) == sorted(unknown)
    assert len(corpus.table) == 91 * 6


def test_the_error_for_a_wrong_root_names_the_right_one(cremad_root: Path) -> None:
    for wrong in (cremad_root.parent, cremad_root / "AudioWAV"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={cremad_root}\."):
            cremad(wrong)
    shutil.rmtree(cremad_root / "AudioWAV")
    with pytest.raises(UserError, match=r"expected .*AudioWAV.* found VideoDemographics\.csv"):
        cremad(cremad_root)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_CREMAD_ROOT"):
        cremad(None)
