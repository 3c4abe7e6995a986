"""A table written by hand trains without further options."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from small import SHORT, Composed

from ser.corpora.emodb import emodb as read_emodb
from ser.data.fingerprint import RunKeys
from ser.data.prepare import prepare
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


def test_a_run_says_how_its_table_was_understood(
    own: Path,
    emodb: list[str],
    composed: Callable[..., Composed],
    caplog: pytest.LogCaptureFixture,
) -> None:
    own.write_text(own.read_text().replace("speaker,emotion", "Speaker ID,label", 1))
    store = next(each for each in emodb if each.startswith("store.root="))
    cfg, _ = composed("corpus=manifest", f"corpus.root={own}", store)
    with caplog.at_level("INFO"):
        prepared = prepare(cfg)
    assert "columns understood: speaker from 'Speaker ID', emotion from 'label'" in caplog.text
    assert len(prepared.corpus.table) == 60


def test_a_column_split_is_a_published_partition(
    own: Path, composed: Callable[..., Composed]
) -> None:
    splits = {"03": "Train", "08": "train", "09": "dev", "10": "dev", "11": "test1", "12": "test2"}
    header, *lines = own.read_text().splitlines()
    rows = [f"{line},{splits[line.split(',')[1]]}" for line in lines]
    own.write_text("\n".join([f"{header},Partition", *rows]))
    cfg, _ = composed("corpus=manifest", f"corpus.root={own}", "fold=partition")
    fold = RunKeys().fold(cfg)
    assert [len(each) for each in (fold.train, fold.val, fold.test)] == [20, 20, 20]
    assert fold.speaker_independent
