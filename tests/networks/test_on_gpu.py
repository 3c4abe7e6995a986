"""What GPUs compute is what torch's layers compute, with the same gradients, on any device."""

import torch
from torch import Tensor, nn

from ser.networks.on_gpu import Convolution, Maximum, Normalisation


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


def test_convolution_is_that_of_torch() -> None:
    torch.manual_seed(0)
    x, weight, bias = random(2, 9, 3), random(5, 3, 4), random(5)
    expected = nn.functional.conv1d(x.transpose(1, 2), weight, bias).transpose(1, 2)
    torch.testing.assert_close(Convolution.apply(x, weight, bias), expected)


def test_gradients_of_the_convolution() -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(
        Convolution.apply, (random(2, 7, 3), random(5, 3, 4), random(5))
    )
    fixed = random(2, 7, 3).detach()  # features need no gradient
    assert torch.autograd.gradcheck(Convolution.apply, (fixed, random(5, 3, 4), random(5)))


def test_gradients_of_the_normalisation() -> None:
    torch.manual_seed(0)
    rows = (torch.arange(11) % 3 > 0).double()[None]

    def normalised(*inputs: Tensor) -> Tensor:
        x, weight, bias = inputs
        return Normalisation.apply(x, rows, rows.sum(), weight, bias, 1e-5)[0]

    assert torch.autograd.gradcheck(normalised, (random(11, 3), random(3), random(3)))


def test_gradients_of_the_maximum() -> None:
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(Maximum.apply, random(2, 3, 4, 5))
