"""Convolutional networks side by side compute what each of them computes."""

import torch
from torch import Tensor, nn

from ser.networks.conv import ConvDecoder, ConvEncoder, mask
from ser.networks.noise import PackNoise
from ser.networks.stacked import PackRows, stack

# Of three runs: two have fewer items than the batch has rows, and the last one has no batch.
LENGTHS = torch.tensor([[40, 1, 17], [5, 64, 0], [0, 0, 0]])
COUNTS = [3, 2, 0]
FRAMES = 64


def networks(decoders: bool) -> list[nn.Module]:
    """Three networks with their own weights."""
    made: list[nn.Module] = []
    for seed in range(3):
        torch.manual_seed(seed)
        common = {"kernel": 4, "hidden": [9, 10], "batch_norm": True}
        if decoders:
            made.append(ConvDecoder(6, 3, first=8, channels=[7, 6, 5, 4], **common))
        else:
            options = {"channels": [4, 5, 6, 7], "last": 8, "dropout": 0.0}
            made.append(ConvEncoder(3, **options, **common))
    return [each.double() for each in made]


def inputs(decoders: bool) -> Tensor:
    """(R, B, K) codes, or (R, B, T, F) frames that are zero beyond each length."""
    torch.manual_seed(3)
    if decoders:
        return torch.randn(3, 3, 6).double()
    return torch.randn(3, 3, FRAMES, 3).double() * mask(LENGTHS, FRAMES)


def test_stacked_networks_compute_what_each_computes() -> None:
    """Outputs, gradients and statistics, in training and then in evaluation."""
    for decoders in (False, True):
        rows, noise = PackRows(), PackNoise([0] * 3, rows=3, drawn=4, device=torch.device("cpu"))
        rows.weights = torch.zeros(3, 3).double()
        for run, count in enumerate(COUNTS):
            rows.weights[run, :count] = 1 / max(1, count)
        plain, parts = networks(decoders), networks(decoders)
        stacked, x = stack(parts, rows, noise), inputs(decoders)
        size = (FRAMES,) if decoders else ()
        for training in (True, False):
            stacked.train(training)
            out = stacked(x, LENGTHS, *size)
            inside = rows.weights.view(3, 3, *[1] * (out.ndim - 2)) > 0
            gradients = torch.autograd.grad(
                (out * inside).square().sum(), list(stacked.parameters()), allow_unused=True
            )
            for run, count in enumerate(COUNTS[:2]):
                own = plain[run].train(training)
                expected = own(x[run, :count], LENGTHS[run, :count], *size)
                torch.testing.assert_close(out[run, :count], expected)
                of_own = torch.autograd.grad(expected.square().sum(), list(own.parameters()))
                for stacked_gradient, gradient in zip(gradients, of_own, strict=True):
                    torch.testing.assert_close(stacked_gradient[run], gradient)
                torch.testing.assert_close(parts[run].state_dict(), own.state_dict())
        absent = networks(decoders)[2].state_dict()
        torch.testing.assert_close(parts[2].state_dict(), absent, rtol=0, atol=0)
        assert all(gradient[2].isfinite().all() for gradient in gradients)
