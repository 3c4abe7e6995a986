"""Runs on features of pretrained encoders: layers, and predictions from audio."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from omegaconf import OmegaConf
from small import Composed

from ser.corpora import audio
from ser.errors import UserError
from ser.export import card
from ser.export.graph import Graph
from ser.inference.loading import Recogniser, load
from ser.models.estimator import Estimator
from ser.runs.run import run

RATE = 16000
SVM = ["model=svm", "model.grid.C=[0.1,1.0]"]
CHOSEN = ["features=encoder_chosen", "layer_choice.grid.C=[0.1,1.0]"]
SHORT = ["trainer.max_epochs=3", "data.batch_size=8"]


def write_corpus(folder: Path, noisy: tuple[int, ...] = ()) -> Path:
    """Write 24 recordings of six speakers and two classes of coloured noise.

    Recordings of noisy speakers are white noise.
    """
    rng, rows = np.random.default_rng(1), []
    for number in range(24):
        kind, speaker = number % 2, number // 2 % 6
        signal = rng.normal(0, 0.1, RATE // 2 + 500 * number)
        signal = np.cumsum(signal) * 0.02 if kind and speaker not in noisy else signal
        soundfile.write(folder / f"{number:02d}.wav", signal.clip(-1, 1), RATE)
        rows.append([f"{number:02d}.wav", speaker, speaker // 2, ("low", "high")[kind]])
    table = pd.DataFrame(rows, columns=["file", "speaker", "session", "emotion"])
    table.to_csv(folder / "made.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def train(
    corpus: Path, tiny_encoders: Path, composed: Callable[..., Composed]
) -> Callable[..., Path]:
    def train_once(name: str, *overrides: str, root: Path = corpus) -> Path:
        options = [
            *("corpus=manifest", f"corpus.root={root}/made.csv", "fold=session"),
            *(f"store.root={corpus}/store", f"fitted={corpus}/fitted", "store.workers=1"),
            f"features.model={tiny_encoders}/wavlm",
        ]
        cfg, names = composed(*options, *overrides)
        run(cfg, corpus / name, names)
        (corpus / name / ".hydra").mkdir()  # as Hydra leaves it
        OmegaConf.save(cfg, corpus / name / ".hydra" / "config.yaml")
        return corpus / name

    return train_once


@pytest.fixture(scope="module")
def svm(train: Callable[..., Path]) -> Path:
    return train("svm", "features=encoder", *SVM)


def result_of(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def assert_parity(folder: Path, corpus: Path) -> None:
    """Predictions of the test split from its audio are those of the run."""
    recogniser = load(folder)
    table = pd.read_csv(folder / "predictions.csv", dtype={"utterance": str})
    table = table[table["part"] == "test"]
    arrays = [
        recogniser.extractor(*audio.read(corpus / f"{utterance}.wav"))
        for utterance in table["utterance"]
    ]
    columns = [f"p_{name}" for name in recogniser.classes]
    np.testing.assert_allclose(recogniser(arrays), table[columns], atol=1e-6)


def assert_same_graph(recogniser: Recogniser) -> None:
    """The graph of an export gives the probabilities of the run."""
    x = torch.randn(4, recogniser.extractor.dim, generator=torch.manual_seed(0))
    expected = recogniser(list(x.numpy()))
    np.testing.assert_allclose(Graph(recogniser).eval()(x)[0].detach(), expected, atol=1e-5)


def test_inner_folds_choose_the_layer(svm: Path, corpus: Path) -> None:
    result = result_of(svm)
    scores = result["inner_ua_by_layer"]
    assert list(scores) == ["0", "1", "2"]
    assert result["layer"] == result["chosen"]["encoder__layer"]
    assert scores[str(result["layer"])] == max(scores.values()) == result["inner_ua"]
    assert_parity(svm, corpus)


def test_the_chosen_layer_is_that_of_a_run_on_it_alone(
    svm: Path, train: Callable[..., Path]
) -> None:
    layer = result_of(svm)["layer"]
    alone = train("alone", "features=encoder", f"features.layer={layer}", *SVM)
    assert (svm / "predictions.csv").read_text() == (alone / "predictions.csv").read_text()


def test_a_layer_is_chosen_once_for_all_models_and_seeds(
    svm: Path, train: Callable[..., Path], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlp = train("mlp_chosen", *CHOSEN, "model=mlp", *SHORT)
    expected = result_of(svm)
    facts = {name: expected[name] for name in ("layer", "inner_ua_by_layer")}
    assert facts.items() <= result_of(mlp).items()
    assert_parity(mlp, corpus)
    assert_same_graph(load(mlp))
    layer = f"features.layer={facts['layer']}"
    alone = train("mlp_alone", "features=encoder", layer, "model=mlp", *SHORT)
    assert (mlp / "predictions.csv").read_text() == (alone / "predictions.csv").read_text()

    def choose_again(*args: object, **options: object) -> None:
        raise AssertionError("the choice is not shared")

    monkeypatch.setattr(Estimator, "choose", choose_again)
    other = train("other_seed", *CHOSEN, "model=mlp", "seed=1", *SHORT)
    assert facts.items() <= result_of(other).items()


def test_noise_in_test_audio_leaves_the_chosen_layer_and_the_training_unchanged(
    train: Callable[..., Path], corpus: Path, tmp_path: Path
) -> None:
    system = [*CHOSEN, "model=mlp", *SHORT]
    clean = result_of(train("clean", *system))
    tested = tuple(map(int, clean["speakers"]["test"]))
    assert tested
    noisy = result_of(train("noisy", *system, root=write_corpus(tmp_path, tested)))
    assert noisy["run_key"] != clean["run_key"]
    for name in ("layer", "inner_ua_by_layer", "val", "best_epoch"):
        assert noisy[name] == clean[name]
    spoilt = write_corpus(tmp_path, tuple(map(int, clean["speakers"]["val"])))
    other = result_of(train("spoilt", *system, root=spoilt))
    assert other["inner_ua_by_layer"] != clean["inner_ua_by_layer"]  # validation takes part


def test_an_export_selects_the_layer_and_its_card_names_the_encoder(svm: Path) -> None:
    recogniser = load(svm)
    assert_same_graph(recogniser)
    content = card.about_encoder(recogniser)
    assert content is not None
    assert content.pop("digest") == recogniser.extractor.files.digest  # type: ignore[attr-defined]
    assert content == {
        "name": "wavlm",
        "revision": "a local folder",
        "layers": f"layer {result_of(svm)['layer']}",
        "licence": "not stated in its folder",
    }


@pytest.mark.parametrize("model", ["mlp", "aae"])
def test_weights_of_layers_are_learned_and_reported(
    model: str, train: Callable[..., Path], corpus: Path
) -> None:
    folder = train(model, "features=encoder", f"model={model}_layer_sum", *SHORT)
    weights = result_of(folder)["layer_weights"]
    assert list(weights) == ["0", "1", "2"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-5)
    assert len(set(weights.values())) == 3
    assert_parity(folder, corpus)
    assert_same_graph(load(folder))


def test_frames_feed_networks_of_sequences(train: Callable[..., Path], corpus: Path) -> None:
    lstm = ["model=lstm", "model.encoder.width=8", "model.encoder.hidden=[8]", *SHORT]
    folder = train("lstm", "features=encoder_frames", "in_memory=false", *lstm)
    assert_parity(folder, corpus)
    again = train("again", "features=encoder_frames", *lstm)
    assert (folder / "predictions.csv").read_text() == (again / "predictions.csv").read_text()


def test_the_test_split_does_not_influence_the_choice(
    svm: Path, train: Callable[..., Path], corpus: Path
) -> None:
    # Another layer may be the best of the test split; inner folds do not contain its speakers.
    result = result_of(svm)
    inside = {*result["speakers"]["train"], *result["speakers"]["val"]}
    assert inside.isdisjoint(result["speakers"]["test"])
    assert result["fitted_on"]["utterances"] == 24 - sum(result["class_counts"]["test"].values())


def test_predictions_need_the_encoder_of_the_run(
    svm: Path, tiny_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = shutil.copytree(svm, tmp_path / "run")
    config = moved / ".hydra" / "config.yaml"
    content = yaml.safe_load(config.read_text())
    content["features"]["model"] = "../elsewhere/wavlm"
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match="no such folder.*SER_ENCODERS"):
        load(moved)
    monkeypatch.setenv("SER_ENCODERS", str(tiny_encoders))
    load(moved)
    other = shutil.copytree(tiny_encoders / "hubert", tmp_path / "others" / "wavlm")
    monkeypatch.setenv("SER_ENCODERS", str(other.parent))
    with pytest.raises(UserError, match="an encoder with other weights"):
        load(moved)
