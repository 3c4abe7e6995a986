import shutil
from pathlib import Path

import pytest

from ser.corpora.ravdess import ravdess
from ser.errors import UserError


def test_the_published_layout_is_read(ravdess_root: Path) -> None:
    corpus = ravdess(ravdess_root)
    assert corpus.problems == ()
    table = corpus.table
    assert table["emotion"].value_counts().to_dict() == {
        "neutral": 24,
        **dict.fromkeys(
            ["calm", "happiness", "sadness", "anger", "fear", "disgust", "surprise"], 48
        ),
    }
    row = table.loc["03-01-06-01-02-01-12"]  # the publishers' own example
    assert (row["emotion"], row["text"], row["speaker"]) == ("fear", "02", "12")
    assert (row["gender"], row["session"]) == ("female", "11+12")


def test_sessions_are_pairs_of_a_man_and_a_woman(ravdess_root: Path) -> None:
    table = ravdess(ravdess_root).table
    sessions = table.groupby("session")["speaker"].unique().map(sorted)
    assert len(sessions) == 12
    assert sessions["01+02"] == ["01", "02"]
    assert sessions["23+24"] == ["23", "24"]
    assert (table.groupby("session")["gender"].nunique() == 2).all()


def test_root_can_be_the_folder_or_that_of_the_archive(ravdess_root: Path) -> None:
    plain = ravdess(ravdess_root).table
    inner = ravdess_root / "Audio_Speech_Actors_01-24"
    inner.mkdir()
    for actor in ravdess_root.glob("Actor_*"):
        actor.rename(inner / actor.name)
    nested = ravdess(ravdess_root).table
    assert nested.drop(columns="file").equals(plain.drop(columns="file"))
    assert ravdess(inner).table.equals(nested)


def test_songs_videos_and_misplaced_files_are_problems(ravdess_root: Path) -> None:
    home = ravdess_root / "Actor_05"
    unknown = [
        "03-02-06-01-02-01-05.wav",  # song
        "01-01-06-01-02-01-05.wav",  # video
        "03-01-09-01-02-01-05.wav",  # no such emotion
        "03-01-06-01-01-02-06.wav",  # another actor's
    ]
    for name in unknown:
        shutil.copy(home / "03-01-06-01-02-01-05.wav", home / name)
    before = len(ravdess(ravdess_root).table)
    corpus = ravdess(ravdess_root)
    assert sorted(p.file.name for p in corpus.problems) == sorted(unknown)
    assert len(corpus.table) == before == 24 * 15


def test_the_error_for_a_wrong_root_names_the_right_one_or_what_is_missing(
    ravdess_root: Path,
) -> None:
    for wrong in (ravdess_root.parent, ravdess_root / "Actor_03"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={ravdess_root}"):
            ravdess(wrong)
    shutil.rmtree(ravdess_root / "Actor_07")
    for file in (ravdess_root / "Actor_11").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="no audio of actors 07, 11;"):
        ravdess(ravdess_root)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_RAVDESS_ROOT"):
        ravdess(None)
