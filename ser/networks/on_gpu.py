"""Convolution, batch normalisation and pooling of frames in operations that are fast on GPUs.

Their gradients are written out: automatic differentiation needs two to three times as many
operations, each of which reads and writes all frames. Sums over frames are matrix products.
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

    With all bits of float32, a step of cuDNN's convolutions takes up to a hundred times longer.
    """

    @staticmethod
    @forwards
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        neighbours = _neighbours(x, weight.shape[2])
        ctx.save_for_backward(neighbours, weight)
        return functional.linear(neighbours, weight.transpose(1, 2).flatten(1), bias)

    @staticmethod
    @backwards
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        neighbours, weight = ctx.saved_tensors
        kernel, of_x = weight.shape[2], None
        if ctx.needs_input_grad[0]:
            padded = functional.pad(gradient, (0, 0, kernel - 1, kernel - 1))
            flipped = weight.flip(2).permute(1, 2, 0).flatten(1)
            of_x = functional.linear(_neighbours(padded, kernel), flipped)
        rows = gradient.flatten(0, 1)
        of_weight = rows.t().mm(neighbours.flatten(0, 1)).unflatten(1, (kernel, -1))
        of_bias = rows.new_ones(1, len(rows)).mm(rows)[0]
        return of_x, of_weight.transpose(1, 2), of_bias


def _neighbours(x: Tensor, count: int) -> Tensor:
    """(B, T, C) -> (B, T - `count` + 1, `count` * C): each frame and those that follow it."""
    frames = x.shape[1] - count + 1
    return torch.cat([x[:, shift : shift + frames] for shift in range(count)], dim=2)


class Normalisation(Function):
    """(N, C), rows (1, N), weight (C,), bias (C,) and epsilon -> (N, C), means and variances (C,).

    Batch normalisation of those of the N frames whose number in `rows` is 1; where it is 0, the
    output is 0. In mixed precision, it has full precision.
    """

    @staticmethod
    @forwards(cast_inputs=torch.float32)
    def forward(
        ctx: Any, x: Tensor, rows: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        count = rows.sum()
        mean = rows.mm(x) / count
        centred = x - mean
        variance = rows.mm(centred.square()) / count
        inverse = (variance + eps).rsqrt()
        ctx.save_for_backward(centred, rows, weight, inverse, count)
        mean, variance = mean[0], variance[0]
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias, centred, weight * inverse).mul_(rows.t()), mean, variance

    @staticmethod
    @backwards
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, None, Tensor, Tensor, None]:
        centred, rows, weight, inverse, count = ctx.saved_tensors
        of_bias = rows.mm(gradient)
        of_weight = rows.mm(gradient * centred) * inverse
        # Without what the output does not depend on: the mean, and the scale, of a channel.
        scale = weight * inverse
        share = -scale / count
        of_x = torch.addcmul(share * of_bias, centred, share * inverse * of_weight)
        of_x = of_x.addcmul_(gradient, scale).mul_(rows.t())
        return of_x, None, of_weight[0], of_bias[0], None


class Maximum(Function):
    """(B, P, N, C) -> (B, P, C): the largest of each N.

    If several are equal, each gets the whole gradient; `amax` would divide it.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        largest = x.amax(dim=2)
        ctx.save_for_backward(x, largest)
        return largest

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, largest = ctx.saved_tensors
        return torch.where(x == largest[:, :, None], gradient[:, :, None], 0.0)
