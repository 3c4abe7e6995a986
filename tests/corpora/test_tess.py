"""On generated trees of both published layouts; the audio of TESS is not needed."""

import shutil
from pathlib import Path

import pytest

from ser.corpora.tess import tess
from ser.errors import UserError

# The names of the folders differ in letter case and in the name of surprise, as published.
FOLDERS = {
    "OAF_angry": "angry",
    "OAF_disgust": "disgust",
    "OAF_Fear": "fear",
    "OAF_happy": "happy",
    "OAF_neutral": "neutral",
    "OAF_Pleasant_surprise": "ps",
    "OAF_Sad": "sad",
    "YAF_angry": "angry",
    "YAF_disgust": "disgust",
    "YAF_fear": "fear",
    "YAF_happy": "happy",
    "YAF_neutral": "neutral",
    "YAF_pleasant_surprised": "ps",
    "YAF_sad": "sad",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two words in 14 folders; one name lacks a letter, as published."""
    root = tmp_path / "data" / "TESS Toronto emotional speech set data"
    for folder, emotion in FOLDERS.items():
        (root / folder).mkdir(parents=True)
        for word in ("back", "bite"):
            (root / folder / f"{folder[:3]}_{word}_{emotion}.wav").touch()
    wrong = root / "OAF_neutral" / "OAF_bite_neutral.wav"
    wrong.rename(wrong.with_name("OA_bite_neutral.wav"))
    return root


def test_both_published_layouts_are_read(root: Path, tmp_path: Path) -> None:
    corpus = tess(root)
    assert corpus.problems == ()
    table = corpus.table
    assert len(table) == 28
    assert set(table["emotion"].value_counts()) == {4}
    row = table.loc["YAF_back_ps"]
    assert (row["speaker"], row["emotion"], row["text"]) == ("YAF", "surprise", "back")
    assert (row["gender"], row["age"], row["language"]) == ("female", 26, "en")
    assert tess(root.parent).table.equals(table)

    flat = tmp_path / "flat"
    flat.mkdir()
    for file in root.glob("*/*.wav"):
        shutil.copy(file, flat)
    assert tess(flat).table.drop(columns="file").equals(table.drop(columns="file"))


def test_a_name_that_lacks_a_letter_is_not_a_third_speaker(root: Path) -> None:
    table = tess(root).table
    assert table.loc["OAF_bite_neutral", "file"].endswith("OA_bite_neutral.wav")
    assert set(table["speaker"]) == {"OAF", "YAF"}


def test_unknown_and_duplicate_names_are_problems(root: Path) -> None:
    for name in ("OAF_back_calm.wav", "OXF_back_sad.wav", "OAF_bite_neutral.wav"):
        (root / "OAF_neutral" / name).touch()
    corpus = tess(root)
    reasons = {p.file.name: p.reason for p in corpus.problems}
    assert set(reasons) == {"OAF_back_calm.wav", "OA_bite_neutral.wav", "OXF_back_sad.wav"}
    assert reasons["OA_bite_neutral.wav"].startswith("duplicate of ")
    assert len(corpus.table) == 28


def test_the_error_for_a_wrong_root_names_the_right_one(root: Path) -> None:
    with pytest.raises(UserError, match=rf"The right one is corpus\.root={root.parent}"):
        tess(root.parents[1])
    shutil.rmtree(root)
    with pytest.raises(UserError, match=r"such as OAF_back_angry\.wav, found nothing"):
        tess(root.parent)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_TESS_ROOT"):
        tess(None)
