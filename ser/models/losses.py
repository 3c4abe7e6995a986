"""Losses as pure functions of tensors."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ser.data.batches import UNLABELLED, Batch
from ser.training import ranks
from ser.training.heads import ClassOutput, Output, Outputs, SharesOutput, ValueOutput

ValueLoss = Literal["ccc", "mse"]


def reconstruction_loss(
    x: Tensor, reconstruction: Tensor, lengths: Tensor | None, weights: Tensor | None = None
) -> Tensor:
    """Return the mean squared error over all values; at frame level without padding.

    Args:
        x: (B, D) or (B, T, F), zero beyond each length.
        reconstruction: Same shape as x, also zero beyond each length.
        lengths: (B,) or None.
        weights: (R, B) of a pack of R runs, whose losses (R,) are returned; None: no pack.
    """
    if weights is not None and lengths is not None:
        frames = lengths.sum(dim=1).clamp(min=1)  # of a run without a batch: 0
        return (reconstruction - x).square().sum(dim=(1, 2, 3)) / (frames * x.shape[3])
    if weights is not None:
        return (weights * (reconstruction - x).square().mean(dim=2)).sum(dim=1)
    if lengths is None:
        return functional.mse_loss(reconstruction, x)
    return (reconstruction - x).square().sum() / (lengths.sum() * x.shape[2])


def summed_squared_error(
    x: Tensor,
    reconstruction: Tensor,
    inside: Tensor | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Return the squared error, summed over the values of an item and averaged over items.

    Args:
        x: (B, D), or (B, T, F), where each frame is an item.
        reconstruction: Same shape as x.
        inside: (B, T, 1) mask of the frames that are not padding; None: there is no padding.
        reduction: "sum": summed over items, too.
    """
    errors = (reconstruction - x).square().sum(dim=-1)
    errors = errors if inside is None else errors[inside.squeeze(2)]
    return errors.sum() if reduction == "sum" else errors.mean()


def frames(batch: Batch) -> float | Tensor:
    """Return the number of frames of a batch without padding; of utterances without frames."""
    return len(batch.y) if batch.lengths is None else batch.lengths.sum()


def labelled(batch: Batch, class_weights: Tensor | None) -> Tensor:
    """Return what a supervised loss divides by: labelled items, or their class weights' sum.

    With (B, Y) labels it is 1, as `supervised_loss` is that of the whole batch on every rank.
    """
    if batch.partners is not None and batch.shares is not None and class_weights is not None:
        own, other = class_weights[batch.y], class_weights[batch.partners]
        return (batch.shares * own + (1 - batch.shares) * other).sum()
    if batch.y.ndim == 2:
        return torch.tensor(1.0)
    known = batch.y[batch.y != UNLABELLED]
    return torch.tensor(len(known)) if class_weights is None else class_weights[known].sum()


def cross_entropy(logits: Tensor, y: Tensor, class_weights: Tensor | None) -> Tensor:
    """Return the mean cross-entropy; 0 if there are no labels, without having to look at them.

    Args:
        logits: (B, C).
        y: (B,) class indices, or `UNLABELLED`.
        class_weights: (C,), or None.
    """
    summed = functional.cross_entropy(
        logits, y, class_weights, ignore_index=UNLABELLED, reduction="sum"
    )
    known = y != UNLABELLED
    weights = known if class_weights is None else known * class_weights[y.clamp(min=0)]
    return summed / weights.sum().clamp(min=torch.finfo(logits.dtype).tiny)


def mixed_cross_entropy(logits: Tensor, batch: Batch, class_weights: Tensor | None) -> Tensor:
    """Return the cross-entropy with both labels of each mixture, weighted by their shares.

    Args:
        logits: (B, C).
        batch: B mixtures of labelled items.
        class_weights: (C,), or None.
    """
    assert batch.partners is not None
    assert batch.shares is not None
    own, other = (
        functional.cross_entropy(logits, y, class_weights, reduction="none")
        for y in (batch.y, batch.partners)
    )
    total = (batch.shares * own + (1 - batch.shares) * other).sum()
    return total / labelled(batch, class_weights)


def pack_cross_entropy(logits: Tensor, batch: Batch, class_weights: Tensor | None) -> Tensor:
    """Return the cross-entropy of each run of a pack, 0 without labelled items: (R,).

    Args:
        logits: (R, B, C).
        batch: Batch of the pack.
        class_weights: (R, C), or None.
    """
    assert batch.weights is not None
    known = (batch.weights > 0) & (batch.y != UNLABELLED)
    y = batch.y.clamp(min=0)
    weights = known.to(logits) if class_weights is None else known * class_weights.gather(1, y)
    # The gradient of `gather` would be a sum in any order on a GPU.
    own = functional.one_hot(y, logits.shape[2]).bool()
    likelihood = torch.where(own, logits.log_softmax(dim=2), 0.0).sum(dim=2)
    smallest = torch.finfo(logits.dtype).tiny
    return -(weights * likelihood).sum(dim=1) / weights.sum(dim=1).clamp(min=smallest)


def supervised_loss(outputs: Outputs, predicted: Tensor, batch: Batch, loss: ValueLoss) -> Tensor:
    """Return the sum over tasks of cross-entropies and losses of values, by the tasks' weights.

    Each is that of all labelled items of the batch, also where ranks share the batch (see
    `ranks.whole`).

    Args:
        outputs: What the outputs of a model mean.
        predicted: (B, width) outputs.
        batch: Batch with (B, Y) labels.
        loss: Loss of values.
    """
    total = predicted.new_zeros(())
    for output, own in outputs.split(predicted):
        total = total + output.weight * _task_loss(output, own, output.labels(batch.y), loss)
    # Without labels, too, the loss has a gradient, of 0.
    return total + 0.0 * predicted.sum()


