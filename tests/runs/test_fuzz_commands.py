"""Random commands on a small corpus end with a result or one line: no traceback, no hang."""

import random
from pathlib import Path

import pytest
import warm
from small import SMALL

COMMANDS = 20
SECONDS = 60  # of one command
CODER = [
    "representation.size=2",
    "representation.stopping.max_epochs=2",
    "representation.module.encoder.hidden=[8,8]",
    "representation.module.decoder.hidden=[8,8]",
]
GROUPS = {
    "model": ["mlp", "svm", "logistic"],
    "fold": ["session_swap", "session", "speakers", "holdout", "random"],
    "target": ["emotion", "activation", "valence", "emotion_improvised"],
    "representation": ["identity", "pca", "lda", "autoencoder", "cvae"],
}
OPTIONS = {
    "fold.index": [0, 3, 9, 10**5],
    "data.batch_size": [1, 7, 10**6],
    "data.clip": ["null", 1e-300, 1e300],
    "data.standardise": ["speaker", "train"],
    "data.class_weights": ["balanced", "null"],
    "model.optimiser.lr": [1e-300, 1e3, 1e300],
    "model.grid": ["{C:[1e-300]}", "{C:[1e300]}", "{}"],
    "target.labelled_fraction": [0.01, 0.5],
    "target.classes": ["[anger]", "[anger,anger]", "[anger,joy]", "[anger,neutral]", "[]"],
    "fold.val_share": [0.001, 0.999],
    "fold.train": [1, 9, "[]", "[a,b]"],
    "representation.size": [1, 500, "[1,2]"],
    "trainer.patience": [1],
    "train_on": ["synthetic"],
    "fit_on": ["all", "train"],
    "calibrate": ["temperature"],
    "test": ["false"],
    "seed": [2**32 - 1],
    "corpus.name": ["ü", "=a", "a b"],
}


def command(rng: random.Random) -> list[str]:
    """Draw groups and up to three options."""
    chosen = [f"{group}={rng.choice(GROUPS[group])}" for group in GROUPS if rng.random() < 0.5]
    options = [f"{name}={rng.choice(OPTIONS[name])}" for name in rng.sample(sorted(OPTIONS), 3)]
    return [*chosen, *options[: rng.choice([1, 2, 3])]]


@pytest.mark.slow
def test_commands_end_with_a_result_or_a_line(few: list[str], tmp_path: Path) -> None:
    rng = random.Random(16)
    small = [*few, "features=egemaps", "trainer.max_epochs=2", f"fitted={tmp_path}/fitted"]
    failures, finished = [], 0
    for _ in range(COMMANDS):
        overrides = command(rng)
        network = SMALL["mlp"] if not {"model=svm", "model=logistic"} & set(overrides) else []
        if {"representation=autoencoder", "representation=cvae"} & set(overrides):
            network = [*network, *CODER]
        arguments = [warm.TRAIN, *small, *network, *overrides]
        done = warm.Process(arguments, cwd=tmp_path).result(SECONDS)
        output = done.stdout + done.stderr
        finished += done.returncode == 0
        if "Traceback" in output or done.returncode not in (0, 1):
            failures.append(f"{done.returncode} {overrides}: {output[-800:]}")
    assert not failures, "\n".join(failures)
    assert 0 < finished < COMMANDS
