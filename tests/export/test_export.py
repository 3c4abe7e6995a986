"""Exported models give the probabilities of their runs, and cards the scores."""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from safetensors.torch import load_file
from small import SMALL, Composed, without_digests

from ser import results
from ser.__main__ import main
from ser.corpora import audio
from ser.export import checking, program
from ser.export.graph import Graph
from ser.inference.loading import Recogniser, load
from ser.runs.run import run

EMOTIONS = ("anger", "happiness", "neutral", "sadness")


Trained = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(
    few: list[str], composed: Callable[..., Composed], tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    """The folder of a run, trained once."""
    folders: dict[tuple[str, ...], Path] = {}
    shared = [*few, f"fitted={tmp_path_factory.mktemp('fitted')}", "fold=session"]
    shared += ["trainer.max_epochs=2", "data.batch_size=16"]

    def train(*overrides: str) -> Path:
        if overrides not in folders:
            folder = folders[overrides] = tmp_path_factory.mktemp("run")
            cfg, names = composed(*shared, *overrides)
            (folder / ".hydra").mkdir()
            hydra = OmegaConf.create({"hydra": {"runtime": {"choices": dict(names)}}})
            OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
            OmegaConf.save(hydra, folder / ".hydra" / "hydra.yaml")
            OmegaConf.save(list(overrides), folder / ".hydra" / "overrides.yaml")
            run(cfg, folder, names)
        return folders[overrides]

    return train


def exported(folder: Path, out: Path, *options: str) -> Path:
    assert main(["export", str(folder), "--out", str(out), *options]) == 0
    return out


def speech(recogniser: Recogniser, root: Path) -> list[np.ndarray]:
    """Features of real speech, of several lengths."""
    files = sorted((root / "wav").glob("08*.wav"))[:5]
    return [recogniser.extractor(*audio.read(file)) for file in files]


MLP = ("model=mlp", "features=egemaps", *SMALL["mlp"])
# In windows, as these are less than an utterance. Of fewer layers, as a graph takes seconds.
FRAMES = ("features=lld", "data.max_frames=48")
SHALLOW = [f"networks.frame.{name}.channels=[8,8]" for name in ("encoder", "decoder")]
CODES = (
    *("representation.size=3", "representation.stopping.max_epochs=1"),
    *(f"representation.module.{name}.hidden=[8]" for name in ("encoder", "decoder")),
)
LSTM = ("model.encoder.width=6", "model.encoder.hidden=[6]", "model.encoder.layers=1")
BLSTM = ("model=blstm", *LSTM, "calibrate=temperature", "data.max_frames=8")
TWO = ("target.classes=[anger,sadness]",)
SVM = ("model=svm", "features=egemaps", "model.grid.C=[0.01]")
# Of each kind of graph one goes through onnxruntime.
SYSTEMS = {
    "mlp": (*MLP, "calibrate=temperature"),
    "aae": ("model=aae", *FRAMES, *SMALL["aae"], *SHALLOW),
    "svm": SVM,
    "cvae and blstm": (*BLSTM, *TWO, "features=logmel40", "representation=cvae", *CODES),
    "sequences and mlp": (
        *("model=mlp", "representation=blstm_autoencoder", "features=logmel40", *SMALL["mlp"]),
        *("segments=context", "representation.upper.stopping.max_epochs=1"),
        *("representation.upper.module.encoder.pooling=last", "representation.lower.size=4"),
        *("representation.lower.stopping.max_epochs=2", "representation.lower.module.hidden=[8]"),
        "representation.lower.module.epochs_each=1",
    ),
}
# What differs from these by a few lines is compared before it is written down.
OTHERS = {
    "aae": ("model=aae", "features=egemaps", *SMALL["aae"]),
    "cnn": ("model=cnn", "features=lld", "data.max_frames=300", *SMALL["cnn"]),
    "lstm": ("model=lstm", *FRAMES, *LSTM, "model.encoder.pooling=last"),
    "softmax": ("model=softmax", "features=logmel40", "segments=context"),
    "pyramid": ("model=pyramid", "features=logmel40", "segments=cut"),
    "svm of two": (*SVM, *TWO),
    "logistic": ("model=logistic", "features=egemaps", "model.grid.C=[0.01]"),
    "ridge": ("model=ridge", "features=egemaps", "model.grid.alpha=[100.0]"),
    "pca and svm": (*SVM, "representation=pca", "representation.size=4"),
    "lda and mlp": (*MLP, "representation=lda", "representation.size=2"),
    "vae and mlp": (*MLP, "representation=vae", *CODES),
}


@pytest.fixture(scope="module")
def exports(
    trained: Trained, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Path]]:
    """The folders of a system's run and of its export, which is made once."""
    known: dict[str, tuple[Path, Path]] = {}

    def make(name: str) -> tuple[Path, Path]:
        if name not in known:
            folder = trained(*SYSTEMS[name])
            known[name] = folder, exported(folder, tmp_path_factory.mktemp("export"))
        return known[name]

    return make


