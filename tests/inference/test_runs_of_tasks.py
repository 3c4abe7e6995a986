"""Finished runs of several tasks: tested elsewhere, on corrupted audio, exported and probed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ser
from ser import metrics
from ser.__main__ import main
from ser.errors import UserError
from ser.inference.evaluate import evaluate
from ser.results import RunFolder
from ser.results.verify import inconsistencies

Write = Callable[[Path, int], Path]


@pytest.fixture(scope="module")
def other(another_corpus: Write, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a corpus like that of the runs, where three utterances lack an activation."""
    folder = another_corpus(tmp_path_factory.mktemp("other"), 1)
    table = pd.read_csv(folder / "made.csv")
    table.loc[[3, 8, 15], "activation"] = np.nan
    table.to_csv(folder / "made.csv", index=False)
    root = [f"corpus.root={folder}/made.csv", f"store.root={folder}/store"]
    return ["corpus=manifest", "corpus.name=other", *root]


@pytest.fixture
def copied(rated: Path, tmp_path: Path) -> Path:
    """A run of emotion and activation that a test may write to."""
    return Path(shutil.copytree(rated / "tasks", tmp_path / "tasks"))


def test_another_corpus_is_scored_by_task(
    copied: Path, other: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(copied, other) == 0
    (folder,) = RunFolder(copied).evaluations()
    record, table = folder.read_record() or {}, folder.read_predictions()
    assert dict(table["task"].value_counts()) == {"emotion": 24, "activation": 21}
    values = table[table["task"] == "activation"]
    moments = metrics.moments(values["truth"].to_numpy(float), values["prediction"].to_numpy(float))
    scores = record["test"]["tasks"]
    assert scores["activation"]["ccc"] == pytest.approx(metrics.ccc(moments), abs=1e-6)
    named = table[table["task"] == "emotion"]
    assert scores["emotion"]["wa"] == (named["truth"] == named["prediction"]).mean()
    # The columns are those of the task: `predict` gives the same of a file.
    files = sorted(Path(other[3].partition("=")[2]).parent.glob("*.wav"))
    alone = ser.load(copied).predict(files)
    np.testing.assert_allclose(
        values["prediction"].astype(float), alone["activation"].drop(index=[3, 8, 15]), atol=1e-5
    )
    assert list(named["prediction"]) == list(alone["emotion"])
    assert not list(inconsistencies(RunFolder(copied)))
    printed = capsys.readouterr().out
    assert "activation  other" in printed
    assert main(["report", str(copied), "--out", str(tmp_path / "report")]) == 0
    rows = pd.read_csv(tmp_path / "report/scores.csv")
    rows = rows[rows["part"] == "test"].set_index(["corpus", "target"])
    assert rows.loc[("manifest to other", "activation"), "ccc"].iloc[0] == pytest.approx(
        scores["activation"]["ccc"], abs=1e-6
    )


def test_some_of_the_tasks_are_tested(copied: Path, other: list[str]) -> None:
    assert evaluate(copied, [*other, "target.names=[activation]"]) == 0
    (folder,) = RunFolder(copied).evaluations()
    record = folder.read_record() or {}
    assert list(record["test"]["tasks"]) == ["activation"]
    assert "not tested on other: emotion" in record["remarks"]
    assert set(folder.read_predictions()["task"]) == {"activation"}
    with pytest.raises(UserError, match=r"target=emotion: target.names=\[emotion\] tests"):
        evaluate(copied, [*other, "target=emotion"])
    with pytest.raises(UserError, match=r"target.names=\['valence'\]; choose some of emotion"):
        evaluate(copied, [*other, "target.names=[valence]"])
    with pytest.raises(UserError, match="cannot be tested on target.bins=rounded"):
        evaluate(copied, [*other, "target.bins=rounded"])


def test_the_own_test_split_is_corrupted(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"store.root={tmp_path}/store"]
    assert main(["evaluate", str(copied), "--corrupt", "gain:-20dB", *options]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    clean = [line[1] for line in lines if line[:1] == ["clean"]]
    own = ser.load(copied).scores["tasks"]
    assert main(["report", str(copied), "--out", str(tmp_path / "report")]) == 0
    rows = pd.read_csv(tmp_path / "report/robustness.csv").set_index(["target", "condition"])
    (folder,) = RunFolder(copied).all_corrupted()
    corrupted = (folder.read_record() or {})["test"]["tasks"]
    for condition, scores in (("clean", own), ("gain:-20dB", corrupted)):
        for task, name in (("activation", "ccc"), ("emotion", "ua")):
            shown = rows.loc[(task, condition), name]
            assert shown == pytest.approx(scores[task][name], abs=1e-6)
    assert clean == [f"{own['activation']['ccc']:.3f}", f"{100 * own['emotion']['ua']:.1f}"]
    assert not list(inconsistencies(RunFolder(copied)))


@pytest.mark.slow
def test_an_exported_model_has_an_output_per_task(copied: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "export"
    assert main(["export", str(copied), "--out", str(out)]) == 0
    session = onnxruntime.InferenceSession(out / "model.onnx")
    assert [each.name for each in session.get_outputs()] == ["emotion", "activation"]
    config = json.loads((out / "config.json").read_text())
    assert config["tasks"] == {"emotion": ["calm", "loud"], "activation": []}
    shapes = {name: each["shape"] for name, each in config["outputs"].items()}
    assert shapes == {"emotion": ["utterances", 2], "activation": ["utterances", 1]}
    own = ser.read_predictions(copied).query("part == 'test'")
    node = json.loads((copied / "result.json").read_text())
    root = Path(RunFolder(copied).require_config().corpus.root).parent
    names = list(dict.fromkeys(own["utterance"]))
    features = ser.extract([root / f"{name}.wav" for name in names], "egemaps").to_numpy()
    emotion, activation = session.run(["emotion", "activation"], {"features": features})
    of_task = own.set_index("task")
    np.testing.assert_allclose(
        activation[:, 0], of_task.loc["activation", "prediction"].astype(float), atol=1e-5
    )
    np.testing.assert_allclose(emotion, of_task.loc["emotion", ["p_calm", "p_loud"]], atol=1e-5)
    card = (out / "README.md").read_text()
    scores = node["test"]["tasks"]
    assert f"{scores['activation']['ccc']:.3f}" in card
    assert f"{100 * scores['emotion']['ua']:.1f}" in card
    assert "### activation" in card


def test_each_task_has_a_latent_that_is_probed(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["latents", str(copied), "--audio", "none"]) == 0
    scores = json.loads((copied / "latents/probe.json").read_text())["scores"]
    assert {each["label"] for each in scores} == {
        *("emotion", "level of activation", "gender", "speaker"),
    }
    assert {"y_emotion", "y_activation", "z"} < {each["latent"] for each in scores}
    page = (copied / "latents/map.html").read_text()
    assert '"name":"emotion"' in page
    assert '"name":"activation (mean rating)"' in page
    printed = capsys.readouterr().out
    assert "The hypothesis that y_emotion encodes the emotion and z the rest" in printed
    assert "The hypothesis that y_activation encodes the level of activation" in printed
