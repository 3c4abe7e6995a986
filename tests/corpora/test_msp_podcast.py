"""On generated trees of the published layouts; the audio of MSP-Podcast is not needed."""

from pathlib import Path

import pytest

from ser.corpora import Corpus
from ser.corpora.msp_podcast import msp_podcast
from ser.errors import UserError

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
CONSENSUS = """\
MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1
MSP-PODCAST_0001_0009.wav,U,7.0,1.0,4.0,39,Female,Development
MSP-PODCAST_0002_0001.wav,X,4.0,4.0,4.0,Unknown,Unknown,Train
MSP-PODCAST_0003_0001_0001.wav,C,4.0,4.0,4.0,7,Male,Test2
"""
DETAILED = """\
FileName,EmoDetail
MSP-PODCAST_0001_0008.wav,"WORKER00000001; Neutral; Neutral,Sad; A:1.000000; V:4.0; D:2.0;"
MSP-PODCAST_0001_0008.wav,"WORKER00000002; Other-so, so; ; A:7.000000; V:4.000000; D:NaN;"
MSP-PODCAST_0001_0008.wav,"WORKER00000001; Happy; Happy; A:7.000000; V:7.000000; D:7.000000;"
MSP-PODCAST_0001_0009.wav,"WORKER00000003; Surprise; a; b; A:7; V:1; D:4;"
MSP-PODCAST_0009_0009.wav,"WORKER00000003; Nonsense; ; A:7; V:1; D:4;"
"""
COLUMN_EACH = """\
FileName,WorkerID,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom
MSP-PODCAST_0001_0008.wav,WORKER00000001,Neutral,"Neutral,Concerned",1,4,2
MSP-PODCAST_0001_0008.wav,WORKER00000002,"Other-so, so",,7,4,
MSP-PODCAST_0001_0009.wav,WORKER00000003,Surprise,Surprise,7,1,4
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four labelled segments, and one of Test3 without a label."""
    root = tmp_path / "MSP-PODCAST-Publish-1.12"
    for folder in ("Audios", "Labels", "Transcripts"):
        (root / folder).mkdir(parents=True)
    for line in CONSENSUS.splitlines():
        (root / "Audios" / line.split(",")[0]).touch()
    for name in ("MSP-PODCAST_0004_0001.wav", "._MSP-PODCAST_0001_0008.wav"):
        (root / "Audios" / name).touch()
    (root / "Labels" / "labels_consensus.csv").write_text(HEADER + CONSENSUS)
    (root / "Labels" / "labels_detailed.csv").write_text(DETAILED)
    (root / "Partitions.txt").write_text(
        "Test1; MSP-PODCAST_0001_0008.wav\nTest3; MSP-PODCAST_0004_0001.wav\n"
    )
    (root / "Transcripts" / "MSP-PODCAST_0001_0008.txt").write_text("Well, so so.\n")
    return root


def read(root: Path, *, transcripts: bool = False, ratings: bool = True) -> Corpus:
    return msp_podcast(root, transcripts=transcripts, single_ratings=ratings)


def test_the_published_layout_is_read(root: Path) -> None:
    corpus = read(root)
    assert corpus.problems == ()
    table = corpus.table.rename(index=lambda name: name.removeprefix("MSP-PODCAST_"))
    assert table["split"].to_dict() == {
        "0001_0008": "test1",
        "0001_0009": "development",
        "0002_0001": "train",
        "0003_0001_0001": "test2",
    }
    assert table["emotion"].fillna("-").to_list() == ["neutral", "surprise", "-", "contempt"]
    assert table["gender"].fillna("-").to_list() == ["male", "female", "-", "male"]
    assert table["dialogue"].to_list() == ["0001", "0001", "0002", "0003"]
    assert "text" not in table


def test_attributes_are_mapped_from_seven_points_to_five(root: Path) -> None:
    table = read(root).table
    assert table["activation"].to_list() == pytest.approx([1.8, 5, 3, 3])
    assert table["valence"].to_list() == [3, 1, 3, 3]


def test_a_speaker_who_is_not_identified_is_a_missing_value(root: Path) -> None:
    speakers = read(root).table["speaker"]
    assert speakers.fillna("-").to_list() == ["30", "39", "-", "7"]


