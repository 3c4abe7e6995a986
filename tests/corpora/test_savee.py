"""On generated trees of both published layouts; the audio of SAVEE is not needed."""

import shutil
from pathlib import Path

import pytest

from ser.corpora.savee import EMOTIONS, SPEAKERS, savee
from ser.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All 480 files, empty, in folders of speakers."""
    root = tmp_path / "data" / "AudioData"
    for speaker in SPEAKERS:
        (root / speaker).mkdir(parents=True)
        for emotion in EMOTIONS:
            for sentence in range(1, 31 if emotion == "n" else 16):
                (root / speaker / f"{emotion}{sentence:02d}.wav").touch()
    (root / "Info.txt").touch()
    return root


def test_both_published_layouts_are_read(root: Path, tmp_path: Path) -> None:
    corpus = savee(root)
    assert corpus.problems == ()
    table = corpus.table
    assert len(table) == 480
    counts = dict.fromkeys(EMOTIONS.values(), 60) | {"neutral": 120}
    assert table["emotion"].value_counts().to_dict() == counts
    row = table.loc["JK_sa07"]
    assert (row["speaker"], row["emotion"], row["text"]) == ("JK", "sadness", "sa07")
    assert (row["gender"], row["language"]) == ("male", "en")
    assert savee(root.parent).table.equals(table)

    flat = tmp_path / "ALL"
    flat.mkdir()
    for file in root.glob("*/*.wav"):
        shutil.copy(file, flat / f"{file.parent.name}_{file.name}")
    assert savee(flat).table.drop(columns="file").equals(table.drop(columns="file"))


def test_unknown_and_duplicate_names_are_problems(root: Path) -> None:
    for name in ("DC/a16.wav", "DC/n00.wav", "DC/b01.wav", "DC_a01.wav", "XX_a01.wav"):
        (root / name).touch()
    corpus = savee(root)
    found = {str(p.file.relative_to(root)): p.reason for p in corpus.problems}
    # the two layouts are mixed: the one in the folder of the speaker is the second
    assert set(found) == {"DC/a16.wav", "DC/n00.wav", "DC/b01.wav", "DC/a01.wav", "XX_a01.wav"}
    assert found["DC/a01.wav"].startswith("duplicate of ")
    assert len(corpus.table) == 480


def test_the_error_for_a_wrong_root_names_the_right_one(root: Path) -> None:
    for wrong in (root.parents[1], root / "DC"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={root.parent}"):
            savee(wrong)
    shutil.rmtree(root)
    with pytest.raises(UserError, match=r"such as DC/a01\.wav, found nothing"):
        savee(root.parent)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_SAVEE_ROOT"):
        savee(None)