Exports = Callable[[str], tuple[Path, Path]]


@pytest.mark.slow
@pytest.mark.parametrize("name", SYSTEMS)
def test_onnx_model_gives_the_probabilities_of_the_run(
    name: str, exports: Exports, emodb_root: Path
) -> None:
    folder, out = exports(name)
    recogniser = load(folder)
    arrays = speech(recogniser, emodb_root)
    expected = recogniser(arrays)
    assert expected.std(axis=0).max() > 0
    predict = checking.onnx_predictor((out / "model.onnx").read_bytes())
    np.testing.assert_allclose(predict(checking.pad(arrays)), expected, atol=1e-5)
    # One alone, as it is with others that are longer.
    np.testing.assert_allclose(predict(checking.pad(arrays[:1])), expected[:1], atol=1e-5)
    if recogniser.extractor.level == "frame":
        short = [arrays[0][:1], arrays[1][:37]]
        inputs = checking.pad(short)
        np.testing.assert_allclose(predict(inputs), recogniser(short), atol=1e-5)
        inputs["features"][0, 1:] = 1e6  # what stands beyond an utterance's end
        np.testing.assert_allclose(predict(inputs), recogniser(short), atol=1e-5)


@pytest.mark.parametrize("name", OTHERS)
def test_graph_gives_the_probabilities_of_the_run(
    name: str, trained: Trained, emodb_root: Path
) -> None:
    recogniser = load(trained(*OTHERS[name]))
    arrays = speech(recogniser, emodb_root)
    expected = recogniser(arrays)
    assert expected.std(axis=0).max() > 0
    predict = checking.torch_predictor(Graph(recogniser).eval())
    np.testing.assert_allclose(predict(checking.pad(arrays)), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["aae", "svm", "cvae and blstm"])
def test_loaded_weights_give_the_probabilities_of_the_run(
    name: str, exports: Exports, emodb_root: Path
) -> None:
    folder, out = exports(name)
    recogniser, graph = load(folder), Graph(load(folder)).eval()
    with torch.no_grad():
        for numbers in (*graph.parameters(), *graph.buffers()):
            numbers.zero_()
    arrays = speech(recogniser, emodb_root)
    predict, inputs = checking.torch_predictor(graph), checking.pad(arrays)
    assert not np.allclose(predict(inputs), recogniser(arrays), atol=1e-3)
    program.load_weights(graph, out / "model.safetensors")
    np.testing.assert_allclose(predict(inputs), recogniser(arrays), atol=1e-5)


def test_export_contains_only_weights_that_are_used(trained: Trained, tmp_path: Path) -> None:
    out = exported(trained(*OTHERS["aae"]), tmp_path / "out", "--format", "safetensors")
    assert sorted(file.name for file in out.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "training_range.npz"
    ]  # fmt: skip
    names = load_file(out / "model.safetensors")
    assert {"classify.standardise.mean", "classify.standardise.scale"} < set(names)
    assert not [name for name in names if "decoder" in name or "discriminator" in name]
    head = names["classify.model.latents.y.head.0.weight"]
    assert head.dtype == torch.float32
    assert len(head) == len(EMOTIONS)
    front, text = card(out)
    assert front["library_name"] == "pytorch"
    assert "onnxruntime" not in text
    assert "Probabilities are uncalibrated" in text


# ---- the card and the config


