"""A run on a corpus with single ratings: shares of raters and the score of one rater."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf
from small import SHORT, Composed

from ser import console, metrics, results
from ser.__main__ import main
from ser.inference.restore import restore
from ser.results.verify import inconsistencies
from ser.runs.run import run

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


@pytest.fixture(scope="module")
def rated(few: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides for a manifest with three raters; two of ten utterances have no majority."""
    root = Path(few[1].partition("=")[2])
    table = pd.read_csv(root, dtype=str)
    table["utterance"] = [Path(file).stem for file in table["file"]]
    rows = []
    for number, (name, emotion) in enumerate(table[["utterance", "emotion"]].to_numpy()):
        place = EMOTIONS.index(emotion)
        others = [EMOTIONS[(place + 1) % 4], EMOTIONS[(place + 2) % 4]]
        votes = [emotion, others[0] if number % 10 < 2 else emotion, others[number % 2]]
        votes[2] = others[1] if number % 10 < 2 else votes[2]
        rows += [(name, f"r{rater}", vote) for rater, vote in enumerate(votes)]
    folder = tmp_path_factory.mktemp("rated")
    table.to_csv(folder / "rated.csv", index=False)
    ratings = pd.DataFrame(rows, columns=["utterance", "rater", "emotion"])
    ratings.to_csv(folder / "rated.ratings.csv", index=False)
    return ["corpus=manifest", f"corpus.root={folder / 'rated.csv'}", few[2], *SHORT]


def make(overrides: list[str], folder: Path, composed: Callable[..., Composed]) -> dict[str, Any]:
    cfg, names = composed(*overrides, "trainer.max_epochs=2")
    run(cfg, folder, names)
    return json.loads((folder / results.RESULT).read_text())


def test_run_with_shares_is_scored_against_them(
    rated: list[str],
    composed: Callable[..., Composed],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [*rated, "target.labels=distribution"]
    result = make(options, tmp_path / "run", composed)
    table = results.RunFolder(tmp_path / "run").read_predictions()
    shares = table[[f"t_{name}" for name in EMOTIONS]].to_numpy()
    assert set(shares.round(3).ravel()) == {0.0, 0.333, 0.667}
    tied = shares.max(axis=1) < 0.5
    assert tied.any()
    assert (table["truth"] == "").tolist() == tied.tolist()
    of_most = np.array(EMOTIONS)[shares.argmax(axis=1)]
    assert (table["truth"] == of_most)[~tied].all()

    test = (table["part"] == "test").to_numpy()
    p = table[[f"p_{name}" for name in EMOTIONS]].to_numpy()
    for name, value in metrics.distribution_scores(shares[test], p[test]).items():
        assert result["test"][name] == pytest.approx(value, abs=1e-6)
    assert np.sum(result["test"]["confusion"]) == (test & ~tied).sum()
    assert not list(inconsistencies(results.RunFolder(tmp_path / "run")))
    printed = " ".join(capsys.readouterr().out.split())
    ceiling = 100 * result["raters"]["test"]["ceiling"]["ua"]
    assert f"one rater, against the others {ceiling:.1f}" in printed
    assert f"KL {result['test']['kl']:.3f}" in printed
    assert "without a majority of raters have no part in UA" in printed


def test_run_with_shares_can_be_used(
    rated: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    """Restored, it gives the same probabilities; its own test split can be corrupted."""
    options = [*rated, "target.labels=distribution"]
    make(options, tmp_path / "run", composed)
    folder = results.RunFolder(tmp_path / "run")
    cfg, _ = composed(*options, "trainer.max_epochs=2")
    results.write_text(folder.config_file, OmegaConf.to_yaml(cfg))
    prepared, model = restore(folder.path)
    (batch,) = prepared.data.split_dataloader("test")
    table = folder.read_predictions()
    tested = table[table["part"] == "test"]
    stored = tested.filter(like="p_").to_numpy()
    np.testing.assert_allclose(model.predictions(batch).detach(), stored, rtol=1e-6)
    store = f"store.root={tmp_path / 'store'}"
    assert main(["evaluate", f"{folder.path}", "--corrupt", "gain:-20dB", store]) == 0
    (record,) = folder.path.rglob(results.EVALUATION)
    evaluation = json.loads(record.read_text())
    assert np.sum(evaluation["test"]["confusion"]) == (tested["truth"] != "").sum()
    assert evaluation["raters"]["level"] == "nominal"


def test_an_estimator_learns_shares(
    rated: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    options = [*rated[:3], "target.labels=distribution", "model=svm", "model.grid.C=[0.01]"]
    result = make(options, tmp_path / "run", composed)
    table = results.RunFolder(tmp_path / "run").read_predictions()
    test = table[table["part"] == "test"]
    p, t = (test[[f"{kind}_{name}" for name in EMOTIONS]].to_numpy() for kind in "pt")
    assert result["test"]["kl"] == pytest.approx(metrics.distribution_scores(t, p)["kl"], abs=1e-6)
    assert not list(inconsistencies(results.RunFolder(tmp_path / "run")))


def test_a_task_has_shares_beside_values(
    rated: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    tasks = ["target=attributes", "target.names=[activation,emotion]"]
    result = make([*rated, *tasks, "target.labels=distribution"], tmp_path / "run", composed)
    folder = results.RunFolder(tmp_path / "run")
    table = folder.read_predictions()
    of_emotion = table[(table["task"] == "emotion") & (table["part"] == "test")]
    p, t = (of_emotion[[f"{kind}_{name}" for name in EMOTIONS]].astype(float) for kind in "pt")
    assert (t.max(axis=1) < 0.5).tolist() == (of_emotion["truth"] == "").tolist()
    scores = result["test"]["tasks"]
    expected = metrics.distribution_scores(t.to_numpy(), p.to_numpy())
    assert scores["emotion"]["js"] == pytest.approx(expected["js"], abs=1e-6)
    assert set(scores["activation"]) == {"ccc", "pearson", "rmse", "mae"}
    assert any(each.startswith("emotion: ") for each in result["remarks"])
    assert not list(inconsistencies(folder))


def test_every_run_has_the_score_of_one_rater(
    rated: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    result = make(rated, tmp_path / "run", composed)
    raters = result["raters"]
    assert (raters["raters"], raters["level"], raters["panel"]) == (3, "nominal", True)
    assert raters["utterances"] == sum(map(sum, map(dict.values, result["class_counts"].values())))
    assert raters["test"]["utterances"] == sum(result["class_counts"]["test"].values())
    # Of eight of ten utterances the first two raters agree, and the third does not.
    assert 0 < raters["ceiling"]["ua"] < 1
    assert console.ceiling(raters) == f"UA {100 * raters['ceiling']['ua']:.1f}%"
    assert "kl" not in result["test"]
