"""What a run leaves, and is read back."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser import results

TABLE = pd.DataFrame(
    {
        "file": "a.wav",
        "speaker": ["1", "1", "2", "3"],
        "emotion": ["anger", "neutral", "anger", "sadness"],
        "activation": [4.5, 10 / 3, np.nan, 2.0],
        "text": ["yes", "no", "no", "well"],
    },
    index=["a", "b", "c", "d"],
)
PARTS = {"train": pd.Index(["d", "b"]), "val": pd.Index(["a"]), "test": pd.Index(["c"])}


def test_utterances_of_all_parts_are_told_with_what_the_corpus_knows(tmp_path: Path) -> None:
    folder = results.RunFolder(tmp_path)
    folder.write_utterances(results.utterances(PARTS, TABLE))
    found = folder.read_utterances().set_index("utterance")
    assert list(found.index) == ["d", "b", "a", "c"]
    assert list(found["part"]) == ["train", "train", "val", "test"]
    assert list(found) == ["part", "speaker", "emotion", "activation", "text"]  # it has no valence
    assert list(found["activation"]) == ["2.0", str(10 / 3), "4.5", ""]
    assert list(found["speaker"]) == ["3", "1", "1", "2"]
    assert dict(found["text"]) == {"d": "seen", "b": "seen", "a": "new", "c": "seen"}


def test_an_empty_part_is_no_matter() -> None:
    found = results.utterances({**PARTS, "test": pd.Index([])}, TABLE)
    assert list(found["part"]) == ["train", "train", "val"]
