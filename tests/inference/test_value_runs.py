"""Finished runs whose target is a value: predicted, tested elsewhere, verified and exported."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ser
from ser import metrics
from ser.__main__ import main
from ser.errors import UserError
from ser.export.graph import EstimatorGraph
from ser.inference.classify import EstimatorClassifier
from ser.inference.evaluate import evaluate
from ser.inference.loading import load
from ser.results import RunFolder
from ser.results.verify import inconsistencies

Write = Callable[[Path, int], Path]


def own_test(run: Path) -> pd.DataFrame:
    return RunFolder(run).read_predictions().query("part == 'test'").set_index("utterance")


@pytest.fixture
def copied(rated: Path, tmp_path: Path) -> Path:
    """Both seeds, which a test may write to."""
    return Path(shutil.copytree(rated / "seeds", tmp_path / "runs"))


@pytest.mark.parametrize("name", ["seeds/0", "aae"])
def test_a_test_utterance_gets_the_value_of_the_run(rated: Path, name: str, tmp_path: Path) -> None:
    own, out = own_test(rated / name), tmp_path / "out.csv"
    files = [str(rated / f"{utterance}.wav") for utterance in own.index]
    assert main(["predict", str(rated / name), *files, "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert list(table.columns) == [
        *("file", "start", "end", "prediction"),
        *("speech", "speech_share", "unlike_training", "distance", "reason"),
    ]
    assert own["prediction"].std() > 0.01
    np.testing.assert_allclose(table["prediction"], own["prediction"], atol=1e-5)


def test_values_of_several_runs_are_averaged(
    rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [own_test(rated / "seeds" / seed)["prediction"] for seed in "01"]
    file = rated / f"{own[0].index[0]}.wav"
    assert main(["predict", str(rated / "seeds"), str(file), "--out", f"{tmp_path}/o.json"]) == 0
    (row,) = json.loads((tmp_path / "o.json").read_text())
    mean = np.mean([each.iloc[0] for each in own])
    assert row["prediction"] == pytest.approx(mean, abs=1e-5)
    assert "uncalibrated" not in capsys.readouterr().err
    run = ser.load(rated / "seeds")
    value = run.predict(file)
    assert isinstance(value, float)
    assert value == row["prediction"]
    assert run.classes == ()
    assert "values of activation" in repr(run)
    assert main(["predict", str(rated / "seeds"), str(file)]) == 0
    head, line = capsys.readouterr().out.splitlines()[-2:]
    assert (head.split()[1], line.split()[1]) == ("activation", f"{mean:.2f}")


def test_all_tasks_are_predicted(
    rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ser.load(rated / "tasks")
    own = ser.read_predictions(run.folder).query("part == 'test'")
    file = rated / f"{own['utterance'].iloc[0]}.wav"
    own = own[own["utterance"] == file.stem].set_index("task")
    one = run.predict(file)
    assert isinstance(one, dict)
    assert one["activation"] == pytest.approx(own.loc["activation", "prediction"], abs=1e-5)
    assert one["emotion"]["loud"] == pytest.approx(own.loc["emotion", "p_loud"], abs=1e-5)
    row = run.predict([file]).iloc[0]
    assert row["activation"] == one["activation"]
    assert row["emotion"] == own.loc["emotion", "prediction"]
    assert row["p_emotion_calm"] == one["emotion"]["calm"]
    assert main(["predict", str(run.folder), str(file)]) == 0
    printed = capsys.readouterr()
    head, line = printed.out.splitlines()[-2:]
    assert head.split()[1:3] == ["emotion", "activation"]
    assert line.split()[1:3] == [row["emotion"], f"{one['activation']:.2f}"]
    assert "uncalibrated" in printed.err
    scores = run.scores["tasks"]
    table = ser.read_runs(run.folder)
    assert table["activation_ccc"].item() == scores["activation"]["ccc"]
    assert table["emotion_ua"].item() == scores["emotion"]["ua"]
    assert "activation (value), emotion (calm, loud)" in str(run.runs[0])


def test_tables_of_runs_have_columns_of_values(rated: Path) -> None:
    table = ser.read_runs(rated / "seeds")
    scores = [run.scores for run in ser.load(rated / "seeds").runs]
    assert list(table["ccc"]) == [each["ccc"] for each in scores]
    assert {"pearson", "rmse", "mae", "val_ccc"} < set(table)
    assert "ua" not in table
    assert ser.read_predictions(rated / "aae")["truth"].dtype == float


def test_another_corpus_is_scored_by_ccc(
    copied: Path, another_corpus: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    other = [f"corpus.root={another_corpus(tmp_path / 'other', 1)}/made.csv", "corpus.name=other"]
    options = ["corpus=manifest", *other, f"store.root={tmp_path}/store"]
    assert evaluate(copied, options) == 0
    (folder,) = RunFolder(copied / "0").evaluations()
    table, record = folder.read_predictions(), folder.read_record() or {}
    assert len(table) == 24
    expected = metrics.value_scores(metrics.moments(table["truth"], table["prediction"]))
    assert record["test"]["ccc"] == pytest.approx(expected["ccc"], abs=1e-6)
    assert record["class_counts"] == {}
    text = capsys.readouterr().out
    assert "mean CCC 0." in text or "mean CCC -0." in text
    assert not list(inconsistencies(RunFolder(copied / "0")))


def test_wrong_scales_and_bins_are_errors(
    rated: Path, copied: Path, another_corpus: Write, tmp_path: Path
) -> None:
    folder = another_corpus(tmp_path, 1)
    manifest = pd.read_csv(folder / "made.csv")
    manifest.assign(activation=manifest["activation"] * 20).to_csv(folder / "made.csv", index=False)
    options = ["corpus=manifest", f"corpus.root={folder}/made.csv", f"store.root={tmp_path}/store"]
    with pytest.raises(UserError, match=r"from 20 to 100.*corpus.scale=\[20,100\]"):
        evaluate(copied / "0", options)
    with pytest.raises(UserError, match=r"a value.*cannot be tested on target.bins=rounded"):
        evaluate(copied / "0", [*options, "target.bins=rounded"])
    with pytest.raises(UserError, match="cannot be tested on target=valence"):
        evaluate(copied / "0", [*options, "target=valence"])
    tasks = load(rated / "tasks")
    others = {**tasks.result["tasks"], "valence": []}
    for other in (load(rated / "aae"), replace(tasks, result={**tasks.result, "tasks": others})):
        with pytest.raises(UserError, match="same classes or the same value"):
            tasks.require_same_classes(other)


def test_the_own_test_split_is_corrupted(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["evaluate", f"{copied}/0", "--corrupt", "gain:-20dB"]
    assert main([*options, f"store.root={tmp_path}/store"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert next(line[:6] for line in lines if line[:1] == ["test"]) == [
        "test",
        "CCC",
        "change",
        "Pearson",
        "RMSE",
        "MAE",
    ]
    own = ser.load(copied / "0").scores
    assert next(line for line in lines if line[:1] == ["clean"])[1] == f"{own['ccc']:.3f}"
    assert not list(inconsistencies(RunFolder(copied / "0")))


def test_changed_values_are_inconsistent(copied: Path) -> None:
    run = RunFolder(copied / "0")
    assert not list(inconsistencies(run))
    table = run.read_predictions()
    table.loc[0, "prediction"] += 0.5
    run.write_predictions(table)
    assert any("CCC is" in problem for problem in inconsistencies(run))
    table.loc[0, "prediction"] = np.inf
    run.write_predictions(table)
    assert any("not finite" in problem for problem in inconsistencies(run))


def test_an_exported_model_gives_values(rated: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "export"
    assert main(["export", str(rated / "aae"), "--out", str(out)]) == 0
    session = onnxruntime.InferenceSession(out / "model.onnx")
    assert [each.name for each in session.get_outputs()] == ["values"]
    config = json.loads((out / "config.json").read_text())
    assert config["outputs"] == {"values": {"shape": ["utterances", 1], "dtype": "float32"}}
    assert config["classes"] == []
    recogniser, own = load(rated / "aae"), own_test(rated / "aae")
    files = [rated / f"{utterance}.wav" for utterance in own.index]
    features = ser.extract(files, "egemaps").to_numpy()
    (values,) = session.run(None, {"features": features})
    np.testing.assert_allclose(values, recogniser(list(features)), atol=1e-5)
    np.testing.assert_allclose(values[:, 0], own["prediction"], atol=1e-5)
    card = (out / "README.md").read_text()
    scores = ser.load(rated / "aae").scores
    for title, score in {"CCC": "ccc", "Pearson": "pearson", "RMSE": "rmse", "MAE": "mae"}.items():
        line = next(line for line in card.splitlines() if line.startswith(f"| {title}"))
        assert f"{scores[score]:.3f}" in line
    assert "probabilit" not in card


def test_latents_are_probed_by_level(
    rated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(rated / "aae", tmp_path / "aae"))
    assert main(["latents", str(run), "--audio", "none"]) == 0
    assert "level of activation" in capsys.readouterr().out
    labels = {
        each["label"] for each in json.loads((run / "latents/probe.json").read_text())["scores"]
    }
    assert labels == {"level of activation", "gender", "speaker"}
    page = (run / "latents/map.html").read_text()
    value = ser.read_predictions(run)["prediction"].iloc[0]
    assert f'"{value:.3f}"' in page
    assert '"correctness"' not in page
    assert '"name":"activation (mean rating)"' in page
    assert '"ends":["1","5"]' in page
    assert '"judged":false' in page
    points = pd.read_csv(run / "latents/map.csv")
    assert {"part", "truth", "prediction", "pca_x", "t-sne_y"} <= set(points)
    assert (points["truth"].min(), points["truth"].max(), len(points)) == (1.0, 5.0, 24)


def test_linear_regressors_are_exported() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(50, 4)).astype(np.float32)
    fitted = make_pipeline(StandardScaler(), Ridge()).fit(x, x @ [1, -2, 0, 0.5] + 3)
    estimator = EstimatorClassifier(fitted)
    torch = pytest.importorskip("torch")
    values = EstimatorGraph(estimator)(torch.from_numpy(x), None)
    assert values.shape == (50, 1)
    np.testing.assert_allclose(values, estimator(x, None), rtol=1e-5)
