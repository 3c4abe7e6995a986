"""Stages of whole runs on real speech: nothing of the test part reaches anything fitted."""

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from small import Composed

from ser import results
from ser.__main__ import main
from ser.config import build
from ser.data.prepare import prepare
from ser.errors import UserError
from ser.runs.run import run, train

SMALL = [
    "representation.module.encoder.hidden=[8,8]",
    "representation.module.decoder.hidden=[8,8]",
    "representation.stopping.max_epochs=2",
]
AAE = [*SMALL, "representation=aae", "representation.module.discriminator.hidden=[8]"]
SVM = ["model=svm", "model.leave_out=session", "model.grid.C=[0.01,1]", "fold=session"]
SYSTEMS = {
    "pca": [*SVM, "representation=pca", "representation.size=[2,5]"],
    "lda": [*SVM, "representation=lda", "representation.size=[2,3]"],
    "aae": [*SVM, *AAE, "representation.size=[2,3]"],
    "vae": [*SVM, *SMALL, "representation=vae", "representation.size=2"],
    "cvae without classes": [*SVM, *SMALL, "representation=cvae_null", "representation.size=2"],
    "synthetic": [
        *SVM,
        *AAE,
        "representation.size=2",
        "train_on=synthetic",
        "synthetic_per_class=10",
    ],
    "both": [*SVM, *AAE, "representation.size=2", "train_on=both", "synthetic_per_class=10"],
    "aae under an mlp": [*AAE, "representation.size=2", "trainer.max_epochs=2", "fold=session"],
}


@pytest.fixture(scope="module")
def speech(few: list[str]) -> list[str]:
    """Overrides for 40 utterances of EMO-DB and 88 functionals."""
    return [*few, "features=egemaps"]


