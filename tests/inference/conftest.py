"""Tiny finished runs of every kind of model, with all files that a command leaves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from finished import train
from small import SMALL, Composed

RATE = 16000
CODER = [f"representation.module.{name}.hidden=[8,8]" for name in ("encoder", "decoder")]
CODER += [f"representation.module.{name}.dropout=0.0" for name in ("encoder", "decoder")]
SVM = ["model=svm", "model.grid.C=[1.0]"]
SYSTEMS = {
    "mlp": ["model=mlp", *SMALL["mlp"]],
    "aae": ["model=aae", *SMALL["aae"]],
    "svm": [*SVM, "representation=pca", "representation.size=2"],
    "coder": [
        *("model=mlp", *SMALL["mlp"], "representation=aae", "representation.size=2", *CODER),
        "representation.module.discriminator.hidden=[8]",
        "representation.stopping.max_epochs=2",
    ],
}
# Runs of each system: `again/` has equal ones, `others/` those with another seed.
OTHERS: dict[str, list[str]] = {"runs": [], "others": ["seed=1"]}
GROUPS: dict[str, dict[str, list[str]]] = {
    "mlp": {**OTHERS, "again": []},
    "svm": {**OTHERS, "again": []},
    "coder": OTHERS,
    "aae": {"runs": []},
}


# Runs that predict values: two seeds, another model, and a value beside classes.
VALUE = ["target=activation", "target.bins=null"]
VALUES = {
    "seeds/0": [*VALUE, "model=mlp", *SMALL["mlp"]],
    "seeds/1": [*VALUE, "model=mlp", *SMALL["mlp"], "seed=1"],
    "aae": [*VALUE, "model=aae", *SMALL["aae"]],
    # In an order that is not that of the alphabet, as the tasks of `result.json` are.
    "tasks": ["target=attributes", "target.names=[emotion,activation]", "model=aae", *SMALL["aae"]],
}


def write_corpus(folder: Path) -> None:
    """Write 24 recordings of half a second, of six speakers and two classes, and a manifest."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(24):
        loud, speaker = number % 2, number // 2 % 6
        signal = rng.normal(0, (0.02, 0.2)[loud], RATE // 2)
        soundfile.write(folder / f"{number:02d}.wav", signal.clip(-1, 1), RATE)
        rows.append([f"{number:02d}.wav", speaker, speaker // 2, ("calm", "loud")[loud]])
    table = pd.DataFrame(rows, columns=["file", "speaker", "session", "emotion"])
    table.to_csv(folder / "made.csv", index=False)


@pytest.fixture(scope="session")
def tiny(composed: Callable[..., Composed], once: Callable[..., Path]) -> Path:
    """A folder with a manifest, its audio, a store and the runs of `GROUPS`; read-only."""

    def make(folder: Path) -> None:
        write_corpus(folder)
        for name, options in SYSTEMS.items():
            for group, more in GROUPS[name].items():
                folders = [f"fitted={folder}/fitted-{group}", f"store.root={folder}/store"]
                train(composed, folder, folder / group / name, *options, *more, *folders)

    return once("tiny", make)


def write_rated(folder: Path, seed: int) -> Path:
    """Write 24 recordings of six speakers, the louder the more active, and their manifest."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, activation in enumerate(np.linspace(1, 5, 24).round(2)):
        signal = rng.normal(0, 0.02 * activation, RATE // 2)
        name = f"rated{seed}-{number:02d}.wav"
        soundfile.write(folder / name, signal.clip(-1, 1), RATE)
        rows.append([name, number % 6, number % 6 // 2, activation, ("calm", "loud")[number // 12]])
    names = ["file", "speaker", "session", "activation", "emotion"]
    pd.DataFrame(rows, columns=names).to_csv(folder / "made.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def another_corpus() -> Callable[[Path, int], Path]:
    """Writes a corpus like that of `rated`, of other recordings."""
    return write_rated


@pytest.fixture(scope="session")
def rated(composed: Callable[..., Composed], once: Callable[..., Path]) -> Path:
    """A folder with a rated corpus, its store, and runs that predict its values; read-only."""

    def make(folder: Path) -> None:
        write_rated(folder, 0)
        for name, options in VALUES.items():
            train(composed, folder, folder / name, *options, f"store.root={folder}/store")

    return once("rated", make)
