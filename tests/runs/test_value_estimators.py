"""Runs of scikit-learn models on values: from the ratings of a corpus to its predictions."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from small import Composed

from ser import metrics
from ser.export.graph import EstimatorGraph
from ser.inference.classify import EstimatorClassifier
from ser.models.estimator import load
from ser.results import RunFolder
from ser.runs.run import run

RATE, COUNT, WIDTH = 16000, 24, 60  # more features than utterances
MODELS = {
    "svr": ["model=svr", "model.grid.C=[1e-6,0.01]"],
    "ridge": ["model=ridge", "model.grid.alpha=[10.0,1e6]"],
    "pca": [
        *("model=svr", "model.grid.C=[0.1]", "representation=pca", "representation.size=[1,3]"),
    ],
}


def write_corpus(folder: Path, *, spoilt: bool, far: float) -> None:
    """Write ratings and features of six speakers.

    Args:
        folder: Where they are written.
        spoilt: Features of the two speakers that are tested are noise.
        far: Added to one feature of the first utterance, which is tested.
    """
    rng = np.random.default_rng(1)
    speakers = np.arange(COUNT) // 2 % 6
    activation = rng.uniform(1, 5, COUNT)
    features = rng.normal(size=(COUNT, WIDTH)) + activation[:, None]
    if spoilt:
        features[speakers < 2] = rng.normal(size=((speakers < 2).sum(), WIDTH))
    features[0, 0] += far
    names = [f"{number:02d}.wav" for number in range(COUNT)]
    for name in names:
        soundfile.write(folder / name, rng.normal(0, 0.1, RATE // 20), RATE)
    table = {"file": names, "speaker": speakers, "session": speakers // 2, "activation": activation}
    pd.DataFrame(table).to_csv(folder / "made.csv", index=False)
    rows = pd.DataFrame(features, columns=[f"c{number}" for number in range(WIDTH)])
    rows.insert(0, "utterance", [Path(name).stem for name in names])
    rows.to_csv(folder / "features.csv", index=False)


@pytest.fixture(scope="module")
def train(
    tmp_path_factory: pytest.TempPathFactory, composed: Callable[..., Composed]
) -> Callable[..., Path]:
    def train_on(name: str, *options: str, spoilt: bool = False, far: float = 0.0) -> Path:
        folder = tmp_path_factory.mktemp(name)
        write_corpus(folder, spoilt=spoilt, far=far)
        cfg, names = composed(
            *("corpus=manifest", f"corpus.root={folder}/made.csv", "fold=session"),
            *("features=files", f"features.root={folder}/features.csv"),
            *(f"store.root={folder}/store", f"fitted={folder}/fitted"),
            *("target=activation", "target.bins=null", *MODELS[name], *options),
        )
        run(cfg, folder / "run", names)
        return folder / "run"

    return train_on


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("name", MODELS)
def test_values_are_predicted_and_scored_by_ccc(name: str, train: Callable[..., Path]) -> None:
    folder = train(name)
    result, table = result_of(folder), RunFolder(folder).read_predictions()
    assert result["classes"] == []
    assert 0.5 < result["inner_ccc"] <= 1
    assert "inner_ua" not in result
    for part in ("val", "test"):
        rows = table[table["part"] == part]
        truth, predicted = (rows[c].to_numpy(float) for c in ("truth", "prediction"))
        scores = metrics.value_scores(metrics.moments(truth, predicted))
        assert result[part] == pytest.approx(scores, abs=1e-5)
        assert result[part]["ccc"] > 0.5


@pytest.mark.parametrize("far", [0.0, 1e6])
@pytest.mark.parametrize("name", ["svr", "ridge"])
def test_the_saved_model_and_its_graph_predict_as_the_run(
    name: str, far: float, train: Callable[..., Path]
) -> None:
    folder = train(name, far=far)
    saved = EstimatorClassifier(load(RunFolder(folder).best_estimator))
    features = pd.read_csv(folder.parent / "features.csv", dtype={"utterance": str})
    table = RunFolder(folder).read_predictions().query("part == 'test'")
    x = features.set_index("utterance").loc[table["utterance"]].to_numpy(np.float32)
    expected = table["prediction"].to_numpy(float)[:, None]
    np.testing.assert_allclose(saved(x, None), expected, atol=1e-5)
    np.testing.assert_allclose(
        EstimatorGraph(saved)(torch.from_numpy(x), None), expected, atol=1e-5
    )


@pytest.mark.parametrize("name", ["svr", "ridge"])
def test_a_feature_far_from_all_others_is_limited(name: str, train: Callable[..., Path]) -> None:
    limited, unlimited = (
        RunFolder(train(name, option, far=1e6)).read_predictions().query("part == 'test'")
        for option in ("data.clip=10", "data.clip=null")
    )
    # No other utterance is predicted otherwise.
    ordinary = limited["utterance"] != "00"
    equal = limited["prediction"][ordinary] == unlimited["prediction"][ordinary]
    assert equal.all()
    (near,), (away,) = (table["prediction"][~ordinary] for table in (limited, unlimited))
    assert abs(near - 3) < 4
    assert abs(away - 3) > 100


def test_nothing_depends_on_the_features_of_the_test_split(train: Callable[..., Path]) -> None:
    clean, spoilt = train("svr"), train("svr", spoilt=True)
    first, second = result_of(clean), result_of(spoilt)
    assert first["chosen"] == second["chosen"]
    assert first["inner_ccc"] == second["inner_ccc"]
    assert first["val"] == second["val"]
    assert first["test"] != second["test"]
