"""Convolutional networks over frames (parthasarathy2019, table 2), invariant to padding.

Padding is zero after every layer and excluded from the statistics of batch normalisation, so the
length of the padding changes no output. Channels come last, (B, T, C): the frames without padding
are then rows, which torch normalises several times faster.

The layers of R networks side by side (`ser.networks.stacked`) compute (R, B, T, C), with lengths
(R, B).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser.networks.mlp import dense
from ser.networks.on_gpu import Convolution, Maximum, Normalisation

POOL = 4


def mask(lengths: Tensor, frames: int) -> Tensor:
    """Return a mask (..., T, 1) of the frames that are not padding, for (...) lengths."""
    return (torch.arange(frames, device=lengths.device) < lengths[..., None])[..., None]


def pooled(lengths: Tensor) -> Tensor:
    """Return the lengths after pooling by `POOL` in ceil mode."""
    return (lengths + POOL - 1) // POOL


def as_products(x: Tensor) -> bool:
    """Whether layers use the operations of `ser.networks.on_gpu`: on GPUs, and of R networks."""
    return x.is_cuda or x.ndim == 4


def convolve(x: Tensor, convolution: nn.Conv1d, frames: int) -> Tensor:
    """(B, T, C) -> (B, `frames`, C') by a "same" convolution; frames beyond T are zeros."""
    kernel = convolution.weight.shape[-1]
    before = (kernel - 1) // 2
    x = functional.pad(x, (0, 0, before, frames + kernel - 1 - before - x.shape[-2]))
    if as_products(x):
        return Convolution.apply(x, convolution.weight, convolution.bias)
    # Two-dimensional, with height 1: torch's conv1d would copy the data to channels first.
    image, weight = x.transpose(1, 2).unsqueeze(2), convolution.weight.unsqueeze(2)
    return functional.conv2d(image, weight, convolution.bias).squeeze(2).transpose(1, 2)


def pool(x: Tensor) -> Tensor:
    """(B, P * `POOL`, C) -> (B, P, C): the maximum of each `POOL` frames."""
    products = as_products(x)
    x = x.unflatten(-2, (-1, POOL))
    # Frames are equal only in padding, where they are zero, and a ReLU passes on no gradient.
    return Maximum.apply(x) if products else x.amax(dim=2)


def unpool(x: Tensor, frames: int) -> Tensor:
    """(B, P, C) -> (B, `frames`, C): repeat each frame `POOL` times."""
    return x.repeat_interleave(POOL, dim=-2)[..., :frames, :]


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the frames that are not padding; padding becomes zero."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:  # type: ignore[override]
        """(B, T, C) and its mask (B, T, 1) -> (B, T, C)."""
        # A graph, of ONNX or CUDA, cannot select a number of rows that depends on the values.
        if torch.compiler.is_exporting() or (x.is_cuda and not self.training):
            return super().forward(x.flatten(0, 1)).view_as(x) * inside
        if x.is_cuda:
            return self.by_mask(x, inside)
        rows = inside.flatten().nonzero()[:, 0]
        flat = x.flatten(0, 1)
        normalised = super().forward(flat.index_select(0, rows))
        return torch.zeros_like(flat).index_copy(0, rows, normalised).view_as(x)

    def by_mask(self, x: Tensor, inside: Tensor) -> Tensor:
        """Return what `forward` does in training, without selecting rows."""
        rows = inside.flatten()[None].to(self.weight)
        count = rows.sum()
        normalised, mean, variance = Normalisation.apply(
            x.flatten(0, 1), rows, count, self.weight, self.bias, self.eps
        )
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        return normalised.view_as(x)


class _Layer(nn.Module):
    """Convolution with optional batch normalisation; padding is zero."""

    def __init__(self, inputs: int, outputs: int, kernel: int, batch_norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, outputs, kernel)
        self.norm = MaskedBatchNorm(outputs) if batch_norm else None

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """(B, T, C) and the mask of the output, (B, T', 1) -> (B, T', C')."""
        return _normalised(convolve(x, self.convolution, inside.shape[-2]), self.norm, inside)


def _normalised(x: Tensor, norm: MaskedBatchNorm | None, inside: Tensor) -> Tensor:
    return x * inside if norm is None else norm(x, inside)


class ConvEncoder(nn.Module):
    """(B, T, F) frames -> (B, `outputs`): four convolutions with pools, a fifth, dense layers.

    Args:
        inputs: F.
        channels: Channels of the pooled convolutions.
        last: Channels of the fifth convolution, which reduces the remaining four frames to one.
        kernel: Kernel size of all convolutions.
        hidden: Widths of the dense layers, with ReLU.
        dropout: Dropout between the dense layers.
        batch_norm: Normalise every layer.
    """

    level = "frame"
    takes_packs = True
    pool = 4  # equals `POOL`; `ser.config` reads it from this file

    def __init__(
        self,
        inputs: int,
        *,
        channels: Sequence[int],
        last: int,
        kernel: int,
        hidden: Sequence[int],
        dropout: float,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        widths = [inputs, *channels]
        self.layers = nn.ModuleList(_Layer(a, b, kernel, batch_norm) for a, b in pairwise(widths))
        self.kernel = kernel
        coarse: list[nn.Module] = [nn.Conv1d(channels[-1], last, kernel)]
        if batch_norm:
            coarse.append(nn.BatchNorm1d(last))
        self.coarse = nn.Sequential(*coarse, nn.ReLU(), nn.Flatten())
        self.dense = dense(last, hidden, dropout=dropout, batch_norm=batch_norm)
        self.outputs = hidden[-1]

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        for layer in self.layers:
            # Pad to whole pools. Not as -(-T // POOL): ONNX rounds negative quotients up.
            inside = mask(lengths, (x.shape[-2] + POOL - 1) // POOL * POOL)
            # Padding is zero, the minimum of a ReLU, so that no maximum depends on the padding.
            # ReLU and maximum commute; after the pool there are a quarter of the frames.
            x = functional.relu(pool(layer(x, inside)))
            lengths = pooled(lengths)
        x = functional.pad(x, (0, 0, 0, self.kernel - x.shape[-2]))
        if not as_products(x):
            return self.dense(self.coarse(x.transpose(1, 2)))
        convolution, *others, _ = self.coarse
        x = Convolution.apply(x, convolution.weight, convolution.bias).squeeze(-2)
        for layer in others:
            x = layer(x)
        return self.dense(x)


class ConvDecoder(nn.Module):
    """(B, K) codes and (B,) lengths -> (B, T, F) frames; mirrors the encoder.

    Unpooling repeats frames: the encoder's pooling indices would bypass the bottleneck.

    Args:
        codes: K.
        outputs: F.
        hidden: Widths of the dense layers, with ReLU.
        first: Channels of the transposed convolution that returns the first four frames.
        channels: Channels of the unpooled transposed convolutions.
        kernel: Kernel size of all convolutions.
        batch_norm: Normalise every layer, including the last.
    """

    def __init__(
        self,
        codes: int,
        outputs: int,
        *,
        hidden: Sequence[int],
        first: int,
        channels: Sequence[int],
        kernel: int,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.dense = dense(codes, hidden, dropout=0.0, batch_norm=batch_norm)
        self.coarse = nn.ConvTranspose1d(hidden[-1], first, kernel)
        self.norm = MaskedBatchNorm(first) if batch_norm else None
        widths = [first, *channels]
        # With stride 1 and "same" length, a transposed convolution is a convolution.
        self.layers = nn.ModuleList(_Layer(a, b, kernel, batch_norm) for a, b in pairwise(widths))
        self.last = nn.Conv1d(channels[-1], outputs, kernel)
        self.last_norm = MaskedBatchNorm(outputs) if batch_norm else None

    def forward(self, codes: Tensor, lengths: Tensor, size: int) -> Tensor:
        """(B, K) codes and (B,) lengths, of at most `size` frames -> (B, `size`, F)."""
        inside = [mask(lengths, size)]
        for _ in self.layers:
            lengths, size = pooled(lengths), -(-size // POOL)
            inside.append(mask(lengths, size))
        frames = inside.pop()
        x = self._coarse_frames(self.dense(codes))[..., : frames.shape[-2], :]
        x = functional.relu(_normalised(x, self.norm, frames))
        for layer, finer in zip(self.layers, reversed(inside), strict=True):
            x = unpool(functional.relu(layer(x, frames)), finer.shape[-2]) * finer
            frames = finer
        return _normalised(convolve(x, self.last, x.shape[-2]), self.last_norm, frames)

    def _coarse_frames(self, x: Tensor) -> Tensor:
        """(B, K) -> (B, kernel, C)."""
        if not x.is_cuda and x.ndim == 2:
            return self.coarse(x[..., None]).transpose(1, 2)
        assert self.coarse.bias is not None
        bias = self.coarse.bias[..., None, None, :]
        frames = x @ self.coarse.weight.mT.flatten(-2)
        return frames.unflatten(-1, (-1, bias.shape[-1])) + bias
