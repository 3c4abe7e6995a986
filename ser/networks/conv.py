"""Convolutional networks over frames (parthasarathy2019, table 2), padding-proof.

Frames beyond an utterance's end are zero after every layer and are left out of batch
normalisation's statistics, so how far a batch is padded changes nothing. Inside, channels come
before frames: (B, C, T).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser.networks.mlp import dense

POOL = 4


def mask(lengths: Tensor, frames: int) -> Tensor:
    """(B, 1, T) bool: which frames are no padding."""
    return (torch.arange(frames, device=lengths.device) < lengths[:, None])[:, None]


def pooled(lengths: Tensor) -> Tensor:
    """Lengths after a pool of `POOL` in ceil mode."""
    return (lengths + POOL - 1) // POOL


def _same(x: Tensor, convolution: nn.Conv1d) -> Tensor:
    """Pads frames so that the convolution of them is as long (torch does so with a warning)."""
    (kernel,) = convolution.kernel_size
    return functional.pad(x, ((kernel - 1) // 2, kernel // 2))


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation over the frames that are no padding."""

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:  # type: ignore[override]
        """(B, C, T) and its mask (B, 1, T) -> (B, C, T)."""
        if self.training:
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            weight = inside.to(x.dtype)
            count = weight.sum()
            mean = (x * weight).sum(dim=(0, 2)) / count
            var = ((x - mean[:, None]).square() * weight).sum(dim=(0, 2)) / count
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var  # type: ignore[assignment]
        scale = self.weight * torch.rsqrt(var + self.eps)
        return x * scale[:, None] + (self.bias - mean * scale)[:, None]


class _Layer(nn.Module):
    """Convolution of `kernel`, as long as its input, (batch normalisation,) ReLU, zero padding."""

    def __init__(self, inputs: int, outputs: int, kernel: int, batch_norm: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, outputs, kernel)
        self.norm = MaskedBatchNorm(outputs) if batch_norm else None

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        x = self.convolution(_same(x, self.convolution))
        if self.norm is not None:
            x = self.norm(x, inside)
        return functional.relu(x) * inside


class ConvEncoder(nn.Module):
    """(B, T, F) frames -> (B, `outputs`): four convolutions with pools, a fifth, dense layers.

    Args:
        inputs: F.
        channels: of the pooled convolutions.
        last: channels of the fifth, which makes one frame of the coarse four.
        kernel: of all convolutions.
        hidden: widths of the dense layers, ReLU.
        dropout: between the dense layers.
        batch_norm: on every layer.
    """

    level = "frame"

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
        x = x.transpose(1, 2)
        for layer in self.layers:
            x = layer(x, mask(lengths, x.shape[2]))
            # Padding is zero and what follows a ReLU is not below: no maximum sees the padding.
            x = functional.max_pool1d(x, POOL, ceil_mode=True)
            lengths = pooled(lengths)
        return self.dense(self.coarse(functional.pad(x, (0, self.kernel - x.shape[2]))))


class ConvDecoder(nn.Module):
    """(B, K) codes and (B,) lengths -> (B, T, F) frames: the encoder mirrored.

    Unpooling repeats frames: the encoder's pooling places would leak around the bottleneck.

    Args:
        codes: K.
        outputs: F.
        hidden: widths of the dense layers, ReLU.
        first: channels of the transposed convolution that makes four coarse frames.
        channels: of the unpooled transposed convolutions.
        kernel: of all convolutions.
        batch_norm: on every layer, the last one included.
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
        # At stride 1 and "same" length a transposed convolution is a convolution.
        self.layers = nn.ModuleList(_Layer(a, b, kernel, batch_norm) for a, b in pairwise(widths))
        self.last = nn.Conv1d(channels[-1], outputs, kernel)
        self.last_norm = MaskedBatchNorm(outputs) if batch_norm else None

    def forward(self, codes: Tensor, lengths: Tensor) -> Tensor:
        scales = [lengths]
        for _ in self.layers:
            scales.append(pooled(scales[-1]))
        frames = int(scales[-1].max())
        inside = mask(scales.pop(), frames)
        x = self.coarse(self.dense(codes)[..., None])[..., :frames]
        if self.norm is not None:
            x = self.norm(x, inside)
        x = functional.relu(x) * inside
        for layer in self.layers:
            x = layer(x, inside)
            lengths = scales.pop()
            frames = int(lengths.max())
            inside = mask(lengths, frames)
            x = x.repeat_interleave(POOL, dim=2)[..., :frames] * inside
        x = self.last(_same(x, self.last))
        if self.last_norm is not None:
            x = self.last_norm(x, inside)
        return (x * inside).transpose(1, 2)
