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
    assert (row["speaker"], row["gender"], row["age"]) == ("1040", "female", 30)
    assert (row["text"], row["language"]) == ("ITH", "en")


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


def test_gender_and_age_are_absent_without_demographics(cremad_root: Path) -> None:
    (cremad_root / "VideoDemographics.csv").unlink()
    corpus = cremad(cremad_root)
    assert not {"gender", "age"} & set(corpus.table)
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


RESPONSES = """\
"","localid","pos","ans","ttr","queryType","numTries","clipNum","questNum","subType","clipName",\
"sessionNums","respEmo","respLevel","dispEmo","dispVal","dispLevel"
"1","a7",1,"A_80",2000,1,0,1,1,4,"1001_ITH_ANG_XX",11,"A",80,"A","HI","80"
"2","a7",2,"S_80",2000,2,0,1,1,4,"1001_ITH_ANG_XX",11,"S",80,"A","HI","80"
"3","b1",1,"N_50",2000,1,0,1,2,4,"1001_ITH_ANG_XX",12,"N",50,"A","HI","80"
"4","c3",1,"F_50",2000,1,0,1,3,4,"1001_ITH_ANG_XX",13,"F",50,"A","HI","80"
"5","a7",9,"D_10",2000,1,0,1,9,4,"1001_ITH_ANG_XX",11,"D",10,"A","HI","80"
"6","b1",2,"H_50",2000,1,0,7,5,4,"1002_ITH_HAP_XX",12,"H",50,"H","HI","80"
"7","b1",2,"H_50",2000,1,0,7,5,4,"1099_ITH_HAP_XX",12,"H",50,"H","HI","80"
"""
FIRST_RESPONSES = """\
"","localid","sessionNums","queryType","questNum","pos","ttr","numTries","clipNum","clipName"
"1","c3",13,1,3,1,10001,0,1,"1001_ITH_ANG_XX"
"2","b1",12,1,2,1,10000,0,1,"1001_ITH_ANG_XX"
"3","a7",11,2,1,1,99999,0,1,"1001_ITH_ANG_XX"
"""


@pytest.fixture
def rated_root(cremad_root: Path) -> Path:
    """With responses of three raters: one of a face, one that took too long, one repeated."""
    (cremad_root / "finishedResponses.csv").write_text(RESPONSES)
    (cremad_root / "finishedEmoResponses.csv").write_text(FIRST_RESPONSES)
    return cremad_root


def test_raters_are_those_of_the_voice_alone_who_answered_in_ten_seconds(rated_root: Path) -> None:
    corpus = cremad(rated_root)
    assert corpus.problems == ()
    assert corpus.raters is not None
    ratings = corpus.raters[["utterance", "rater", "emotions"]].to_numpy().tolist()
    assert ratings == [
        ["1001_ITH_ANG_XX", "a7", ("anger",)],
        ["1001_ITH_ANG_XX", "b1", ("neutral",)],
        ["1002_ITH_HAP_XX", "b1", ("happiness",)],
    ]
    assert corpus.raters["valence"].isna().all()
    (rated_root / "finishedEmoResponses.csv").unlink()
    raters = cremad(rated_root).raters
    assert raters is not None
    assert list(raters["rater"]) == ["a7", "b1", "c3", "b1"]


def test_a_faulty_response_is_a_problem(rated_root: Path) -> None:
    file = rated_root / "finishedResponses.csv"
    file.write_text(RESPONSES.replace('12,"N"', '12,"Q"'))
    corpus = cremad(rated_root)
    assert [(p.file, p.line) for p in corpus.problems] == [(file, 4)]
    assert corpus.raters is not None
    assert list(corpus.raters["rater"]) == ["a7", "b1"]
    file.write_text('"localid"\n"a7"\n')
    with pytest.raises(UserError, match="lacks the column sessionNums, queryType"):
        cremad(rated_root)


def test_without_responses_there_are_no_raters(cremad_root: Path) -> None:
    assert cremad(cremad_root).raters is None