def _task_loss(output: Output, predicted: Tensor, labels: Tensor, loss: ValueLoss) -> Tensor:
    if isinstance(output, ValueOutput):
        known = ~labels.isnan()
        return value_loss(output.standardised(labels[known]), predicted[known, 0], loss)
    assert isinstance(output, ClassOutput)
    if isinstance(output, SharesOutput):
        return shares_loss(predicted, labels[:, 1:], output.class_weights)
    return class_loss(predicted, labels, output.class_weights)


def class_loss(logits: Tensor, labels: Tensor, class_weights: Tensor | None) -> Tensor:
    """Return the cross-entropy with labels; 0 if there are none.

    Args:
        logits: (B, C).
        labels: (B,) class indices, or `UNLABELLED`.
        class_weights: (C,), or None.
    """
    known = labels != UNLABELLED
    if ranks.count() == 1 and known.any():
        return functional.cross_entropy(logits, labels, class_weights, ignore_index=UNLABELLED)
    logits, labels = logits[known], labels[known]
    summed = functional.cross_entropy(logits, labels, class_weights, reduction="sum")
    ones = torch.ones_like(labels, dtype=logits.dtype)
    return _mean(summed, (ones if class_weights is None else class_weights[labels]).sum())


def shares_loss(logits: Tensor, shares: Tensor, class_weights: Tensor | None) -> Tensor:
    """Return the cross-entropy with the shares of raters; 0 if there are none.

    It is the Kullback-Leibler divergence of the predictions from the shares, plus a constant, and
    the usual cross-entropy where all raters agree.

    Args:
        logits: (B, C).
        shares: (B, C), times the weight of each item; NaN where there is none.
        class_weights: (C,), or None.
    """
    known = ~shares.isnan().any(dim=1)
    logits, shares = logits[known], shares[known]
    if ranks.count() == 1 and known.any():
        return functional.cross_entropy(logits, shares, class_weights)
    summed = functional.cross_entropy(logits, shares, class_weights, reduction="sum")
    return _mean(summed, known.sum())


def value_loss(truth: Tensor, prediction: Tensor, loss: ValueLoss) -> Tensor:
    """Return 1 - CCC of the values of a batch, or their mean squared error; 0 if there are none.

    1 - CCC is the mean squared error divided by var t + var p + (mean t - mean p)²
    (Weninger et al., "Discriminatively trained recurrent neural networks for continuous dimensional
    emotion recognition from audio", IJCAI 2016). It needs two different values in a batch; of
    fewer, the mean squared error is returned.

    Args:
        truth: (B,) standardised values.
        prediction: (B,).
        loss: "ccc" or "mse".
    """
    if ranks.count() > 1:
        return _value_loss_of_ranks(truth, prediction, loss)
    if len(truth) == 0:
        return prediction.sum()
    squared_error = functional.mse_loss(prediction, truth)
    if loss == "mse" or len(truth) < 2:
        return squared_error
    variances = truth.var(correction=0) + prediction.var(correction=0)
    spread = variances + (truth.mean() - prediction.mean()).square()
    return squared_error / spread.clamp(min=1e-6)


def _value_loss_of_ranks(truth: Tensor, prediction: Tensor, loss: ValueLoss) -> Tensor:
    """Return `value_loss` of the items of all ranks, by their moments."""
    t, p = truth.double(), prediction.double()
    sums = torch.stack([each.sum() for each in (t, p, t * t, p * p, (t - p).square())])
    count = ranks.total(torch.tensor(float(len(t)), dtype=torch.float64, device=t.device))
    t, p, tt, pp, squared_error = ranks.whole(sums) / count.clamp(min=1)
    if loss == "mse" or count < 2:
        return squared_error.to(prediction.dtype)
    spread = (tt - t.square()) + (pp - p.square()) + (t - p).square()
    return (squared_error / spread.clamp(min=1e-6)).to(prediction.dtype)


def _mean(summed: Tensor, divisor: Tensor) -> Tensor:
    """Return a sum over the items of all ranks, divided by their number or weights; 0 for none."""
    return ranks.whole(summed) / ranks.total(divisor).clamp(min=torch.finfo(summed.dtype).tiny)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL[N(mean, variance) || N(0, 1)] per dimension, in nats: (m² + v − 1 − log v) / 2.

    Args:
        mean: (B, K).
        log_variance: (B, K).

    Returns:
        (B, K).
    """
    return 0.5 * (mean.square() + log_variance.expm1() - log_variance)


def discriminator_loss(real: Tensor, fake: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the binary cross-entropy of a discriminator, averaged over real and fake.

    Args:
        real: (B,) logits for samples of the prior.
        fake: (B,) logits for codes.
        weights: (R, B) of a pack of R runs, whose losses (R,) are returned; None: no pack.
    """
    return 0.5 * (_binary(real, 1.0, weights) + _binary(fake, 0.0, weights))


def generator_loss(fake: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the non-saturating generator loss: the cross-entropy of codes with "real".

    Args:
        fake: (B,) logits for codes.
        weights: (R, B) of a pack of R runs, whose losses (R,) are returned; None: no pack.
    """
    return _binary(fake, 1.0, weights)


def _binary(logits: Tensor, target: float, weights: Tensor | None) -> Tensor:
    targets = torch.full_like(logits, target)
    if weights is None:
        return functional.binary_cross_entropy_with_logits(logits, targets)
    each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (weights * each).sum(dim=1)
