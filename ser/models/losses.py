"""Losses as pure functions of tensors."""

import torch
from torch import Tensor
from torch.nn import functional


def reconstruction_loss(x: Tensor, reconstruction: Tensor, lengths: Tensor | None) -> Tensor:
    """Mean squared error over all values; at frame level over those that are no padding.

    Args:
        x: (B, D) or (B, T, F), zero beyond each length.
        reconstruction: as x, zero beyond each length, too.
        lengths: (B,) or None.
    """
    if lengths is None:
        return functional.mse_loss(reconstruction, x)
    return (reconstruction - x).square().sum() / (lengths.sum() * x.shape[2])


def summed_squared_error(x: Tensor, reconstruction: Tensor, inside: Tensor | None = None) -> Tensor:
    """Squared error summed over the values of an item, averaged over items.

    Args:
        x: (B, D), or (B, T, F), where each frame is an item.
        reconstruction: as x.
        inside: (B, T, 1) of frames, whether they are no padding; None: none is.
    """
    errors = (reconstruction - x).square().sum(dim=-1)
    return errors.mean() if inside is None else errors[inside.squeeze(2)].mean()


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL[N(mean, variance) || N(0, 1)] of each dimension, in nats: (m² + v − 1 − log v) / 2.

    Args:
        mean: (B, K).
        log_variance: (B, K).

    Returns:
        (B, K).
    """
    return 0.5 * (mean.square() + log_variance.expm1() - log_variance)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Cross-entropy of telling real from fake, the mean of both halves.

    Args:
        real: (B,) logits of samples of the prior.
        fake: (B,) logits of codes.
    """
    return 0.5 * (_binary(real, 1.0) + _binary(fake, 0.0))


def generator_loss(fake: Tensor) -> Tensor:
    """Cross-entropy of codes being taken for real (non-saturating).

    Args:
        fake: (B,) logits of codes.
    """
    return _binary(fake, 1.0)


def _binary(logits: Tensor, target: float) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))
