"""Communication between the processes, called ranks, that train one model together.

Each rank has its share of every batch. If there is only one rank, nothing is sent or computed.
Functions marked as collective must be called by all ranks.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


def count() -> int:
    """Return the number of ranks."""
    several = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if several else 1


def every(value: T) -> list[T]:
    """Return the values of all ranks, in order. Collective.

    Args:
        value: Plain content, or tensors on the CPU.
    """
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def total(value: Tensor) -> Tensor:
    """Return the sum over all ranks, of the same shape. Collective."""
    if count() == 1:
        return value
    value = value.clone()
    distributed.all_reduce(value)
    return value


def whole(value: Tensor) -> Tensor:
    """Return the sum over all ranks, for losses of a whole batch. Collective.

    Its gradient is that of this rank's part times the number of ranks. Gradients are averaged over
    ranks, so the average is the gradient of the sum.
    """
    if count() == 1:
        return value
    own = value * count()
    return own + (total(value.detach()) - own.detach())


def average(values: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all ranks, in place. Collective."""
    if count() == 1 or not values:
        return
    # One message is faster than one per tensor.
    means = total(torch.cat([value.flatten() for value in values])) / count()
    for value, mean in zip(values, means.split([v.numel() for v in values]), strict=True):
        value.copy_(mean.view_as(value))


def weights(items: Sequence[float | Tensor | None], device: torch.device) -> Tensor:
    """Return the weights of this rank's losses, one for each of `items`. Collective.

    Gradients are averaged over ranks. With these weights, their average is the gradient of the loss
    of the whole batch, even if some ranks have more items than others.

    Args:
        items: Number of items in this rank's share of the batch, or the sum of their weights, that
            a loss averages over; None: the loss is a sum.
        device: Device of the model.
    """
    own = torch.stack(
        [
            torch.as_tensor(1.0 if n is None else n, dtype=torch.float32, device=device)
            for n in items
        ]
    )
    # No rank may have any, e.g. labelled utterances.
    weights = own * count() / total(own).clamp(min=torch.finfo(own.dtype).tiny)
    sums = torch.tensor([n is None for n in items], device=device)
    return weights.masked_fill(sums, count())
