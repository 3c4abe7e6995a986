"""Layers of several equal networks side by side: (R, B, inputs) -> (R, B, outputs).

Layers of frames take (R, B, T, inputs).

The names of parameters and buffers are those of the plain layers, with a first dimension of R. The
plain networks become views of it: what changes in the stack changes in them, and vice versa.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ser.errors import UserError
from ser.networks.conv import MaskedBatchNorm
from ser.networks.noise import PackNoise
from ser.networks.on_gpu import Normalisation


class PackRows:
    """Which rows of a batch are items, and which are padding.

    Attributes:
        weights: (R, B): 1 / n for each of the n items of a run, 0 for padding and for runs without
            a batch.
    """

    weights: Tensor


class _Linear(torch.autograd.Function):
    """x W' + b of each network. The gradient of W has the layout of W, as fused optimisers need."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        if weight.shape[1] == 1:  # the library's product with one vector would round by R
            return (x * weight).sum(dim=2, keepdim=True) + bias[:, None]
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        of_x = gradient @ weight if ctx.needs_input_grad[0] else None
        return of_x, gradient.mT @ x, gradient.sum(dim=1)


class StackedLinear(nn.Module):
    """Linear layers; has `weight` (R, outputs, inputs) and `bias` (R, outputs)."""

    weight: Tensor
    bias: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return _Linear.apply(x, self.weight, self.bias)


class StackedBatchNorm(nn.Module):
    """Batch normalisation of each network by the statistics of its own items.

    Args:
        rows: Items of the batch.
        momentum: Weight of a batch in the running statistics.
        eps: Added to variances.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, rows: PackRows, momentum: float, eps: float) -> None:
        super().__init__()
        self.rows, self.momentum, self.eps = rows, momentum, eps

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            return torch.addcmul(self.bias[:, None], x - self.running_mean[:, None], scale[:, None])
        return self.by_rows(x, self.rows.weights > 0)

    def by_rows(self, x: Tensor, inside: Tensor) -> Tensor:
        """Return what `forward` does in training, (R, N, C), of the rows that are inside, (R, N).

        Other rows become 0.
        """
        rows = inside[:, None].to(x)
        counts = rows.sum(dim=2, keepdim=True)
        # A run that has no batch has no rows.
        normalised, mean, variance = Normalisation.apply(
            x, rows, counts.clamp(min=1), self.weight, self.bias, self.eps
        )
        self._track(mean, variance, counts[:, 0])
        return normalised

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, counts: Tensor) -> None:
        """Update the running statistics of the runs that have rows: (R, C), (R, C) and (R, 1)."""
        present = counts > 0
        momentum = (self.momentum * present).to(mean)
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (counts / (counts - 1).clamp(min=1)), momentum)
        self.num_batches_tracked += present.squeeze(1)


class StackedMaskedBatchNorm(StackedBatchNorm):
    """`MaskedBatchNorm` of each network by the statistics of its own frames."""

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:  # type: ignore[override]
        """(R, B, T, C) and its mask (R, B, T, 1) -> (R, B, T, C)."""
        frames = x.flatten(1, 2)
        if not self.training:
            return super().forward(frames).view_as(x) * inside
        return self.by_rows(frames, inside.flatten(1)).view_as(x)


class StackedConvolution(nn.Module):
    """Convolutions that `ser.networks.conv` computes, plain or transposed.

    It has `weight` (R, ...) and `bias` (R, outputs).
    """

    weight: Tensor
    bias: Tensor


class StackedDropout(nn.Module):
    """Dropout with the random numbers of each run.

    Args:
        p: Share of the values that are set to 0.
        noise: Random numbers of the runs.
    """

    def __init__(self, p: float, noise: PackNoise) -> None:
        super().__init__()
        self.p, self.noise = p, noise

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * (self.noise.uniform(x) >= self.p) / (1 - self.p)


def stack(networks: Sequence[nn.Module], rows: PackRows, noise: PackNoise) -> nn.Module:
    """Return networks of the same shape as one, and make their tensors views of its tensors.

    Args:
        networks: R networks, on one device. They remain usable.
        rows: Items of each batch, which the caller sets.
        noise: Random numbers of the runs.

    Raises:
        UserError: A network has a layer that cannot be stacked.
    """
    stacked = copy.deepcopy(networks[0])
    for name, module in list(stacked.named_modules()):
        parts = [network.get_submodule(name) for network in networks]
        layer = _stacked_layer(module, rows, noise)
        if layer is not module:
            parent, _, key = name.rpartition(".")
            stacked.get_submodule(parent)._modules[key] = layer
        _share_tensors(layer, parts)
    return stacked


def _stacked_layer(module: nn.Module, rows: PackRows, noise: PackNoise) -> nn.Module:
    """Return the stacked layer without its tensors; the module itself if it has no own layer."""
    # Types, not instances: a subclass may compute something else.
    makers: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
        nn.Linear: lambda layer: StackedLinear(),
        nn.BatchNorm1d: lambda layer: StackedBatchNorm(rows, layer.momentum, layer.eps),
        MaskedBatchNorm: lambda layer: StackedMaskedBatchNorm(rows, layer.momentum, layer.eps),
        nn.Conv1d: lambda layer: StackedConvolution(),
        nn.ConvTranspose1d: lambda layer: StackedConvolution(),
        nn.Dropout: lambda layer: StackedDropout(layer.p, noise),
    }
    maker = makers.get(type(module))
    if maker is not None:
        return maker(module)
    if any(True for _ in module.parameters(recurse=False)):
        raise UserError(f"trainer.packed: {type(module).__name__} layers cannot be stacked")
    return module


def _share_tensors(layer: nn.Module, parts: Sequence[nn.Module]) -> None:
    """Stack the own tensors of equal modules as those of a layer, of which they become views."""
    for name, parameter in parts[0].named_parameters(recurse=False):
        tensors = torch.stack([getattr(part, name).detach() for part in parts])
        layer.register_parameter(name, nn.Parameter(tensors, parameter.requires_grad))
        for part, tensor in zip(parts, tensors, strict=True):
            getattr(part, name).data = tensor
    for name in [name for name, _ in parts[0].named_buffers(recurse=False)]:
        tensors = torch.stack([getattr(part, name) for part in parts])
        layer._buffers[name] = tensors
        for part, tensor in zip(parts, tensors, strict=True):
            part._buffers[name] = tensor


def share_all(source: nn.Module, other: nn.Module) -> None:
    """Make the tensors of a network views of those of a source, which are equal."""
    for name, parameter in other.named_parameters():
        own = source.get_parameter(name).data
        assert torch.equal(parameter.data, own), name
        parameter.data = own
    for name, _ in list(other.named_buffers()):
        owner, _, key = name.rpartition(".")
        other.get_submodule(owner)._buffers[key] = source.get_buffer(name)
