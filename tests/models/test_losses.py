import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from ser.models.losses import (
    cross_entropy,
    discriminator_loss,
    generator_loss,
    kl_to_standard_normal,
    reconstruction_loss,
    summed_squared_error,
)

torch.manual_seed(0)
REAL, FAKE = torch.randn(50) * 3, torch.randn(50) * 3


def test_discriminator_loss_is_the_mean_of_minus_log_d_real_and_minus_log_1_minus_d_fake() -> None:
    d_real, d_fake = REAL.double().sigmoid(), FAKE.double().sigmoid()
    expected = -(d_real.log().mean() + (1 - d_fake).log().mean()) / 2
    torch.testing.assert_close(discriminator_loss(REAL, FAKE).double(), expected)
    both, truth = torch.cat([d_real, d_fake]), torch.cat([torch.ones(50), torch.zeros(50)])
    torch.testing.assert_close(expected, functional.binary_cross_entropy(both, truth.double()))


def test_generator_loss_is_minus_log_d_fake() -> None:
    expected = -FAKE.double().sigmoid().log().mean()
    torch.testing.assert_close(generator_loss(FAKE).double(), expected)


def test_losses_are_finite_for_extreme_logits() -> None:
    far = torch.tensor([200.0])
    assert discriminator_loss(-far, far) == pytest.approx(200.0)
    assert discriminator_loss(far, -far) == pytest.approx(0.0)
    assert generator_loss(-far) == pytest.approx(200.0)


def test_loss_of_an_undecided_discriminator_is_log_2() -> None:
    zero = torch.zeros(4)
    assert float(discriminator_loss(zero, zero)) == pytest.approx(0.6931472)
    assert float(generator_loss(zero)) == pytest.approx(0.6931472)


def test_reconstruction_loss_is_the_mean_over_all_values() -> None:
    x, reconstruction = torch.randn(4, 3), torch.randn(4, 3)
    expected = (
        sum(float((x[i, j] - reconstruction[i, j]) ** 2) for i in range(4) for j in range(3)) / 12
    )
    assert float(reconstruction_loss(x, reconstruction, None)) == pytest.approx(expected, rel=1e-5)


def test_reconstruction_loss_ignores_padding() -> None:
    lengths = [2, 5, 1]
    x, reconstruction = torch.zeros(2, 3, 5, 4)
    for i, length in enumerate(lengths):
        x[i, :length], reconstruction[i, :length] = torch.randn(2, length, 4)
    inside = [(reconstruction[i, :n] - x[i, :n]).flatten() for i, n in enumerate(lengths)]
    expected = torch.cat(inside).square().mean()
    for pad in (0, 7):
        longer = functional.pad(torch.stack([x, reconstruction]), (0, 0, 0, pad))
        actual = reconstruction_loss(longer[0], longer[1], torch.tensor(lengths))
        torch.testing.assert_close(actual, expected)


def test_summed_squared_error_is_summed_over_values_and_averaged_over_items() -> None:
    x, reconstruction = torch.randn(4, 3), torch.randn(4, 3)
    expected = (
        sum(float((x[i, j] - reconstruction[i, j]) ** 2) for i in range(4) for j in range(3)) / 4
    )
    assert float(summed_squared_error(x, reconstruction)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("class_weights", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_cross_entropy_is_the_mean_over_labelled_items_and_0_without(
    class_weights: torch.Tensor | None,
) -> None:
    logits, y = torch.randn(6, 3, requires_grad=True), torch.tensor([0, -1, 2, 1, -1, 2])
    loss = cross_entropy(logits, y, class_weights)
    torch.testing.assert_close(
        loss, functional.cross_entropy(logits, y, class_weights, ignore_index=-1)
    )
    none = cross_entropy(logits, torch.full_like(y, -1), class_weights)
    none.backward()
    assert none == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_kl_to_standard_normal_equals_torch_distributions() -> None:
    mean, log_variance = 3 * torch.randn(20, 7).double(), 4 * torch.randn(20, 7).double()
    posterior = Normal(mean, (0.5 * log_variance).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0))
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


def test_kl_of_the_prior_is_0_and_is_never_negative() -> None:
    assert not kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)).any()
    near = 1e-4 * torch.randn(1000, 2)
    assert (kl_to_standard_normal(near[:, :1], near[:, 1:]) > -1e-9).all()
