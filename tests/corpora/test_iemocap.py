import shutil
from pathlib import Path

import pytest

from ser.corpora import COLUMNS
from ser.corpora.iemocap import iemocap
from ser.errors import UserError


def label_file(root: Path, session: int = 1) -> Path:
    return root / f"Session{session}/dialog/EmoEvaluation/Ses0{session}F_impro05b.txt"


def audio_file(root: Path, turn: str) -> Path:
    return root / f"Session1/sentences/wav/Ses01F_impro05b/Ses01F_impro05b_{turn}.wav"


def test_every_utterance_is_read_without_a_problem(iemocap_root: Path) -> None:
    corpus = iemocap(iemocap_root)
    assert corpus.problems == ()
    assert not corpus.synthetic
    assert len(corpus.table) == 5 * 2 * 2
    assert corpus.table.index.name == "utterance"
    assert corpus.table.index.is_unique
    assert corpus.table.index.is_monotonic_increasing
    assert list(corpus.table.columns) == [c for c in COLUMNS if c in corpus.table]
    for utterance, file in corpus.table["file"].items():
        assert Path(file).is_absolute()
        assert Path(file).is_file()
        assert Path(file).stem == utterance


def test_speaker_is_the_letter_of_the_turn_and_not_of_the_dialogue(iemocap_root: Path) -> None:
    table = iemocap(iemocap_root).table
    row = table.loc["Ses01F_impro05b_M013"]
    assert (row["speaker"], row["gender"], row["session"]) == ("1M", "male", "1")
    row = table.loc["Ses05M_script01_1b_F000"]
    assert (row["speaker"], row["gender"], row["session"]) == ("5F", "female", "5")
    assert table["speaker"].nunique() == 10
    # each speaker is in the dialogues of both actors
    assert (table.groupby("speaker")["dialogue"].nunique() == 2).all()


def test_style_and_dialogue_are_parsed_from_names_with_suffixes(iemocap_root: Path) -> None:
    table = iemocap(iemocap_root).table
    styles = table.groupby("dialogue")["style"].unique().map(list)
    assert styles["Ses03F_impro05b"] == ["improvised"]
    assert styles["Ses03M_script01_1b"] == ["scripted"]


def test_values_are_in_the_order_valence_activation_dominance(iemocap_root: Path) -> None:
    row = iemocap(iemocap_root).table.loc["Ses02F_impro05b_F000"]
    assert (row["valence"], row["activation"], row["dominance"]) == (4.5, 3.6667, 2.5)


def test_emotion_is_missing_without_agreement(iemocap_root: Path) -> None:
    emotion = iemocap(iemocap_root).table["emotion"]
    assert emotion.value_counts().to_dict() == {"excitement": 10}
    assert emotion.isna().sum() == 10


def test_raters_exclude_self_reports(iemocap_root: Path) -> None:
    raters = iemocap(iemocap_root).raters
    assert raters is not None
    assert set(raters["rater"]) == {"E2", "E3", "E4"}
    assert not raters.duplicated(["utterance", "rater"]).any()
    of = raters[raters["utterance"] == "Ses01F_impro05b_F000"].set_index("rater")
    assert of.loc["E2", "emotions"] == ("excitement",)
    assert of.loc["E3", "emotions"] == ("happiness", "excitement")
    assert of.loc["E2", "dominance"] == 3  # two spaces before the value
    assert of["activation"].isna().to_dict() == {"E2": False, "E3": True}  # a blank one
    of = raters[raters["utterance"] == "Ses01F_impro05b_M013"].set_index("rater")
    assert of.loc["E2", "emotions"] == ()
    assert of.loc["E4", "emotions"] == ("neutral",)


def test_raters_can_include_self_reports(iemocap_root: Path) -> None:
    raters = iemocap(iemocap_root, self_reports=True).raters
    assert raters is not None
    assert {"F1", "M1"} < set(raters["rater"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1.0 - 2.0]\tSes01F_impro05b_F777\tneu\t[2.5, 2.5]", "expected `[start - end]"),
        ("[1.0 - 2.0]\tSes01F_impro05b_F777\tneu\t[2.5, x, 2.5]", "expected `[start - end]"),
        ("[1.0 - 2.0]\tSes01F_impro05b_F000\tneu\t[2.5, 2.5, 2.5]", "duplicate label"),
        ("[1.0 - 2.0]\tSes01F_impro05b_F000\tneutral\t[2.5, 2.5, 2.5]", "duplicate label"),
        ("[1.0 - 2.0]\tSes01F_impro05b_X001\tneu\t[2.5, 2.5, 2.5]", "not an utterance name"),
        ("[1.0 - 2.0]\tSes01M_impro05b_F001\tneu\t[2.5, 2.5, 2.5]", "another dialogue"),
        ("[1.0 - 2.0]\tSes01F_impro05b_F001\tjoy\t[2.5, 2.5, 2.5]", "unknown emotion 'joy'"),
        ("[1.0 - 2.0]\tSes01F_impro05b_F001\tneu\t[2.5, 2.5, 2.5]", "label without audio"),
        ("C-E9:\tGlee;\t()", "unknown emotion 'glee'"),
        ("A-E9:\tval 3; act two; dom 3;\t()", "expected `val 3"),
        ("C-E4:\tAnger;\t()", "duplicate rating C-E4"),
        ("something else", "neither a label nor a rating"),
    ],
)
def test_a_line_that_cannot_be_read_is_a_problem_with_its_number(
    iemocap_root: Path, line: str, reason: str
) -> None:
    before = iemocap(iemocap_root)
    labels = label_file(iemocap_root)
    labels.write_text(labels.read_text().rstrip() + f"\n{line}\n")
    corpus = iemocap(iemocap_root)
    (problem,) = corpus.problems
    assert problem.file == labels
    assert problem.line == len(labels.read_text().splitlines())
    assert reason in problem.reason
    assert corpus.table.equals(before.table)


