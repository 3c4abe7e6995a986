"""A finished run, loaded without its corpus, tells of speech what it told of it in its test."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf
from small import SMALL, Composed

from ser import results
from ser.config import CONF, run_key
from ser.errors import UserError
from ser.inference.artifacts import FACTS
from ser.inference.loading import load, load_all
from ser.inference.predict import predict
from ser.runs.run import run

EXPERIMENTS = sorted(
    str(path.relative_to(CONF / "experiment").with_suffix(""))
    for path in (CONF / "experiment").rglob("*.yaml")
)
# Those of encoders need one; test_encoder_runs compares their systems. Those of the benchmark are
# the same models with other folds. tests/runs/test_dry.py builds both.
LEFT_OUT = ("encoders/", "benchmark/")
HONEST = [
    name for name in EXPERIMENTS if not name.endswith("oracle") and not name.startswith(LEFT_OUT)
]


def small(cfg: OmegaConf) -> list[str]:
    """Overrides by which an experiment is trained in a second, longer utterances in windows."""
    model = cfg.model._target_.rpartition(".")[2]
    if model == "Estimator":
        kind = ["model.grid={C: [1.0], kernel: [linear]}"]
    elif model == "AAE":
        kind = [*SMALL["aae"]]
    elif run_key.classifies_segments(cfg):
        hidden = list(cfg.model.encoder.hidden)
        kind = [f"model.encoder.hidden={[8, 2][: len(hidden)]}"]
    elif "LSTM" in cfg.model.encoder._target_:
        kind = ["model.encoder.width=8", "model.encoder.hidden=[8]"]
    elif "lower" in (cfg.representation or {}):
        kind = []  # a layer on an utterance's code
    else:
        kind = [*SMALL["cnn" if cfg.features.level == "frame" else "mlp"]]
    if "corruption" in (made := cfg.representation or {}).get("module", {}):
        kind += ["representation.size=2", *denoising("representation", made)]
    elif "lower" in made:
        kind += denoising("representation.lower", made.lower)
        kind += ["representation.upper.stopping.max_epochs=1"]
    elif cfg.representation is not None:
        kind = [*kind, "representation.size=2"]
        if "module" in cfg.representation:
            kind += [f"representation.module.{n}.hidden=[8,8]" for n in ("encoder", "decoder")]
            kind += ["representation.stopping.max_epochs=1", "representation.batch_size=64"]
        if "discriminator" in cfg.representation.get("module", {}):
            kind += ["representation.module.discriminator.hidden=[8]"]
    if cfg.trainer.stopping is not None:
        kind += ["trainer.stopping.max_epochs=1"]
    frames = 100 if cfg.representation is None else 10
    return [*kind, "trainer.max_epochs=1", "data.batch_size=16", f"data.max_frames={frames}"]


def denoising(node: str, made: DictConfig) -> list[str]:
    """Overrides of an autoencoder of one hidden layer."""
    epochs = [f"{node}.module.epochs_each=1"] if "epochs_each" in made.module else []
    return [*epochs, f"{node}.module.hidden=[8]", f"{node}.stopping.max_epochs=2"]


def kinds_of(options: Any) -> Any:
    """Options with the type of each number in its place."""
    if isinstance(options, Mapping):
        return {key: kinds_of(value) for key, value in options.items()}
    if isinstance(options, list):
        return [kinds_of(value) for value in options]
    return type(options).__name__ if isinstance(options, int | float) else options


Trained = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(
    few: list[str],
    composed: Callable[..., Composed],
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """Trains a system, once for all that differ in corpus, target, fold and numbers alone."""
    folders: dict[str, Path] = {}
    fitted = tmp_path_factory.mktemp("fitted")

    def train(*overrides: str) -> Path:
        cfg, names = composed(*overrides, *few)
        level = {"is13_functionals": "functionals", "is13_lld": "lld"}
        options = [
            *few,
            f"fitted={fitted}",
            "fold=session",
            f"features={level.get(names['features'], names['features'])}",
        ]
        if names["target"] == "emotion":
            options.append("target.classes=[anger,happiness,neutral,sadness]")
            options.append("target.min_agreement=0")
        cfg, names = composed(*overrides, *options, *small(cfg))
        kinds = kinds_of(run_key.result_options(cfg))
        key = run_key.digest({k: v for k, v in kinds.items() if k not in ("target", "corpus")})
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("run")
            (folders[key] / ".hydra").mkdir()
            OmegaConf.save(cfg, folders[key] / ".hydra" / "config.yaml")
            run(cfg, folders[key], names)
        return folders[key]

    return train


def of_test_part(folder: Path, root: Path) -> tuple[list[Path], np.ndarray]:
    """Files of the run's test part, and what it told of them, (N, C)."""
    table = results.RunFolder(folder).read_predictions()
    table = table[table["part"] == "test"]
    files = [root / "wav" / f"{Path(name).name}.wav" for name in table["utterance"]]
    return files, table.filter(like="p_").to_numpy()


