"""Networks as representations: what they learn, and that they are fitted once, wholly, or on."""

import csv
import pickle
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from made import CLASSES, aae, classes_in, pca

from ser import results
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.representations.learned import Network
from ser.training.phased import PhasedModel
from ser.training.stopping import Converged
from ser.training.trainer import Training


def weights(fitted: Network) -> dict[str, torch.Tensor]:
    return fitted.module.state_dict()


def equal(first: Network, second: Network) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


X, Y = classes_in(50, 800)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Four separated Gaussian classes in 50-D, the first half of them learned."""
    recipe = aae(tmp_path_factory.mktemp("toy"), epochs=80, width=64)
    return recipe.fit(X[:400], Y[:400], 2)


def test_separated_classes_are_carried_to_their_own_components(toy: Network) -> None:
    """A held-out half is encoded without its labels."""
    centres = np.asarray(toy.facts["centres"])
    distances = np.linalg.norm(toy.transform(X[400:])[:, None] - centres, axis=2)
    assert (distances.argmin(axis=1) == Y[400:]).mean() > 0.95


def test_samples_come_back_at_the_features_scale_and_as_their_class(toy: Network) -> None:
    labels = np.repeat(np.arange(CLASSES), 50)
    made = toy.sample(labels, seed=0)
    assert made.shape == (200, 50)
    means = np.stack([X[label == Y].mean(0) for label in range(CLASSES)])
    nearest = np.linalg.norm(made[:, None] - means, axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.95
    assert np.array_equal(made, toy.sample(labels, seed=0))
    assert not np.array_equal(made, toy.sample(labels, seed=1))


def test_what_was_fitted_is_found_again_and_another_is_not(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    first = aae(tmp_path).fit(x, y, 2)
    with mock.patch.object(Training, "fit", side_effect=AssertionError("trained again")):
        assert equal(first, aae(tmp_path).fit(x, y, 2))
        for other in (
            lambda: aae(tmp_path).fit(x + 1, y, 2),
            lambda: aae(tmp_path).fit(x, (y + 1) % 4, 2),
            lambda: aae(tmp_path).fit(x, y, 3),
        ):
            with pytest.raises(AssertionError, match="trained again"):
                other()


def test_a_fit_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    x, y = classes_in(6, 80)
    whole = aae(tmp_path / "whole").fit(x, y, 2)
    step, seen = PhasedModel.training_step, []

    def killing(self: PhasedModel, batch: object, number: int) -> None:
        if len(seen) == 5:
            raise Killed
        seen.append(number)
        step(self, batch, number)  # type: ignore[arg-type]

    with mock.patch.object(PhasedModel, "training_step", killing), pytest.raises(Killed):
        aae(tmp_path / "killed").fit(x, y, 2)
    (folder,) = (tmp_path / "killed").iterdir()
    assert not (folder / results.FITTED).exists()
    assert equal(whole, aae(tmp_path / "killed").fit(x, y, 2))
    assert (folder / "metrics.csv").read_text() == (whole.folder / "metrics.csv").read_text()


def test_watching_records_losses_of_others_and_changes_nothing(tmp_path: Path) -> None:
    x, y = classes_in(6, 120)
    plain = aae(tmp_path / "plain").fit(x[:80], y[:80], 2)
    watched = aae(tmp_path / "watched").fit(x[:80], y[:80], 2, watched=(x[80:], y[80:]))
    assert equal(plain, watched)
    rows = list(csv.DictReader((watched.folder / "metrics.csv").open()))
    phases = ("reconstruction", "discriminator", "generator")
    assert {f"test/{phase}_loss" for phase in phases} <= rows[0].keys()
    (header, *_) = csv.reader((plain.folder / "metrics.csv").open())
    assert "train/generator_loss" in header
    assert not any(name.startswith("test/") for name in header)
    # A fit that nobody watched is made again where its curves are wanted, to the same weights.
    again = aae(tmp_path / "plain").fit(x[:80], y[:80], 2, watched=(x[80:], y[80:]))
    assert equal(plain, again)
    assert (again.folder / "metrics.csv").read_text() == (
        watched.folder / "metrics.csv"
    ).read_text()


def test_a_saved_one_is_loaded_from_the_run_s_folder(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    recipe = aae(tmp_path / "fits")
    fitted = recipe.fit(x, y, 2)
    fitted.save(tmp_path / "run")
    loaded = recipe.load(tmp_path / "run")
    assert np.array_equal(loaded.transform(x), fitted.transform(x))
    with pytest.raises(UserError, match="holds no fitted representation"):
        recipe.load(tmp_path)


def test_codes_do_not_depend_on_who_else_is_encoded(tmp_path: Path) -> None:
    x, y = classes_in(6, 300)
    fitted = aae(tmp_path).fit(x, y, 2)
    np.testing.assert_allclose(fitted.transform(x)[:7], fitted.transform(x[:7]), rtol=1e-5)


def test_one_that_was_killed_after_its_end_ends_there(tmp_path: Path) -> None:
    """The rule has ended it, and nobody was told: another epoch would be another result."""
    rule = {"window": 2, "tolerance": 1e9, "max_epochs": 9, "below": None}
    stopping = partial(Converged, phases=["reconstruction"], **rule)  # type: ignore[arg-type]
    x, y = classes_in(6, 80)
    whole = aae(tmp_path / "whole", stopping=stopping).fit(x, y, 2)
    assert whole.facts["epochs"] == 4
    recipe = aae(tmp_path / "killed", stopping=stopping)
    with (
        mock.patch.object(Standardiser, "save", side_effect=KeyboardInterrupt),
        mock.patch.object(Path, "unlink"),
        pytest.raises(KeyboardInterrupt),
    ):
        recipe.fit(x, y, 2)
    (folder,) = (tmp_path / "killed").iterdir()
    assert (folder / "checkpoints" / "last.ckpt").exists()
    again = aae(tmp_path / "killed", stopping=stopping).fit(x, y, 2)
    assert again.facts["epochs"] == 4
    assert equal(whole, again)


def test_losses_of_others_are_recorded_anew(tmp_path: Path) -> None:
    x, y = classes_in(6, 160)
    first = aae(tmp_path).fit(x[:80], y[:80], 2, watched=(x[80:120], y[80:120]))
    before = (first.folder / "metrics.csv").read_text()
    second = aae(tmp_path).fit(x[:80], y[:80], 2, watched=(x[120:], y[120:]))
    assert second.folder == first.folder
    assert equal(first, second)
    assert (second.folder / "metrics.csv").read_text() != before


def test_a_search_loads_a_fit_once(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    recipe = aae(tmp_path)
    first = recipe.fit(x, y, 2)
    assert recipe.fit(x, y, 2) is first
    assert pickle.loads(pickle.dumps(pca(tmp_path)))._recent == {}
