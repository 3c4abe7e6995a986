"""On a generated tree of the published layout; the audio of nEMO is not needed."""

from pathlib import Path

import pytest

from ser.corpora.nemo import nemo
from ser.errors import UserError

HEADER = "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two speakers and two sentences; the cells of speakers begin with blanks, as published."""
    root = tmp_path / "nEMO"
    (root / "samples").mkdir(parents=True)
    lines = [HEADER]
    for speaker, rest in (("WR0", "male\t23"), ("EB0", "female\t27")):
        for emotion, number, text in (("surprised", 64, "ucho"), ("neutral", 7, "mleko")):
            name = f"{speaker}_{emotion}_{number}.wav"
            (root / "samples" / name).touch()
            lines.append(
                f"{name}\t{emotion}\t{text.capitalize()}.\t{text}\t        {speaker}\t{rest}"
            )
    (root / "samples" / "._WR0_surprised_64.wav").touch()
    (root / "data.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def test_the_published_layout_is_read(root: Path) -> None:
    corpus = nemo(root)
    assert corpus.problems == ()
    assert len(corpus.table) == 4
    row = corpus.table.loc["EB0_surprised_64"]
    assert row["file"] == str(root / "samples" / "EB0_surprised_64.wav")
    assert (row["speaker"], row["gender"], row["age"]) == ("EB0", "female", 27)
    assert (row["emotion"], row["text"], row["language"]) == ("surprise", "ucho", "pl")
    assert "session" not in corpus.table


def test_what_cannot_be_read_is_listed_by_line(root: Path) -> None:
    table = root / "data.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1].replace("surprised\tUcho", "anger\tUcho")  # not that of the file's name
    lines[2] = lines[2].replace("male", "m")
    lines += [lines[4], lines[4].replace("_7.", "_8.")]  # again; no audio
    lines += ["EB0_joy_1.wav\tjoy\tA.\ta\tEB0\tfemale\t27"]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "samples" / "MP0_fear_1.wav").touch()
    corpus = nemo(root)
    found = {(p.file.name, p.line): (p.reason, p.kind) for p in corpus.problems}
    assert "WR0_anger_<sentence>.wav" in found["data.tsv", 2][0]
    assert "found 'm'" in found["data.tsv", 3][0]
    assert found["data.tsv", 6][0] == "duplicate of EB0_neutral_7.wav, line 5"
    assert found["data.tsv", 7] == ("no audio file samples/EB0_neutral_8.wav", "no audio")
    assert "found 'joy'" in found["data.tsv", 8][0]
    assert found["MP0_fear_1.wav", None][1] == "no label"
    assert len(corpus.problems) == 6
    assert len(corpus.table) == 2


def test_the_error_for_a_wrong_root_names_the_right_one(root: Path) -> None:
    for wrong in (root.parent, root / "samples"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={root}\."):
            nemo(wrong)
    (root / "data.tsv").write_text("file_id\temotion\n")
    with pytest.raises(UserError, match="lacks the column normalized_text, speaker_id"):
        nemo(root)
    (root / "data.tsv").unlink()
    with pytest.raises(UserError, match=r"expected data\.tsv and .*, found samples"):
        nemo(root)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_NEMO_ROOT"):
        nemo(None)
