import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser.corpora.emotale import emotale
from ser.errors import UserError

HEADER = "file,a1_A,a1_V,a1_D,a1_cat,a2_A,a2_V,a2_D,a2_cat,a3_A,a3_V,a3_D,a3_cat,gt_emotion"


def test_every_cell_equals_the_published_tables(emotale_root: Path) -> None:
    corpus = emotale(emotale_root)
    assert corpus.problems == ()
    table = corpus.table
    published = pd.read_csv(emotale_root / "annotations.csv", dtype={"file": str})
    published.index = pd.Index(published["file"].str.removesuffix(".wav"), name="utterance")
    published = published.sort_index()
    assert list(table.index) == list(published.index)
    for letter, attribute in (("A", "activation"), ("V", "valence"), ("D", "dominance")):
        ratings = published[[f"a{n}_{letter}" for n in (1, 2, 3)]]
        pd.testing.assert_series_equal(table[attribute], ratings.mean(axis=1), check_names=False)
        single = corpus.raters.pivot(index="utterance", columns="rater", values=attribute)
        assert (single.to_numpy() == ratings.to_numpy()).all()
    names = {"A": "anger", "B": "boredom", "H": "happiness", "N": "neutral", "S": "sadness"}
    assert table["emotion"].equals(published["gt_emotion"].map(names))
    heard = corpus.raters.pivot(index="utterance", columns="rater", values="emotions")
    for rater in ("a1", "a2", "a3"):
        assert [e for (e,) in heard[rater]] == list(published[f"{rater}_cat"].map(names))
    people = pd.read_csv(emotale_root / "speaker_info.csv", dtype=str, index_col="speaker")
    assert set(table["speaker"]) == set(people.index)
    assert (table["age"] == table["speaker"].map(people["age"]).astype(float)).all()
    assert (table["gender"].str[0].str.upper() == table["speaker"].map(people["gender"])).all()


def test_a_speaker_of_two_languages_is_one_speaker(emotale_root: Path) -> None:
    table = emotale(emotale_root).table
    assert len(table) == 800
    assert table["speaker"].nunique() == 18
    languages = table.groupby("speaker")["language"].nunique()
    assert (languages == 2).sum() == 14
    assert set(table["text"]) == {
        f"{language}{n}" for language in ("da", "en") for n in range(1, 6)
    }
    assert (table["text"].str[:2] == table["language"]).all()


def test_raters_agree_as_in_an_independent_analysis(emotale_root: Path) -> None:
    raters = emotale(emotale_root).raters
    for attribute, expected in (("activation", 0.766), ("valence", 0.775), ("dominance", 0.656)):
        single = raters.pivot(index="utterance", columns="rater", values=attribute)
        others = [single.drop(columns=rater).mean(axis=1) for rater in single]
        scores = [_ccc(single[rater], other) for rater, other in zip(single, others, strict=True)]
        assert sum(scores) / 3 == pytest.approx(expected, abs=0.005)


def _ccc(x: pd.Series, y: pd.Series) -> float:
    """Concordance correlation coefficient (Lin 1989)."""
    (xx, xy), (_, yy) = np.cov(x, y, bias=True)
    return float(2 * xy / (xx + yy + (x.mean() - y.mean()) ** 2))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two speakers, one of whom speaks both languages, and a hidden file."""
    root = tmp_path / "EmoTale"
    (root / "wav").mkdir(parents=True)
    lines = [HEADER]
    for name in ("DK_001_A_1", "EN_001_B_1", "DK_004_N_5"):
        (root / "wav" / f"{name}.wav").touch()
        lines.append(f"{name}.wav,4.0,1.5,4.5,A,4.0,2.5,5.0,A,5.0,1.0,4.5,B,{name[7]}")
    (root / "wav" / "._DK_001_A_1.wav").touch()
    (root / "annotations.csv").write_text("\n".join(lines) + "\n")
    (root / "speaker_info.csv").write_text("speaker,gender,age\n001,F,22\n004,M,9\n")
    return root


def test_what_cannot_be_read_is_listed_by_line(root: Path) -> None:
    assert emotale(root).problems == ()
    labels = root / "annotations.csv"
    for old, new in (
        ("5.0,1.0,4.5,B,B", "5.0,1.2,4.5,B,B"),  # line 3: not on the scale
        ("B,N\n", "B,S\n"),  # line 4: not the emotion of the file name
    ):
        labels.write_text(labels.read_text().replace(old, new))
    with open(labels, "a") as stream:
        stream.write("DK_004_N_4.wav,4,1,4,A,4,2,5,A,5,1,4,B,N\n")  # line 5: no audio
        stream.write("DK_001_A_1.wav,4,1,4,A,4,2,5,A,5,1,4,B,A\n")  # line 6: again
    for name in ("SE_001_A_1.wav", "DK_019_A_1.wav"):
        (root / "wav" / name).touch()
    corpus = emotale(root)
    found = {(p.file.name, p.line): p.reason for p in corpus.problems}
    assert "a3_V must be 1 to 5 in steps of 0.5, found '1.2'" in found["annotations.csv", 3]
    assert "gt_emotion is 'S', but neutral" in found["annotations.csv", 4]
    assert found["annotations.csv", 5] == "no audio file wav/DK_004_N_4.wav"
    assert found["annotations.csv", 6] == "duplicate of DK_001_A_1, first in line 2"
    assert found["annotations.csv", None] == "DK_019_A_1 is missing"
    assert "speaker 019" in found["speaker_info.csv", None]
    assert found["SE_001_A_1.wav", None].startswith("not a file name of EmoTale")
    assert len(corpus.problems) == 7
    assert list(corpus.table.index) == ["DK_001_A_1", "DK_004_N_5", "DK_019_A_1", "EN_001_B_1"]
    assert list(corpus.raters["utterance"]) == ["DK_001_A_1"] * 3


def test_the_error_for_a_wrong_root_names_the_right_one(root: Path) -> None:
    for wrong in (root.parent, root / "wav"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={root}\."):
            emotale(wrong)
    (root / "annotations.csv").write_text("file,a1_A\n")
    with pytest.raises(UserError, match="lacks the column a1_V, .*; its columns: file, a1_A"):
        emotale(root)
    (root / "speaker_info.csv").unlink()
    with pytest.raises(UserError, match=r"lacks speaker_info\.csv"):
        emotale(root)
    shutil.rmtree(root / "wav")
    with pytest.raises(UserError, match=r"such as wav/DK_004_A_5\.wav, found annotations\.csv"):
        emotale(root)
    with pytest.raises(UserError, match=r"corpus\.root=.*SER_EMOTALE_ROOT"):
        emotale(None)
