import math

import pytest
import torch

from ser.data.batches import UNLABELLED
from ser.models.diagnostics import lost, observed, told
from ser.models.priors import Categorical, Gaussian, GaussianMixture

MIXTURE = GaussianMixture(radius=5.0, spread=1.0, means=None)


def means_of(prior: object, codes: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """As the base divides what is observed."""
    sums = observed("z", prior, 3, codes, labels)  # type: ignore[arg-type]
    return {name: value / len(codes) for name, value in sums.items()}


def test_codes_that_are_samples_of_their_prior_look_like_it() -> None:
    torch.manual_seed(0)
    labels = torch.arange(3000) % 3
    normal = told("z", means_of(Gaussian(), Gaussian().sample(labels, 4, 3), labels))
    assert normal["z/variance"] == pytest.approx(1, abs=0.05)
    assert normal["z/mean_rms"] < 0.05
    assert normal["z/covariance_rms"] < 0.05
    classes = told("z", means_of(Categorical(), Categorical().sample(labels, 3, 3), labels))
    assert classes["z/uniformity"] == pytest.approx(1, abs=0.01)
    mixed = told("z", means_of(MIXTURE, MIXTURE.sample(labels, 2, 3), labels))
    assert mixed["z/own_component"] > 0.99
    assert mixed["z/distance_rms"] == pytest.approx(1, abs=0.05)


def test_codes_at_another_class_s_component_are_noticed() -> None:
    labels = torch.arange(300) % 3
    swapped = told("z", means_of(MIXTURE, MIXTURE.sample((labels + 1) % 3, 2, 3), labels))
    assert swapped["z/own_component"] < 0.01
    assert swapped["z/distance_rms"] > 5


def test_the_unlabelled_count_neither_for_nor_against_their_component() -> None:
    torch.manual_seed(0)
    labels = torch.arange(300) % 3
    hidden = torch.where(torch.arange(300) < 150, labels, UNLABELLED)
    found = told("z", means_of(MIXTURE, MIXTURE.sample(labels, 2, 3), hidden))
    assert found["z/own_component"] > 0.99
    none = told("z", means_of(MIXTURE, MIXTURE.sample(labels, 2, 3), torch.full((300,), -1)))
    assert math.isfinite(none["z/own_component"])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"train/z_real_accuracy": 1.0, "train/z_fake_accuracy": 0.995},
            "discriminator of z tells",
        ),
        ({"z/largest": 0.97}, "latent z has collapsed: 97.0% of its mass is on one class"),
        ({"z/variance": 0.001}, "latent z has collapsed: its variance is 0.0010"),
    ],
)
def test_a_lost_game_is_told_in_words(row: dict[str, float], words: str) -> None:
    (text,) = lost("z", 3, row).values()
    assert words in text


def test_a_fair_game_is_not_warned_about() -> None:
    row = {"train/z_real_accuracy": 1.0, "train/z_fake_accuracy": 0.4, "z/largest": 0.5}
    assert not lost("z", 3, {**row, "z/variance": 0.9})
