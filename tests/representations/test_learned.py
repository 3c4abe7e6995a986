"""Models as representations: what they learn; they are fitted once, and resumed after a kill."""

import csv
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from made import CLASSES, aae, classes_in, pca
from small import training

from ser import representations, results
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.representations.learned import FILES, Learned, Network
from ser.results.fitted import UsedKeys
from ser.training.phased import PhasedModel
from ser.training.stopping import Converged
from ser.training.trainer import Training


def weights(fitted: Network) -> dict[str, torch.Tensor]:
    return fitted.module.state_dict()


def equal(first: Network, second: Network) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def with_fitting(learned: Learned, **options: object) -> Learned:
    learned.fitting = replace(learned.fitting, **options)  # type: ignore[arg-type]
    return learned


X, Y = classes_in(50, 800)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A fit on one half of four separated Gaussian classes in 50-D."""
    recipe = aae(tmp_path_factory.mktemp("toy"), epochs=40, width=64)
    rarely = training(checkpoint_seconds=1e9)
    return with_fitting(recipe, training=rarely).fit(X[:400], Y[:400], 2)


def test_separated_classes_are_encoded_in_their_own_components(toy: Network) -> None:
    """The other half is encoded, without its labels."""
    centres = np.asarray(toy.facts["centres"])
    distances = np.linalg.norm(toy.transform(X[400:])[:, None] - centres, axis=2)
    assert (distances.argmin(axis=1) == Y[400:]).mean() > 0.95


def test_samples_have_the_scale_of_the_features_and_their_class(toy: Network) -> None:
    labels = np.repeat(np.arange(CLASSES), 50)
    samples = toy.sample(labels, seed=0)
    assert samples.shape == (200, 50)
    means = np.stack([X[label == Y].mean(0) for label in range(CLASSES)])
    nearest = np.linalg.norm(samples[:, None] - means, axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.95
    assert np.array_equal(samples, toy.sample(labels, seed=0))
    assert not np.array_equal(samples, toy.sample(labels, seed=1))


def test_equal_fit_is_made_once(tmp_path: Path) -> None:
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


def test_whatever_shapes_a_fit_is_in_its_key(tmp_path: Path) -> None:
    """Six classes of which these items have four: the network has other discriminators."""
    x, y = classes_in(6, 80)
    first = aae(tmp_path).fit(x, y, 2)
    six = with_fitting(aae(tmp_path), classes=6).fit(x, y, 2)
    assert six.facts["classes"] == 6
    assert six.folder != first.folder
    others = [{"seed": 1}, {"recipe": {"a": 2}}]
    keys = {with_fitting(aae(tmp_path), **other).key(x, y, 2) for other in others}
    with mock.patch.object(representations, "fit_version", return_value="another"):
        keys.add(aae(tmp_path).key(x, y, 2))
    assert len({first.folder.name, six.folder.name, *keys}) == 5


def test_force_makes_a_fit_again_once_in_a_run(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    fitted = aae(tmp_path / "fits").fit(x, y, 2)
    best = fitted.folder / "checkpoints" / "best.ckpt"
    torch.save({"weights": {}}, best)

    def forced() -> Network:
        used = UsedKeys(tmp_path / "keys.txt")
        return with_fitting(aae(tmp_path / "fits"), used=used, force=True).fit(x, y, 2)

    assert equal(forced(), fitted)
    with mock.patch.object(Training, "fit", side_effect=AssertionError("trained again")):
        assert equal(forced(), fitted)  # another process of the same run
    assert (tmp_path / "keys.txt").read_text() == f"{fitted.folder.name}\n"
    (tmp_path / "keys.txt").unlink()
    with (
        mock.patch.object(Training, "fit", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        forced()
    # After a kill, the fit before is not taken for the new one.
    with (
        mock.patch.object(Training, "fit", side_effect=AssertionError("trained again")),
        pytest.raises(AssertionError, match="trained again"),
    ):
        forced()


def test_killed_fit_resumes_with_the_same_weights(tmp_path: Path) -> None:
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


def test_monitored_losses_do_not_change_the_fit(tmp_path: Path) -> None:
    x, y = classes_in(6, 120)
    plain = aae(tmp_path / "plain").fit(x[:80], y[:80], 2)
    monitored = aae(tmp_path / "monitored").fit(x[:80], y[:80], 2, monitored=(x[80:], y[80:]))
    assert equal(plain, monitored)
    rows = list(csv.DictReader((monitored.folder / "metrics.csv").open()))
    phases = ("reconstruction", "discriminator", "generator")
    assert {f"test/{phase}_loss" for phase in phases} <= rows[0].keys()
    (header, *_) = csv.reader((plain.folder / "metrics.csv").open())
    assert "train/generator_loss" in header
    assert not any(name.startswith("test/") for name in header)
    # A fit without monitored losses is repeated if they are requested, with the same weights.
    again = aae(tmp_path / "plain").fit(x[:80], y[:80], 2, monitored=(x[80:], y[80:]))
    assert equal(plain, again)
    assert (again.folder / "metrics.csv").read_text() == (
        monitored.folder / "metrics.csv"
    ).read_text()


def test_saved_representation_can_be_loaded(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    recipe = aae(tmp_path / "fits")
    fitted = recipe.fit(x, y, 2)
    fitted.save(tmp_path / "run")
    loaded = recipe.load(tmp_path / "run")
    assert np.array_equal(loaded.transform(x), fitted.transform(x))
    with pytest.raises(UserError, match="contains no fitted representation"):
        recipe.load(tmp_path)


def test_codes_do_not_depend_on_other_items(tmp_path: Path) -> None:
    x, y = classes_in(6, 300)
    fitted = aae(tmp_path).fit(x, y, 2)
    np.testing.assert_allclose(fitted.transform(x)[:7], fitted.transform(x[:7]), rtol=1e-5)


def test_fit_killed_after_its_last_epoch_is_not_trained_further(tmp_path: Path) -> None:
    """Killed between the last epoch and the end: another epoch would change the result."""
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


def test_other_monitored_items_are_recorded(tmp_path: Path) -> None:
    x, y = classes_in(6, 160)
    first = aae(tmp_path).fit(x[:80], y[:80], 2, monitored=(x[80:120], y[80:120]))
    before = (first.folder / "metrics.csv").read_text()
    second = aae(tmp_path).fit(x[:80], y[:80], 2, monitored=(x[120:], y[120:]))
    assert second.folder == first.folder
    assert equal(first, second)
    assert (second.folder / "metrics.csv").read_text() != before


def test_repeated_fit_is_cached(tmp_path: Path) -> None:
    x, y = classes_in(6, 80)
    recipe = aae(tmp_path)
    first = recipe.fit(x, y, 2)
    assert recipe.fit(x, y, 2) is first
    assert pickle.loads(pickle.dumps(pca(tmp_path))).cache == {}


# ---- damaged files


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "empty": lambda file, other: file.write_bytes(b""),
    "truncated": lambda file, other: file.write_bytes(file.read_bytes()[:-9]),
    "flipped": lambda file, other: flip(file),
    "garbage": lambda file, other: file.write_bytes(bytes(range(256)) * 9),
    "missing": lambda file, other: file.unlink(),
    "swapped": lambda file, other: shutil.copy(other, file),
}


@pytest.fixture(scope="module")
def two_fits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Network]:
    """Fits on different items."""
    fits = [aae(tmp_path_factory.mktemp("fits"), epochs=1, width=8) for _ in range(2)]
    first, second = (each.fit(X[n : n + 64], Y[n : n + 64], 2) for n, each in enumerate(fits))
    assert isinstance(first, Network)
    assert isinstance(second, Network)
    return first, second


@pytest.mark.parametrize("name", ["fitted.json", *FILES])
def test_a_damaged_fit_is_made_again(
    name: str,
    two_fits: tuple[Network, Network],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = two_fits
    for damage, change in DAMAGES.items():
        root = tmp_path / damage
        folder = root / first.folder.name
        shutil.copytree(first.folder, folder)
        change(folder / name, second.folder / name)
        caplog.clear()
        again = aae(root, epochs=1, width=8).fit(X[:64], Y[:64], 2)
        assert isinstance(again, Network)
        assert equal(first, again), damage
        assert np.array_equal(first.transform(X[:9]), again.transform(X[:9])), damage
        if (damage, name) != ("missing", "fitted.json"):  # not fitted, as far as it is known
            assert "it is fitted again" in caplog.text, damage
        for each in ("fitted.json", *FILES):
            assert (folder / each).read_bytes() == (first.folder / each).read_bytes(), damage
