"""Processes that train one model together: what they tell each other.

Each of them, a rank, has its share of every batch. A process that trains alone is the only rank:
nothing is sent, and nothing computed.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


def count() -> int:
    """How many ranks there are."""
    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def every(value: T) -> list[T]:
    """The value of each rank, in their order. To be called by all of them.

    Args:
        value: plain, or tensors of the CPU.
    """
    if count() == 1:
        return [value]
    found: list[Any] = [None] * count()
    distributed.all_gather_object(found, value)
    return found


def total(value: Tensor) -> Tensor:
    """The sum over all ranks, of the same shape. To be called by all of them."""
    if count() == 1:
        return value
    value = value.clone()
    distributed.all_reduce(value)
    return value


def average(values: Sequence[Tensor]) -> None:
    """Gives each tensor its mean over all ranks, in place. To be called by all of them."""
    if count() == 1 or not values:
        return
    # One message is faster than one a tensor.
    means = total(torch.cat([value.flatten() for value in values])) / count()
    for value, mean in zip(values, means.split([v.numel() for v in values]), strict=True):
        value.copy_(mean.view_as(value))


def weight(rows: int, device: torch.device) -> Tensor | None:
    """What the mean over a rank's rows counts; None: there is one rank. To be called by all.

    Gradients are averaged over ranks. Weighted so, each row of the whole batch counts the same,
    also where one rank has a row more than another.

    Args:
        rows: of this rank's share.
        device: of the model.
    """
    if count() == 1:
        return None
    own = torch.tensor(float(rows), device=device)
    return own * count() / total(own)
