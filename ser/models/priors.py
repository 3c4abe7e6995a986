"""Distributions that codes are drawn towards. `real` is a sample of one, everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED
from ser.errors import UserError


class Gaussian:
    """N(0, I); its codes are what the encoder's linear head gives."""

    def sample(self, labels: Tensor, size: int, classes: int) -> Tensor:
        """(B,) labels, which change nothing -> (B, size) samples."""
        return torch.randn(len(labels), size, device=labels.device)

    def code(self, head: Tensor) -> Tensor:
        """What an encoder's head (B, size) means as a code, (B, size)."""
        return head


class Categorical:
    """One of `size` classes with equal probabilities, one-hot; its codes are softmax outputs."""

    def sample(self, labels: Tensor, size: int, classes: int) -> Tensor:
        """(B,) labels, which change nothing -> (B, size) one-hot samples."""
        drawn = torch.randint(size, (len(labels),), device=labels.device)
        return nn.functional.one_hot(drawn, size).to(torch.get_default_dtype())

    def code(self, head: Tensor) -> Tensor:
        """(B, size) logits -> (B, size) probabilities."""
        return head.softmax(dim=1)


@dataclass(frozen=True)
class GaussianMixture:
    """A Gaussian for each class, all equally likely (sahu2017, section 3.3.1).

    The paper says neither where its four Gaussians lie nor how wide they are.

    Args:
        radius: distance of each mean from the origin; the means are as far from each other as
            they can be: evenly on a line in 1-D and a circle in 2-D, a regular simplex where there
            are dimensions enough for one (classes - 1), else on a circle in the first two.
        spread: standard deviation of each, the same in every dimension.
        means: of each class in order, in place of those above; null: those above.
    """

    radius: float
    spread: float
    means: Sequence[Sequence[float]] | None

    def centres(self, size: int, classes: int) -> Tensor:
        """(classes, size), the mean of each class.

        Raises:
            UserError: `means` are not as many, or not as long, as there are classes and dimensions.
        """
        if self.means is not None:
            if len(self.means) != classes or any(len(mean) != size for mean in self.means):
                raise UserError(
                    f"prior.means={[list(mean) for mean in self.means]}: {classes} classes need "
                    f"as many means, each of {size} values"
                )
            return torch.tensor(self.means, dtype=torch.get_default_dtype())
        if size == 1:
            return self.radius * torch.linspace(-1.0, 1.0, classes)[:, None]
        found = torch.zeros(classes, size)
        if size < max(3, classes - 1):
            angles = 2 * torch.pi * torch.arange(classes) / classes
            found[:, 0], found[:, 1] = angles.cos(), angles.sin()
        else:
            found[:, : classes - 1] = _simplex(classes)
        return self.radius * found

    def sample(self, labels: Tensor, size: int, classes: int) -> Tensor:
        """(B,) labels -> (B, size) samples of their components; of any where `UNLABELLED`."""
        drawn = torch.randint(classes, (len(labels),), device=labels.device)
        component = torch.where(labels == UNLABELLED, drawn, labels)
        noise = torch.randn(len(labels), size, device=labels.device)
        return self.centres(size, classes).to(labels.device)[component] + self.spread * noise

    def code(self, head: Tensor) -> Tensor:
        """What an encoder's head (B, size) means as a code, (B, size)."""
        return head


def _simplex(corners: int) -> Tensor:
    """A regular simplex about the origin, each corner at distance 1: (corners, corners - 1)."""
    found = torch.zeros(corners, corners - 1, dtype=torch.float64)
    for i in range(corners - 1):
        # What is left of the length goes into one new dimension; all later corners share theirs.
        found[i, i] = (1 - found[i, :i].square().sum()).sqrt()
        product = -1 / (corners - 1) - (found[i, :i] * found[i + 1, :i]).sum()
        found[i + 1 :, i] = product / found[i, i]
    return found.to(torch.get_default_dtype())
