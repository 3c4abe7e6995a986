"""What a representation has learned is measured against the mean and the untrained network."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made import CLASSES, aae, classes_in, fitting, pca
from sklearn.decomposition import PCA

from ser.data.batches import UNLABELLED
from ser.models.denoising import Deep
from ser.representations.learned import Learned
from ser.runs.quality import Splits, examined, measure
from ser.training.stopping import FixedEpochs

X, Y = classes_in(20, 400)
SPLITS: Splits = {"train": (X[:300], Y[:300]), "val": (X[300:], Y[300:])}


def denoising(root: Path, *, lr: float, epochs: int = 5) -> Learned:
    optimiser = partial(torch.optim.SGD, lr=lr)
    module = partial(Deep, hidden=[16], corruption=0.0, optimiser=optimiser)
    stopping = partial(FixedEpochs, max_epochs=epochs)
    return Learned(fitting(root), module=module, size=6, clip=10, batch_size=32, stopping=stopping)


def test_untrained_network_is_the_one_that_training_began_with(tmp_path: Path) -> None:
    recipe = denoising(tmp_path, lr=0.0, epochs=1)
    fitted = recipe.fit(*SPLITS["train"], 6)
    state = torch.get_rng_state()
    untrained = recipe.untrained(fitted)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(untrained.transform(X), fitted.transform(X))
    quality = measure(recipe, fitted, SPLITS, CLASSES)
    assert quality["probe_ua"]["trained"] == quality["probe_ua"]["untrained"]


def test_training_is_seen_in_r2_and_its_absence_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trained, still = denoising(tmp_path / "a", lr=0.05), denoising(tmp_path / "b", lr=1e-9)
    qualities = []
    for recipe, warned in ((trained, False), (still, True)):
        caplog.clear()
        fitted = recipe.fit(*SPLITS["train"], 6)
        qualities.append(measure(recipe, fitted, SPLITS, CLASSES))
        said = "reconstructs train and val no better than the mean" in caplog.text
        assert said is warned
        assert "linear probe of its codes on val: UA" in caplog.text
    reconstructed = fitted.module.reconstruct  # type: ignore[attr-defined]
    x = torch.from_numpy(fitted.standardiser(SPLITS["val"][0]))  # type: ignore[attr-defined]
    (batch,) = fitted.batches(*SPLITS["val"])  # type: ignore[attr-defined]
    with torch.inference_mode():
        error = (reconstructed(batch) - x).square().sum()
    expected = 1 - error / (x - x.mean(0)).square().sum()
    assert qualities[0]["r2"]["val"] > 0.3
    assert qualities[1]["r2"]["val"] == pytest.approx(float(expected), abs=1e-4)


def test_projection_has_its_explained_variance_and_no_untrained_network(tmp_path: Path) -> None:
    recipe = pca(tmp_path, [2, 5])
    quality = measure(recipe, recipe.fit(*SPLITS["train"], 2), SPLITS, CLASSES)
    z = (X[:300] - X[:300].mean(0)) / X[:300].std(0)
    shares = PCA(2, svd_solver="full").fit(z).explained_variance_ratio_
    assert quality["explained_variance"] == pytest.approx(shares.sum(), rel=1e-3)
    assert quality["probe_ua"].keys() == {"trained"}
    assert quality["probe_ua"]["trained"] > 0.8


def test_labels_of_validation_reach_no_code(tmp_path: Path) -> None:
    recipe = aae(tmp_path)
    fitted = recipe.fit(*SPLITS["train"], 2)
    mislabelled = {**SPLITS, "val": (X[300:], (Y[300:] + 1) % CLASSES)}
    first, second = (measure(recipe, fitted, each, CLASSES)["r2"] for each in (SPLITS, mislabelled))
    assert first == second
    only_train = measure(recipe, fitted, {"train": SPLITS["train"]}, CLASSES)
    assert only_train.keys() == {"r2"}


def test_large_splits_are_examined_in_part() -> None:
    assert examined(pd.Index(range(7))).tolist() == list(range(7))
    some = examined(pd.Index(range(5_000)))
    assert len(some) == len(set(some)) == 1_000
    assert (some[0], some[-1]) == (0, 4_999)
    assert len(examined(pd.Index([]))) == 0


def test_codes_of_values_are_probed_by_ridge_regression(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    recipe, rng = pca(tmp_path, [2]), np.random.default_rng(0)
    unlabelled = {name: (x, np.full(len(x), UNLABELLED)) for name, (x, _) in SPLITS.items()}
    fitted = recipe.fit(*unlabelled["train"], 2)
    values = {name: fitted.transform(x)[:, 0] / 3 + 3 for name, (x, _) in unlabelled.items()}
    quality = measure(recipe, fitted, unlabelled, 0, values)
    assert quality["probe_ccc"]["trained"] == pytest.approx(1, abs=1e-3)
    assert "linear probe of its codes on val: CCC 1.000" in caplog.text
    noise = {name: rng.normal(size=len(each)) for name, each in values.items()}
    chance = measure(recipe, fitted, unlabelled, 0, noise)["probe_ccc"]["trained"]
    assert abs(chance) < 0.1
