"""Convolution, batch normalisation and pooling of frames in operations that are fast on GPUs.

Their gradients are written out: automatic differentiation needs two to three times as many
operations, each of which reads and writes all frames. Sums over frames are matrix products.

All of them also work for R networks side by side, with a first dimension of R of every tensor.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.amp import custom_bwd, custom_fwd
from torch.autograd import Function
from torch.nn import functional

# In mixed precision, a product has the precision of its forward pass also in the backward pass.
forwards = partial(custom_fwd, device_type="cuda")
backwards = partial(custom_bwd, device_type="cuda")


class Convolution(Function):
    """(B, T, C), weights (C', C, K) and bias (C',) -> (B, T - K + 1, C'), as a matrix product.

    Of R networks: (R, B, T, C), (R, C', C, K) and (R, C') -> (R, B, T - K + 1, C').

    With all bits of float32, a step of cuDNN's convolutions takes up to a hundred times longer.
    """

    @staticmethod
    @forwards
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        neighbours = _neighbours(x, weight.shape[-1])
        ctx.save_for_backward(neighbours, weight)
        return _product(neighbours, weight.mT.flatten(-2), bias)

    @staticmethod
    @backwards
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        neighbours, weight = ctx.saved_tensors
        kernel, of_x = weight.shape[-1], None
        if ctx.needs_input_grad[0]:
            padded = functional.pad(gradient, (0, 0, kernel - 1, kernel - 1))
            flipped = weight.flip(-1).movedim(-3, -1).flatten(-2)
            of_x = _product(_neighbours(padded, kernel), flipped, None)
        rows = gradient.flatten(-3, -2)
        of_weight = rows.mT @ neighbours.flatten(-3, -2)
        of_bias = rows.new_ones(*rows.shape[:-2], 1, rows.shape[-2]) @ rows
        return of_x, of_weight.unflatten(-1, (kernel, -1)).mT, of_bias.squeeze(-2)


def _neighbours(x: Tensor, count: int) -> Tensor:
    """(..., T, C) -> (..., T - `count` + 1, `count` * C): each frame and those that follow it."""
    frames = x.shape[-2] - count + 1
    return torch.cat([x[..., shift : shift + frames, :] for shift in range(count)], dim=-1)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W' + b, for (B, T, C) or, of R networks, (R, B, T, C)."""
    if x.ndim == 3:
        return functional.linear(x, weight, bias)
    rows = x.flatten(1, 2)
    product = rows @ weight.mT if bias is None else torch.baddbmm(bias[:, None], rows, weight.mT)
    return product.view(*x.shape[:-1], -1)


class Normalisation(Function):
    """(N, C), rows (1, N), count, weight (C,), bias (C,), epsilon -> (N, C), means, variances (C,).

    Batch normalisation of those of the N frames whose number in `rows` is 1; where it is 0, the
    output is 0. Sums are divided by the count. In mixed precision, it has full precision. Of R
    networks: (R, N, C), (R, 1, N), (R, 1, 1), (R, C) and (R, C).
    """

    @staticmethod
    @forwards(cast_inputs=torch.float32)
    def forward(
        ctx: Any, x: Tensor, rows: Tensor, count: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        weight, bias = weight.unsqueeze(-2), bias.unsqueeze(-2)
        mean = rows @ x / count
        centred = x - mean
        variance = rows @ centred.square() / count
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(centred, rows, weight, inverse, count)
        mean, variance = mean.squeeze(-2), variance.squeeze(-2)
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias, centred, weight * inverse).mul_(rows.mT), mean, variance

    @staticmethod
    @backwards
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, None, None, Tensor, Tensor, None]:
        centred, rows, weight, inverse, count = ctx.saved_tensors
        of_bias = rows @ gradient
        of_weight = rows @ (gradient * centred) * inverse
        # Without what the output does not depend on: the mean, and the scale, of a channel.
        scale = weight * inverse
        share = -scale / count
        of_x = torch.addcmul(share * of_bias, centred, share * inverse * of_weight)
        of_x = of_x.addcmul_(gradient, scale).mul_(rows.mT)
        return of_x, None, None, of_weight.squeeze(-2), of_bias.squeeze(-2), None


class Maximum(Function):
    """(..., P, N, C) -> (..., P, C): the largest of each N.

    If several are equal, each gets the whole gradient; `amax` would divide it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        largest = x.amax(dim=-2)
        ctx.save_for_backward(x, largest)
        return largest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, largest = ctx.saved_tensors
        return torch.where(x == largest.unsqueeze(-2), gradient.unsqueeze(-2), 0.0)