@pytest.mark.parametrize("table", [DETAILED, COLUMN_EACH])
def test_ratings_of_all_releases_are_read_once_each(root: Path, table: str) -> None:
    (root / "Labels" / "labels_detailed.csv").write_text(table)
    corpus = read(root)
    assert corpus.problems == ()
    raters = corpus.raters
    assert raters is not None
    raters["rater"] = raters["rater"].str[-1]
    assert raters["rater"].to_list() == ["1", "2", "3"]
    assert raters["emotions"].to_list() == [("neutral",), ("other",), ("surprise",)]
    assert raters["activation"].to_list() == [1, 5, 5]
    assert raters["dominance"].fillna(-1).to_list() == pytest.approx([5 / 3, -1, 3])
    assert read(root, ratings=False).raters is None


def test_older_names_of_folders_and_files_are_read(root: Path) -> None:
    table = read(root).table
    (root / "Audios").rename(root / "Audio")
    (root / "Labels").rename(root / "labels")
    (root / "labels" / "labels_consensus.csv").rename(root / "labels" / "labels_concensus.csv")
    assert read(root).table.drop(columns="file").equals(table.drop(columns="file"))


def test_transcripts_are_read_on_request(root: Path) -> None:
    text = read(root, transcripts=True).table["text"]
    assert text.fillna("-").to_list() == ["well so so", "-", "-", "-"]


def test_what_cannot_be_read_is_listed_by_line(root: Path) -> None:
    labels = root / "Labels" / "labels_consensus.csv"
    text = HEADER + CONSENSUS.replace("2.2,", "8.2,").replace(",U,", ",Z,").replace(",7,", ",,")
    text += CONSENSUS.splitlines()[2] + "\nMSP-PODCAST_0005_0001.wav,N,1,1,1,1,Male,Test9\n"
    labels.write_text(text + "MSP-PODCAST_0006_0001.wav,N,1,1,1,1,Male,Train\n")
    detailed = root / "Labels" / "labels_detailed.csv"
    detailed.write_text(
        "FileName,EmoDetail\n"
        'MSP-PODCAST_0002_0001.wav,"WORKER1; Neutral; ; A:0; V:4; D:4;"\n'
        'MSP-PODCAST_0002_0001.wav,"WORKER2; Bored; ; A:1; V:4; D:4;"\n'
        'MSP-PODCAST_0002_0001.wav,"WORKER3; Neutral"\n'
    )
    (root / "Audios" / "MSP-PODCAST_0007_0001.wav").touch()
    corpus = read(root)
    found = {(p.file.name, p.line): (p.reason, p.kind) for p in corpus.problems}
    assert "EmoAct must be from 1 to 7, found '8.2'" in found["labels_consensus.csv", 2][0]
    assert "EmoClass must be one of A, C, D" in found["labels_consensus.csv", 3][0]
    assert "duplicate label" in found["labels_consensus.csv", 6][0]
    assert "found 'Test9'" in found["labels_consensus.csv", 7][0]
    assert found["labels_consensus.csv", 8][1] == "no audio"
    assert {("labels_detailed.csv", line) for line in (2, 3, 4)} <= found.keys()
    assert found["MSP-PODCAST_0007_0001.wav", None][1] == "no label"
    assert len(corpus.problems) == 9
    assert len(corpus.table) == 2
    assert corpus.raters is not None
    assert corpus.raters.empty


def test_the_error_for_a_wrong_root_names_the_right_one(root: Path) -> None:
    for wrong in (root.parent, root / "Labels"):
        with pytest.raises(UserError, match=rf"The right one is corpus\.root={root}\."):
            read(wrong)
    (root / "Labels" / "labels_detailed.csv").write_text("FileName,WorkerID\n")
    with pytest.raises(UserError, match="needs EmoDetail, or columns of each emotion, "):
        read(root)
    (root / "Labels" / "labels_consensus.csv").write_text("FileName\n")
    with pytest.raises(UserError, match="lacks the column EmoClass, EmoVal, EmoAct"):
        read(root)
