import math

import pytest
import torch

from ser.data.batches import UNLABELLED
from ser.models.diagnostics import code_statistics, code_sums, problems
from ser.models.priors import Categorical, Gaussian, GaussianMixture

MIXTURE = GaussianMixture(radius=5.0, spread=1.0, means=None)


def means_of(prior: object, codes: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    """The sums divided by the number of items, as in `PhasedModel.end_epoch`."""
    sums = code_sums("z", prior, 3, codes, labels)  # type: ignore[arg-type]
    return {name: value / len(codes) for name, value in sums.items()}


def test_samples_of_the_prior_have_its_statistics() -> None:
    torch.manual_seed(0)
    labels = torch.arange(3000) % 3
    normal = code_statistics("z", means_of(Gaussian(), Gaussian().sample(labels, 4, 3), labels))
    assert normal["z/variance"] == pytest.approx(1, abs=0.05)
    assert normal["z/mean_rms"] < 0.05
    assert normal["z/covariance_rms"] < 0.05
    classes = code_statistics(
        "z", means_of(Categorical(), Categorical().sample(labels, 3, 3), labels)
    )
    assert classes["z/uniformity"] == pytest.approx(1, abs=0.01)
    mixed = code_statistics("z", means_of(MIXTURE, MIXTURE.sample(labels, 2, 3), labels))
    assert mixed["z/own_component"] > 0.99
    assert mixed["z/distance_rms"] == pytest.approx(1, abs=0.05)


def test_statistics_show_codes_in_the_component_of_another_class() -> None:
    labels = torch.arange(300) % 3
    swapped = code_statistics(
        "z", means_of(MIXTURE, MIXTURE.sample((labels + 1) % 3, 2, 3), labels)
    )
    assert swapped["z/own_component"] < 0.01
    assert swapped["z/distance_rms"] > 5


def test_unlabelled_codes_are_ignored_for_mixtures() -> None:
    torch.manual_seed(0)
    labels = torch.arange(300) % 3
    hidden = torch.where(torch.arange(300) < 150, labels, UNLABELLED)
    statistics = code_statistics("z", means_of(MIXTURE, MIXTURE.sample(labels, 2, 3), hidden))
    assert statistics["z/own_component"] > 0.99
    none = code_statistics(
        "z", means_of(MIXTURE, MIXTURE.sample(labels, 2, 3), torch.full((300,), -1))
    )
    assert math.isfinite(none["z/own_component"])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"train/z_real_accuracy": 1.0, "train/z_fake_accuracy": 0.995},
            "latent z: the discriminator dominates",
        ),
        ({"z/largest": 0.97}, "latent z: posterior collapse: one class has 97.0%"),
        ({"z/variance": 0.001}, "latent z: posterior collapse: the codes' variance is 0.0010"),
    ],
)
def test_problems_have_messages(row: dict[str, float], message: str) -> None:
    (text,) = problems("z", 3, row).values()
    assert message in text


def test_balanced_training_has_no_problems() -> None:
    row = {"train/z_real_accuracy": 1.0, "train/z_fake_accuracy": 0.4, "z/largest": 0.5}
    assert not problems("z", 3, {**row, "z/variance": 0.9})
