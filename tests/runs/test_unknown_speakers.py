from collections.abc import Callable
from pathlib import Path

from small import SHORT, Composed

from ser.corpora.emodb import emodb as read_emodb
from ser.results.folder import RunFolder
from ser.results.verify import verify
from ser.runs.run import run

SPLITS = {"14": "Test1", "16": "Test2", "15": "Development"}
CODES = {"anger": "A", "happiness": "H", "neutral": "N", "sadness": "S"}


def test_a_published_partition_with_unknown_speakers_is_trained_on_with_a_remark(
    emodb: list[str], emodb_root: Path, composed: Callable[..., Composed], tmp_path: Path
) -> None:
    root = tmp_path / "MSP-Podcast"
    lines = ["FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set"]
    (root / "Audios").mkdir(parents=True)
    (root / "Labels").mkdir()
    table = read_emodb(emodb_root).table
    table = table[table["emotion"].isin(CODES)].groupby(["speaker", "emotion"]).head(1)
    for row in table.itertuples():
        name = f"MSP-PODCAST_{row.Index}_0001.wav"
        (root / "Audios" / name).symlink_to(row.file)
        speaker = "Unknown" if row.speaker == "03" else row.speaker
        split = SPLITS.get(row.speaker, "Train")
        lines.append(f"{name},{CODES[row.emotion]},4,4,4,{speaker},Unknown,{split}")
    (root / "Labels" / "labels_consensus.csv").write_text("\n".join(lines) + "\n")

    corpus = ["corpus=msp_podcast", f"corpus.root={root}", "fold=partition", emodb[-1]]
    classes = "target.classes=[anger,happiness,neutral,sadness]"
    cfg, names = composed(*corpus, classes, *SHORT)
    run(cfg, tmp_path / "run", names)
    result = RunFolder(tmp_path / "run").read_record()
    assert result is not None
    assert (
        "speakers of some utterances are unknown, and may be in two splits: 4 train"
        in (result["remarks"])
    )
    assert result["speakers"]["train"] == ["08", "09", "10", "11", "12", "13"]
    assert result["speaker_independent"]
    assert verify([tmp_path / "run"]) == 0