def left(folder: Path) -> dict[str, bytes | list]:
    """All that training leaves, but what is said of the test part."""
    found: dict[str, bytes | list] = {}
    for file in sorted(folder.rglob("*")):
        place = str(file.relative_to(folder))
        if file.suffix == ".skops":
            with zipfile.ZipFile(file) as parts:
                # Arrays are named by their place in memory.
                arrays = [name for name in parts.namelist() if name.endswith(".npy")]
                found[place] = sorted(parts.read(name) for name in arrays)
        elif file.suffix == ".ckpt":
            weights = torch.load(file, weights_only=True)["weights"]
            found[place] = [v.numpy().tobytes() for v in weights.values()]
        elif file.name == results.CODES:
            codes = pd.read_csv(file)
            found[place] = codes[codes["part"] != "test"].to_csv().encode()
        elif file.name == results.METRICS:
            table = pd.read_csv(file)
            kept = [column for column in table if not column.startswith("test/")]
            found[place] = table[kept].to_csv().encode()
        elif file.name == results.FITTED:
            facts = results.read_json(file) or {}
            facts.pop("monitored", None)  # names the test part, whose losses were recorded
            found[place] = sorted(map(str, facts.items()))
        elif file.is_file():
            found[place] = file.read_bytes()
    return found


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_test_part_of_garbage_changes_nothing_that_is_fitted_or_chosen(
    name: str, speech: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    outcomes = []
    for garbage in (False, True):
        folder = tmp_path / f"garbage-{garbage}"
        cfg, names = composed(*speech, *SYSTEMS[name], f"fitted={folder}/fitted", "fold.index=1")
        prepared = prepare(cfg)
        if garbage:
            data, speakers = prepared.data, prepared.corpus.table["speaker"]
            values = np.array(data.features.values)
            rows = data.features.utterances.get_indexer(data.fold.test)
            values[rows] = np.random.default_rng(0).normal(0, 1e6, values[rows].shape)
            features = replace(data.features, values=values)
            changed = build(cfg.data)(features, data.target, data.fold, speakers, cfg.seed)
            prepared = replace(prepared, data=changed)
        outcome = train(cfg, prepared, results.RunFolder(folder / "run"), names["model"], [])
        outcomes.append((outcome, left(folder / "run")))
    (honest, fitted), (spoilt, fitted_beside_garbage) = outcomes
    assert fitted == fitted_beside_garbage
    assert len(fitted) >= 5
    assert honest.details == spoilt.details
    assert np.array_equal(honest.predictions["val"], spoilt.predictions["val"])
    assert not np.array_equal(honest.predictions["test"], spoilt.predictions["test"])


def test_what_two_test_sessions_have_in_common_is_fitted_once(
    speech: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    """Of five sessions each test leaves four inner folds and the whole; two tests share one."""
    fitted = tmp_path / "fitted"
    for index, count in ((0, 5), (2, 9)):
        overrides = [*speech, *SYSTEMS["vae"], f"fitted={fitted}", f"fold.index={index}"]
        cfg, names = composed(*overrides)
        train(cfg, prepare(cfg), results.RunFolder(tmp_path / f"run-{index}"), names["model"], [])
        assert len(list(fitted.glob(f"*/{results.FITTED}"))) == count


@pytest.fixture(scope="module")
def finished(
    speech: list[str],
    composed: Callable[..., Composed],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A run of an SVM on codes of an AAE."""
    folder = tmp_path_factory.mktemp("run")
    cfg, names = composed(*speech, *SYSTEMS["aae"], f"fitted={folder}/fitted")
    (folder / ".hydra").mkdir()
    OmegaConf.save(cfg, folder / ".hydra" / "config.yaml")
    run(cfg, folder, names)
    return folder


def test_a_run_leaves_its_codes_and_says_what_it_chose(finished: Path) -> None:
    result = results.read_json(finished / results.RESULT)
    assert result is not None
    size = result["chosen"]["codes__size"]
    assert size in (2, 3)
    assert result["system"]["representation"] == "aae"
    assert result["representation"]["probe_ua"].keys() == {"trained", "untrained"}
    keys = (finished / "fitted_keys.txt").read_text().split()
    fits = {file.parent.name for file in (finished / "fitted").glob(f"*/{results.FITTED}")}
    assert len(keys) == len(set(keys)) == len(fits)
    assert set(keys) == fits
    codes = pd.read_csv(finished / "representation" / results.CODES)
    assert codes.columns.tolist() == [
        "utterance", "part", "truth", *(f"code_{i}" for i in range(size))
    ]  # fmt: skip
    assert codes["utterance"].is_unique
    assert len(codes) == 40
    assert codes["part"].value_counts()["test"] == 8
    metrics = pd.read_csv(finished / "representation" / results.METRICS)
    assert {"train/generator_loss", "test/generator_loss"} <= set(metrics)
    facts = results.read_json(finished / "representation" / results.FITTED)
    assert facts is not None
    assert np.shape(facts["centres"]) == (4, size)


def test_sample_draws_vectors_with_the_features_names(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "anger.csv"
    asked = ["sample", str(finished), "--component", "anger", "--count", "7", "--out", str(out)]
    assert main(asked) == 0
    table = pd.read_csv(out)
    assert table["class"].tolist() == ["anger"] * 7
    assert table.shape == (7, 89)
    assert table.columns[1] == "F0semitoneFrom27.5Hz_sma3nz_amean"
    first = out.read_bytes()
    assert main(asked) == 0
    assert out.read_bytes() == first
    capsys.readouterr()
    assert main(["sample", str(finished), "--count", "2"]) == 0
    every = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert every["class"].value_counts().tolist() == [2] * 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--component", "joy"], "--component joy: this run has anger, happiness"),
        (["--count", "0"], "--count 0: at least 1"),
    ],
)
def test_what_cannot_be_sampled_is_told(
    options: list[str], told: str, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(finished), *options]) == 1
    assert told in capsys.readouterr().err


def test_sampling_needs_a_run_that_can(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(tmp_path)]) == 1
    assert "no finished run" in capsys.readouterr().err
    plain = tmp_path / "plain"
    shutil.copytree(finished, plain, ignore=shutil.ignore_patterns("fitted"))
    cfg = OmegaConf.load(plain / ".hydra" / "config.yaml")
    cfg.representation = None
    OmegaConf.save(cfg, plain / ".hydra" / "config.yaml")
    result = results.read_sealed(plain / results.RESULT)
    assert result is not None
    del result["options"]  # the digest of the configuration
    results.write_sealed(plain / results.RESULT, result)
    assert main(["sample", str(plain)]) == 1
    assert "no representation to draw from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["train_on=both", "model=svm"],
            "needs a representation that can generate samples: representation=aae",
        ),
        (["train_on=fake"], "train_on=fake: input should be 'real', 'synthetic' or 'both'"),
        (["representation=pca"], "only model=svm|logistic|ridge|svr choose one of several"),
        (
            [
                "representation=aae",
                "representation.size=2",
                "train_on=both",
                "synthetic_per_class=10",
            ],
            "train_on=both is for model=svm",
        ),
        (["representation=pca", "features=lld", "model=cnn"], "needs utterance-level features"),
        (
            ["representation=aae", "model=svm", "synthetic_per_class=0"],
            "synthetic_per_class=0: input should be greater than or equal to 1",
        ),
    ],
)
def test_combinations_that_cannot_be_are_told_before_anything_is_loaded(
    overrides: list[str], told: str, composed: Callable[..., Composed], tmp_path: Path
) -> None:
    cfg, names = composed(*overrides)
    with pytest.raises(UserError) as error:
        run(cfg, tmp_path, names)
    assert told in str(error.value)


def test_pca_draws_nothing(
    speech: list[str], composed: Callable[..., Composed], tmp_path: Path
) -> None:
    overrides = [*SYSTEMS["pca"], "train_on=both", f"fitted={tmp_path}/fitted"]
    cfg, names = composed(*speech, *overrides)
    with pytest.raises(UserError, match="cannot be sampled; representation=aae can"):
        run(cfg, tmp_path, names)
