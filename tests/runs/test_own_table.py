"""A table written by hand trains without further options."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small import SHORT, Composed

from ser.corpora.emodb import emodb as read_emodb
from ser.runs.run import run


@pytest.fixture
def own(emodb_root: Path, tmp_path: Path) -> Path:
    """Sixty files of six speakers of EMO-DB: file, speaker, emotion."""
    table = read_emodb(emodb_root).table
    table = table[table["emotion"].isin(["anger", "happiness", "neutral", "sadness"])]
    table = table[table["speaker"].isin(sorted(table["speaker"].unique())[:6])]
    table = table.groupby(["speaker", "emotion"]).head(3).groupby("speaker").head(10)
    lines = [f"{row.file},{row.speaker},{row.emotion}" for row in table.itertuples()]
    assert len(lines) == 60
    (tmp_path / "my.csv").write_text("\n".join(["file,speaker,emotion", *lines]))
    return tmp_path / "my.csv"


def test_sixty_files_of_six_speakers_train_without_options(
    own: Path, emodb: list[str], composed: Callable[..., Composed]
) -> None:
    store = next(each for each in emodb if each.startswith("store.root="))
    # SHORT only saves time.
    cfg, names = composed("corpus=manifest", f"corpus.root={own}", store, *SHORT)
    assert names["fold"] == "speaker_kfold"
    folder = own.parent / "run"
    run(cfg, folder, names)
    scores = json.loads((folder / "result.json").read_text())
    assert scores["speaker_independent"]
    assert scores["test"]["ua"] > 0.4  # chance level: 0.25
    table = pd.read_csv(folder / "utterances.csv", dtype=str)
    assert len(table) == 60
    assert table.groupby("speaker")["part"].nunique().eq(1).all()
    assert table["speaker"].nunique() == 6