def told(run: Path, files: list[Path], out: Path, **options: object) -> np.ndarray:
    """(N, C) probabilities by the command."""
    asked = {"window": None, "hop": None, "one_speaker": False, "workers": 2, **options}
    assert predict(run, files, out=out, **asked) == 0  # type: ignore[arg-type]
    return pd.read_csv(out).filter(like="p_").to_numpy()


@pytest.fixture(scope="module")
def compared(
    trained: Trained, emodb_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of a system's test part what its run told, and what is told of the files: all, and one."""
    known: dict[Path, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def compare(*overrides: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        folder = trained(*overrides)
        if folder not in known:
            files, expected = of_test_part(folder, emodb_root)
            out = tmp_path_factory.mktemp("told") / "told.csv"
            known[folder] = expected, told(folder, files, out), told(folder, files[3:4], out)
        return known[folder]

    return compare


@pytest.mark.slow
@pytest.mark.parametrize("experiment", HONEST)
def test_every_experiment_s_run_tells_of_a_recording_what_it_told_in_its_test(
    experiment: str, compared: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> None:
    expected, every, alone = compared(f"experiment={experiment}")
    assert expected.shape == every.shape == (8, expected.shape[1])
    assert every.std(axis=0).max() > 0
    if "recurrent" not in experiment:  # whose run coded utterances of all parts side by side
        assert np.array_equal(every, expected)  # batched as they were, to the bit
    np.testing.assert_allclose(every, expected, rtol=1e-5)
    np.testing.assert_allclose(alone, expected[3:4], rtol=1e-5)


# ---- what cannot be, told


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Callable[..., Path]:
    """A run's folder somewhere else, its config changed."""

    def copy(*overrides: str, **changes: object) -> Path:
        shutil.copytree(trained(*overrides), tmp_path / "run")
        file = tmp_path / "run" / ".hydra" / "config.yaml"
        cfg = OmegaConf.load(file)
        for key, value in changes.items():
            OmegaConf.update(cfg, key.replace("__", "."), value)
        OmegaConf.save(cfg, file)
        record = tmp_path / "run" / results.RESULT
        result = json.loads(record.read_text())
        del result["options"], result[results.SEAL]  # which would tell that the config has changed
        record.write_text(json.dumps(result))
        return tmp_path / "run"

    return copy


MLP = ["model=mlp", "features=functionals"]


def test_a_run_needs_neither_its_corpus_nor_its_store(
    copied: Callable[..., Path], emodb_root: Path, tmp_path: Path
) -> None:
    away = str(tmp_path / "away")
    folder = copied(*MLP, corpus__root=away, store__root=away, fitted=away)
    files, expected = of_test_part(folder, emodb_root)
    assert np.array_equal(told(folder, files, tmp_path / "told.csv"), expected)
    assert not Path(away).exists()


def test_a_run_that_standardises_by_speaker_wants_all_of_one(
    trained: Trained, emodb_root: Path, tmp_path: Path
) -> None:
    folder = trained(*MLP, "data.standardise=speaker")
    files, expected = of_test_part(folder, emodb_root)
    # The part has two speakers, who are each standardised by themselves.
    of_one = [n for n, file in enumerate(files) if file.name[:2] == files[0].name[:2]]
    mine = [files[n] for n in of_one]
    assert 2 < len(mine) < len(files)
    with pytest.raises(UserError, match="--one-speaker"):
        told(folder, mine, tmp_path / "told.csv")
    with pytest.raises(UserError, match="needs two utterances or more"):
        told(folder, mine[:1], tmp_path / "told.csv", one_speaker=True)
    found = told(folder, mine, tmp_path / "told.csv", one_speaker=True)
    np.testing.assert_allclose(found, expected[of_one], rtol=1e-5)


def test_class_weights_are_kept(trained: Trained, emodb_root: Path, tmp_path: Path) -> None:
    folder = trained(*MLP, "data.class_weights=balanced")
    files, expected = of_test_part(folder, emodb_root)
    assert np.array_equal(told(folder, files, tmp_path / "told.csv"), expected)


def test_codes_under_true_classes_predict_nothing(copied: Callable[..., Path]) -> None:
    options = ["experiment=latif2017/cvae_lstm"]
    folder = copied(*options, representation__module__reading="oracle")
    with pytest.raises(UserError, match="conditioned on the true class"):
        load(folder)


@pytest.mark.parametrize(
    "target",
    [
        *("os.system", "ser.results.files.write_text", "torch.hub.load"),
        "ser.training.trainer.logging.FileHandler",  # a class, and there by import alone
    ],
)
def test_nothing_is_built_that_a_run_has_no_use_for(
    target: str, copied: Callable[..., Path]
) -> None:
    folder = copied(*MLP, model___target_=target)
    with pytest.raises(UserError, match="not a component that may be built from a stored run"):
        load(folder)


def test_runs_without_what_prediction_needs_are_told(
    copied: Callable[..., Path], tmp_path: Path
) -> None:
    folder = copied(*MLP)
    (folder / "checkpoints" / FACTS).unlink()
    with pytest.raises(UserError, match=f"{FACTS} is missing .*; train the run again"):
        load_all(folder)
    (folder / "result.json").unlink()
    with pytest.raises(UserError, match="no finished run"):
        load_all(folder)
