"""On a generated tree of the published layout; the audio of EMOVO is not needed."""

import shutil
from pathlib import Path

import pytest

from ser.corpora.emovo import EMOTIONS, SPEAKERS, emovo
from ser.errors import UserError

LAST = {"b": 3, "l": 4, "n": 5, "d": 2}
SENTENCES = [f"{kind}{n}" for kind, last in LAST.items() for n in range(1, last + 1)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All 588 files, empty."""
    root = tmp_path / "data" / "EMOVO"
    for speaker in SPEAKERS:
        (root / speaker).mkdir(parents=True)
        for emotion in EMOTIONS:
            for sentence in SENTENCES:
                (root / speaker / f"{emotion}-{speaker}-{sentence}.wav").touch()
    return root


def test_the_published_layout_is_read(root: Path) -> None:
    corpus = emovo(root)
    assert corpus.problems == ()
    table = corpus.table
    assert len(table) == 588
    assert set(table["emotion"].value_counts()) == {84}
    assert set(table["text"].value_counts()) == {42}
    row = table.loc["gio-f2-l4"]
    assert (row["emotion"], row["speaker"], row["gender"]) == ("happiness", "f2", "female")
    assert (row["text"], row["language"]) == ("l4", "it")
    assert emovo(root.parent).table.equals(table)


def test_unknown_and_misplaced_names_are_problems(root: Path) -> None:
    unknown = ["dis-f1-b4.wav", "col-f1-b1.wav", "dis-f2-b1.wav", "notes.wav"]
    for name in unknown:
        (root / "f1" / name).touch()
    corpus = emovo(root)
    assert sorted(p.file.name for p in corpus.problems) == sorted(unknown)
    assert {p.kind for p in corpus.problems} == {"no label"}
    assert len(corpus.table) == 588


def test_the_error_for_a_wrong_root_names_the_right_one_or_what_is_missing(root: Path) -> None:
    for wrong in (root.parents[1], root / "f1"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={root.parent}"):
            emovo(wrong)
    shutil.rmtree(root / "m2")
    with pytest.raises(UserError, match="no audio of speakers m2;"):
        emovo(root)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_EMOVO_ROOT"):
        emovo(None)
