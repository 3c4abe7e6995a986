"""On a generated tree of the published layout; the audio of MSP-IMPROV is not needed."""

from pathlib import Path

import pytest

from ser.corpora.msp_improv import msp_improv
from ser.errors import UserError

# Activation as published: 1 is excited, 5 is calm.
LABELS = """\
UTD-IMPROV-S01A-F01-T-FM01.avi; A; A:2.000000; V:1.500000; D:4.000000 ; N:4.000000;
WORKER1; Angry; Frustrated,Other (a scene; loud); A:1.000000; V:1.000000; D:4.000000; N:4.000000;
session1-p2; Neutral; ; A:3.000000; V:2.000000; D:NaN; N:4.000000;
WORKER1; Angry; Frustrated,Other (a scene; loud); A:1.000000; V:1.000000; D:4.000000; N:4.000000;

UTD-IMPROV-S01A-M01-S-FM02.avi; X; A:3.000000; V:3.000000; D:NaN ; N:4.000000;
WORKER2; Other; Calm; A:3.000000; V:3.000000; D:3.000000; N:4.000000;

UTD-IMPROV-S20S-M06-R-MM01.avi; S; A:4.000000; V:2.000000; D:2.000000 ; N:3.000000;
WORKER2; Sad; Sad; A:4.000000; V:2.000000; D:2.000000; N:3.000000;

UTD-IMPROV-S20S-F06-P-MF01.avi; H; A:2.500000; V:4.000000; D:3.000000 ; N:5.000000;
WORKER2; Happy; Happy,Excited; A:2.500000; V:4.000000; D:3.000000; N:5.000000;

"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four turns, one of each kind, and the words of one of them."""
    root = tmp_path / "MSP-IMPROV"
    for path in (
        "session1/S01A/T/MSP-IMPROV-S01A-F01-T-FM01.wav",
        "session1/S01A/S/MSP-IMPROV-S01A-M01-S-FM02.wav",
        "session1/S01A/S/._MSP-IMPROV-S01A-M01-S-FM02.wav",
        "session6/S20S/R/MSP-IMPROV-S20S-M06-R-MM01.wav",
        "session6/S20S/P/MSP-IMPROV-S20S-F06-P-MF01.wav",
    ):
        file = root / "Audio" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (root / "Evalution.txt").write_text(LABELS)
    (root / "Text").mkdir()
    (root / "Text" / "MSP-IMPROV-S01A-M01-S-FM02.txt").write_text("Well, it's [LAUGHTER] mine!\n")
    return root


def test_the_published_layout_is_read(root: Path) -> None:
    corpus = msp_improv(root, calm_is_high=True)
    assert corpus.problems == ()
    table = corpus.table.rename(index=lambda name: name.removeprefix("MSP-IMPROV-"))
    assert list(table["speaker"]) == ["F01", "M01", "F06", "M06"]
    assert list(table["session"]) == ["1", "1", "6", "6"]
    assert table["style"].to_dict() == {
        "S01A-F01-T-FM01": "improvised",
        "S01A-M01-S-FM02": "improvised",
        "S20S-F06-P-MF01": "natural",
        "S20S-M06-R-MM01": "read",
    }
    assert table["emotion"].fillna("-").to_list() == ["anger", "-", "happiness", "sadness"]
    assert table["text"].fillna("-").to_list() == ["S01", "well it's mine", "-", "S20"]
    assert table["dialogue"].fillna("-").to_list() == ["1-S01A", "1-S01A", "6-S20S", "-"]


def test_activation_is_turned_round(root: Path) -> None:
    corpus = msp_improv(root, calm_is_high=True)
    assert corpus.table["activation"].to_list() == [4.0, 3.0, 3.5, 2.0]
    assert corpus.table["valence"].to_list() == [1.5, 3.0, 4.0, 2.0]
    (problem,) = msp_improv(root, calm_is_high=False).problems
    assert "anger (2.00) is below that of sadness (4.00)" in problem.reason
    assert "set corpus.calm_is_high=true" in problem.reason


def test_a_rater_counts_once_for_a_turn(root: Path) -> None:
    corpus = msp_improv(root, calm_is_high=True)
    raters = corpus.raters
    assert raters is not None
    assert len(raters) == 5
    first = raters[raters["utterance"] == "MSP-IMPROV-S01A-F01-T-FM01"].set_index("rater")
    assert first["emotions"].to_dict() == {"WORKER1": ("anger",), "session1-p2": ("neutral",)}
    assert first["activation"].to_dict() == {"WORKER1": 5.0, "session1-p2": 3.0}
    assert first["dominance"].isna().to_dict() == {"WORKER1": False, "session1-p2": True}


def test_audio_can_lie_beside_the_labels_of_a_later_copy(root: Path) -> None:
    table = msp_improv(root, calm_is_high=True).table
    for session in (root / "Audio").iterdir():
        session.rename(root / session.name)
    (root / "Audio").rmdir()
    (root / "Evalution.txt").rename(root / "Evaluation.txt")
    moved = msp_improv(root, calm_is_high=True).table
    assert moved.drop(columns="file").equals(table.drop(columns="file"))


def test_what_cannot_be_read_is_listed_by_line(root: Path) -> None:
    labels = root / "Evalution.txt"
    lines = LABELS.splitlines()
    lines[2] = lines[2].replace("Neutral", "Bored")
    lines[5] = lines[5].replace("; X;", "; Q;")  # its rating is not a problem of its own
    lines += [lines[8], lines[11].replace("F06", "F05"), "UTD-IMPROV-S01A.avi; A;"]
    labels.write_text("\n".join(lines) + "\n")
    (root / "Audio/session6/S20S/P/MSP-IMPROV-S20S-F06-P-MF09.wav").touch()
    corpus = msp_improv(root, calm_is_high=True)
    found = {(p.file.name, p.line): (p.reason, p.kind) for p in corpus.problems}
    assert (
        "one of Angry, Happy, Neutral, Other, Sad, found 'session1-p2; Bored"
        in found["Evalution.txt", 3][0]
    )
    assert "with A, H, N, O, S, X" in found["Evalution.txt", 6][0]
    assert "duplicate label, first in line 9" in found["Evalution.txt", 15][0]
    assert found["Evalution.txt", 16][1] == "no audio"
    assert "expected `UTD-IMPROV" in found["Evalution.txt", 17][0]
    assert found["MSP-IMPROV-S20S-F06-P-MF09.wav", None][1] == "no label"
    # the turn whose label has a problem is audio without a label, too
    assert found["MSP-IMPROV-S01A-M01-S-FM02.wav", None][1] == "no label"
    assert len(corpus.problems) == 7
    assert len(corpus.table) == 3


def test_the_error_for_a_wrong_root_names_the_right_one(root: Path) -> None:
    for wrong in (root.parent, root / "Audio"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={root}\."):
            msp_improv(wrong, calm_is_high=True)
    (root / "Evalution.txt").unlink()
    with pytest.raises(UserError, match=r"expected Evalution\.txt.*found Audio, Text"):
        msp_improv(root, calm_is_high=True)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_MSP_IMPROV_ROOT"):
        msp_improv(None, calm_is_high=True)