def test_ratings_after_an_invalid_label_are_ignored(iemocap_root: Path) -> None:
    before = iemocap(iemocap_root).raters
    labels = label_file(iemocap_root)
    lost = "[1.0 - 2.0] Ses01F_impro05b_F001 joy [2, 2, 2]\nC-E9:\tAnger;\t()\n"
    labels.write_text(labels.read_text() + lost)
    after = iemocap(iemocap_root).raters
    assert before is not None
    assert after is not None
    assert after.equals(before)


def test_labels_without_audio_and_audio_without_labels_are_problems(iemocap_root: Path) -> None:
    audio_file(iemocap_root, "F000").rename(audio_file(iemocap_root, "F001"))
    corpus = iemocap(iemocap_root)
    kinds = {p.kind: p for p in corpus.problems}
    assert kinds["no audio"].file == label_file(iemocap_root)
    assert kinds["no audio"].line == 3
    assert kinds["no label"].file == audio_file(iemocap_root, "F001")
    assert len(corpus.problems) == 2
    assert "Ses01F_impro05b_F000" not in corpus.table.index


def test_a_root_that_is_not_set_or_missing_is_an_error(iemocap_root: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.root=.*IEMOCAP_ROOT"):
        iemocap(None)
    with pytest.raises(UserError, match=rf"nearest existing folder is {iemocap_root}"):
        iemocap(iemocap_root / "no" / "such")


@pytest.mark.parametrize("wrong", ["..", "../..", "Session1", "Session1/dialog"])
def test_the_error_for_a_root_near_the_right_one_names_the_right_one(
    iemocap_root: Path, wrong: str
) -> None:
    with pytest.raises(UserError) as caught:
        iemocap(iemocap_root / wrong)
    message = str(caught.value)
    assert f"The right one is corpus.root={iemocap_root}." in message
    assert "expected Session1 to Session5" in message


@pytest.mark.parametrize(
    ("absent", "named"),
    [
        ("Session4", "lacks Session4"),
        ("Session2/dialog/EmoEvaluation", "Session2 lacks dialog/EmoEvaluation"),
        ("Session3/sentences", "Session3 lacks sentences/wav"),
        ("Session5/sentences/wav/Ses05F_impro05b", None),
    ],
)
def test_the_error_for_an_incomplete_corpus_names_what_is_missing(
    iemocap_root: Path, absent: str, named: str | None
) -> None:
    shutil.rmtree(iemocap_root / absent)
    if named:
        with pytest.raises(UserError, match=named):
            iemocap(iemocap_root)
    else:  # the audio of one dialogue: its labels are problems, the rest is read
        corpus = iemocap(iemocap_root)
        assert [p.kind for p in corpus.problems] == ["no audio"] * 2
        assert len(corpus.table) == 18


def test_a_session_without_audio_or_labels_is_an_error(iemocap_root: Path) -> None:
    for file in (iemocap_root / "Session2" / "sentences" / "wav").glob("*/Ses*.wav"):
        file.unlink()
    with pytest.raises(UserError, match=r"no audio in .*Session2/sentences/wav"):
        iemocap(iemocap_root)
    for file in (iemocap_root / "Session1" / "dialog" / "EmoEvaluation").glob("Ses*.txt"):
        file.unlink()  # the hidden ones stay
    with pytest.raises(UserError, match=r"no label file Ses01\*\.txt"):
        iemocap(iemocap_root)


def test_text_is_the_script_or_the_improvised_words(iemocap_root: Path) -> None:
    untranscribed = iemocap(iemocap_root).table
    of_style = untranscribed.groupby("style")["text"]
    assert of_style.unique()["scripted"].tolist() == ["script01_1"]  # for the recording 1b, too
    assert of_style.count()["improvised"] == 0
    spoken = "Ses01F_impro05b_F000 [006.2901-008.2357]:  Yeah -- [LAUGHTER] I'm fine, O.K.?\n"
    laughed = "Ses01F_impro05b_M013 [009.0-010.0]: [LAUGHTER]\n"
    unlabelled = "M: [BREATHING]\nSes01F_impro05b_MXX0 [010.0-011.0]: Never labelled.\n"
    home = iemocap_root / "Session1/dialog/transcriptions"
    home.mkdir()
    (home / "Ses01F_impro05b.txt").write_text(spoken + laughed + unlabelled)
    (home / "Ses01M_script01_1b.txt").write_text("Ses01M_script01_1b_F000 [0-1]: A line.\n")
    corpus = iemocap(iemocap_root)
    text = corpus.table["text"]
    assert text["Ses01F_impro05b_F000"] == "yeah i'm fine o k"
    assert text.drop("Ses01F_impro05b_F000").equals(
        untranscribed["text"].drop("Ses01F_impro05b_F000")
    )
    assert corpus.problems == ()
