"""Runs of all folds on a tiny corpus with classes and values, and what is published of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from omegaconf import OmegaConf
from small import Composed

from ser.__main__ import main
from ser.runs.run import run

RATE = 16000
CLASSES = ("calm", "loud", "mid")
SYSTEMS = {
    "svm": ["model=svm", "model.grid.C=[1.0]"],
    "ridge": ["model=ridge", "target=activation", "target.bins=null"],
}


def write_corpus(folder: Path) -> None:
    """Write 36 recordings of six speakers, the louder the more active, and their manifest."""
    rng = np.random.default_rng(0)
    rows = []
    for number, activation in enumerate(np.linspace(1, 5, 36).round(2)):
        signal = rng.normal(0, 0.02 * activation, RATE // 2)
        soundfile.write(folder / f"{number:02d}.wav", signal.clip(-1, 1), RATE)
        rows.append([f"{number:02d}.wav", f"s{number % 6}", activation, CLASSES[number // 12]])
    names = ["file", "speaker", "activation", "emotion"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "made.csv", index=False)


@pytest.fixture(scope="session")
def runs(composed: Callable[..., Composed], once: Callable[..., Path]) -> Path:
    """A folder with the corpus `made.csv`, and `runs/` with three folds of each system."""

    def make(folder: Path) -> None:
        write_corpus(folder)
        for name, options in SYSTEMS.items():
            for fold in range(3):
                overrides = [
                    *("corpus=manifest", f"corpus.root={folder}/made.csv", f"fold.index={fold}"),
                    *("features=egemaps", "fold=speaker_kfold", "fold.count=3"),
                    *(f"store.root={folder}/store", *options),
                ]
                cfg, choices = composed(*overrides)
                path = folder / "runs" / name / str(fold)
                _describe(path / ".hydra", cfg, choices, overrides)
                run(cfg, path, choices)

    return once("benchmark", make)


def _describe(hydra: Path, *content: object) -> None:
    """Write the files of Hydra: configuration, choices and overrides."""
    hydra.mkdir(parents=True)
    cfg, choices, overrides = content
    OmegaConf.save(cfg, hydra / "config.yaml")
    own = {"hydra": {"runtime": {"choices": dict(choices)}}}  # type: ignore[call-overload]
    OmegaConf.save(OmegaConf.create(own), hydra / "hydra.yaml")
    OmegaConf.save(OmegaConf.create(overrides), hydra / "overrides.yaml")


@pytest.fixture(scope="session")
def published(runs: Path, once: Callable[..., Path]) -> Path:
    """The runs as published in `open/`, and without truth and digests in `withheld/`; read-only."""

    def make(folder: Path) -> None:
        for system in SYSTEMS:
            words = ["publish", str(runs / "runs" / system), "--out"]
            assert main([*words, str(folder / "open")]) == 0
            assert main([*words, str(folder / "withheld"), "--no-truth"]) == 0

    return once("published", make)