def card(out: Path) -> tuple[dict, str]:
    """The front matter and the text of a card."""
    _, front, text = (out / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


def test_card_contains_the_scores_of_the_run(exports: Exports) -> None:
    folder, out = exports("mlp")
    result = results.read_json(folder / "result.json")
    assert result is not None
    front, text = card(out)
    (model,) = front["model-index"]
    (entry,) = model["results"]
    metrics = {each["type"]: each["value"] for each in entry["metrics"]}
    wanted = {"recall": "ua", "accuracy": "wa", "f1": "f1", "ece": "ece"}
    assert metrics == {name: result["test"][key] for name, key in wanted.items()}
    assert (front["pipeline_tag"], front["license"]) == ("audio-classification", "other")
    assert entry["dataset"]["split"] == "test"
    scores = text.partition("| UA (")[2].partition("\n")[0]
    assert f"| {100 * result['test']['ua']:.1f} |" in scores
    # Two speakers are tested, so that there is an interval, however wide.
    assert " to " in scores
    for heading in ("Use", "Data", "Scores", "Limits", "Licence"):
        assert f"\n## {heading}\n" in text
    for name in (*EMOTIONS, "gender", "female", "male", "speakers"):
        assert name in text
    assert "No licence has been chosen" in text
    assert "uncalibrated" not in text


def test_card_contains_remarks_in_bold(exports: Exports, tmp_path: Path) -> None:
    _, out = exports("mlp")
    _, text = card(out)
    assert "**calibrated: probabilities use a temperature" in text
    folder = shutil.copytree(exports("mlp")[0], tmp_path / "run")
    result = results.read_json(folder / "result.json")
    assert result is not None
    result["remarks"].append("speaker dependent: speakers are in train and test")
    result["speaker_independent"] = False
    results.write_sealed(folder / "result.json", result)
    options = ("--format", "safetensors", "--licence", "cc-by-nc-4.0")
    front, text = card(exported(folder, tmp_path / "out", *options))
    assert "**speaker dependent: speakers are in train and test**" in text
    assert "Speakers of the training split were tested" in text
    assert front["license"] == "cc-by-nc-4.0"
    assert "No licence has been chosen" not in text


def test_card_contains_scores_on_other_corpora(
    exports: Exports, emodb_root: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exports("svm")[0], tmp_path / "run")
    # The last of a speaker's anger and sadness, of which the run knows the first.
    files = {kind: sorted((emodb_root / "wav").glob(f"08*{kind}?.wav"))[-1] for kind in "WT"}
    rows = [f"{files['W']},a,anger", f"{files['T']},b,sadness"]
    (tmp_path / "mine.csv").write_text("\n".join(["file,speaker,emotion", *rows]) + "\n")
    other = ["corpus=manifest", f"corpus.root={tmp_path}/mine.csv", f"store.root={tmp_path}/store"]
    assert main(["evaluate", str(folder), *other]) == 0
    _, text = card(exported(folder, tmp_path / "out", "--format", "safetensors"))
    assert "fitted on the training and validation splits together" in text
    evaluation = results.read_json(folder / "evaluated" / "mine" / "evaluation.json")
    assert evaluation is not None
    table = text.partition("### On other corpora")[2]
    assert f"| mine | {100 * evaluation['test']['ua']:.1f} |" in table


def test_config_describes_inputs_and_outputs(exports: Exports) -> None:
    _, out = exports("aae")
    facts = json.loads((out / "config.json").read_text())
    assert [facts["id2label"][str(n)] for n in range(4)] == facts["classes"] == list(EMOTIONS)
    assert facts["inputs"]["features"]["shape"] == ["utterances", "frames", 65]
    assert facts["features"]["set"] == "ComParE_2016"
    assert (facts["window"], facts["sampling_rate"]) == (48, 16000)
    assert len(facts["columns"]) == 65


def test_no_file_contains_a_path_of_this_machine(exports: Exports) -> None:
    folder, out = exports("aae")
    code = Path(program.__file__).parent.parent
    for file in out.iterdir():
        for place in (code, folder, Path(torch.__file__).parent):
            assert str(place).encode() not in file.read_bytes(), (file.name, place)


@pytest.mark.parametrize("name", ["aae", "mlp", "sequences and mlp"])
def test_code_in_the_card_works(
    name: str,
    exports: Exports,
    emodb_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, made = exports(name)
    out = shutil.copytree(made, tmp_path / "out")
    shutil.copy(emodb_root / "wav" / "08a01Na.wav", out / "speech.wav")
    monkeypatch.chdir(out)
    _, text = card(out)
    names: dict = {}
    capsys.readouterr()  # of the training, if this test is the first
    for block in text.split("```python\n")[1:]:
        exec(block.partition("```")[0], names)
    found = eval(capsys.readouterr().out, {"np": np})
    recogniser = load(folder)
    arrays = [recogniser.extractor(*audio.read(out / "speech.wav"))]
    (expected,) = recogniser(arrays)
    assert [names["distance"]] == recogniser.distances(arrays)
    assert tuple(found) == EMOTIONS
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-5)


# ---- the comparison with the run, and the folder


def test_comparison_uses_the_available_audio(
    exports: Exports, emodb_root: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exports("aae")[0], tmp_path / "run")
    recogniser, file = load(folder), folder / ".hydra" / "config.yaml"
    on, arrays = checking.features_of_run(recogniser, OmegaConf.load(file))  # type: ignore[arg-type]
    assert on == "8 utterances of the run"
    assert len({len(each) for each in arrays}) > 4
    on, arrays = checking.features_of_recordings(recogniser, [emodb_root / "wav" / "08a01Na.wav"])
    assert (on, len(arrays)) == ("1 recording", 1)
    cfg = OmegaConf.load(file)
    cfg.corpus.root = str(tmp_path / "away.csv")
    on, arrays = checking.features_of_run(recogniser, cfg)  # type: ignore[arg-type]
    assert on == "random features"
    assert max(map(len, arrays)) > 100
    predict = checking.onnx_predictor((exports("aae")[1] / "model.onnx").read_bytes())
    assert checking.compare(predict, recogniser, on, arrays).difference < 1e-5


def test_model_with_other_probabilities_is_not_written(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    folder = trained(*SYSTEMS["mlp"])
    exported(folder, out, "--format", "safetensors")
    (out / "model.onnx").write_bytes(b"of another day")
    content = (out / "model.safetensors").read_bytes()
    monkeypatch.setattr(program, "to_onnx", lambda program, output, metadata: b"")
    monkeypatch.setattr(
        checking, "onnx_predictor", lambda content: lambda inputs: np.full((1, 4), 0.25)
    )
    assert main(["export", str(folder), "--out", str(out)]) == 1
    assert not (out / "model.onnx").exists()
    assert (out / "model.safetensors").read_bytes() == content


def test_export_is_reproducible_and_prints_no_warnings(
    exports: Exports, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, first = exports("mlp")
    capfd.readouterr()
    second = exported(folder, tmp_path / "out")
    captured = capfd.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) == 6
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name


# ---- errors


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ((*MLP, "data.standardise=speaker"), "standardises by speaker"),
        ((*SVM[:2], "+model.grid.kernel=[rbf]"), "is not linear in its features"),
        (
            ("model=dnn_elm", "features=logmel40", "segments=context", "model.units=4"),
            "statistics of its segments, which cannot be exported",
        ),
    ],
)
def test_run_that_cannot_be_a_graph_raises_an_error(
    overrides: tuple[str, ...],
    reason: str,
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["export", str(trained(*overrides)), "--out", str(tmp_path / "out")]) == 1
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_codes_conditioned_on_true_classes_raise_an_error(
    exports: Exports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(exports("cvae and blstm")[0], tmp_path / "run")
    without_digests(folder)
    cfg = OmegaConf.load(folder / ".hydra" / "config.yaml")
    cfg.representation.module.reading = "oracle"
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    assert main(["export", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert "true class, which is unknown for new speech" in capsys.readouterr().err


def test_wrong_option_raises_a_clear_error(
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*arguments: str | Path) -> str:
        assert main(["export", *map(str, arguments)]) == 1
        return capsys.readouterr().err

    folder = trained(*SYSTEMS["mlp"])
    assert "no finished run" in refused(tmp_path)
    for name in ("a", "b"):
        shutil.copytree(folder, tmp_path / "runs" / name)
    message = refused(tmp_path / "runs")
    assert "2 finished runs; give the folder of one" in message
    assert str(tmp_path / "runs" / "a") in message
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert "is not an export; choose a new or an empty folder" in refused(
        folder, "--out", tmp_path / "mine"
    )
    assert os.listdir(tmp_path / "mine") == ["notes.txt"]
    options = ("--format", "safetensors", "--out", tmp_path / "out")
    assert "missing: no such file" in refused(folder, *options, "--audio", tmp_path / "absent.wav")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "ser.export.find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    assert 'needs onnxscript: pip install -e ".[export]"' in refused(folder)
