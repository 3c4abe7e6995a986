"""Priors: distributions that codes are matched to. Their samples are the `real` codes."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED
from ser.errors import UserError
from ser.networks.noise import NOISE, Noise


class Gaussian:
    """N(0, I). The code is the output of the encoder's linear head."""

    takes_packs = True

    def sample(self, labels: Tensor, size: int, classes: int, noise: Noise = NOISE) -> Tensor:
        """(B,) labels -> (B, size) samples; the values of the labels are not used."""
        return noise.normal(labels, size)

    def code(self, head: Tensor) -> Tensor:
        """(B, size) output of the head -> (B, size) codes."""
        return head


class Categorical:
    """One-hot vectors of `size` equally probable classes. The code is a softmax of the head."""

    takes_packs = True

    def sample(self, labels: Tensor, size: int, classes: int, noise: Noise = NOISE) -> Tensor:
        """(B,) labels -> (B, size) one-hot samples; the values of the labels are not used."""
        drawn = noise.integers(labels, size)
        return nn.functional.one_hot(drawn, size).to(torch.get_default_dtype())

    def code(self, head: Tensor) -> Tensor:
        """(B, size) logits -> (B, size) probabilities."""
        return head.softmax(dim=-1)


@dataclass(frozen=True)
class Ratings:
    """Distribution of the training ratings: what `Categorical` is for a target that is a value.

    A sample is the rating of a training utterance drawn at random, plus normal noise: ratings are
    multiples of a fraction, by which a discriminator would know them. The standard deviation of the
    noise is that of a kernel density estimate (Silverman, *Density Estimation for Statistics and
    Data Analysis*, 1986, equation 3.28), and samples are scaled to the variance of the ratings
    (section 6.4.1). The code is the output of the head.

    Args:
        values: (N,) training ratings, with mean 0 and variance 1; None: unknown, as after
            training. Samples are then of N(0, 1).
    """

    values: Tensor | None

    def sample(self, labels: Tensor, size: int, classes: int, noise: Noise = NOISE) -> Tensor:
        """(B,) labels -> (B, 1) samples; the values of the labels are not used."""
        normal = noise.normal(labels, size)
        if self.values is None:
            return normal
        values = self.values.to(labels.device)
        drawn = noise.integers(labels, len(values))
        width = 1.06 * len(values) ** -0.2
        return (values[drawn][:, None] + width * normal) / (1 + width**2) ** 0.5

    def code(self, head: Tensor) -> Tensor:
        """(B, 1) output of the head -> (B, 1) codes."""
        return head


@dataclass(frozen=True)
class GaussianMixture:
    """One Gaussian per class, all equally probable (sahu2017, section 3.3.1).

    The paper gives neither the means nor the covariances of its four Gaussians.

    Args:
        radius: Distance of each mean from the origin. The means are as far apart as possible:
            equally spaced on a line in 1-D and on a circle in 2-D, a regular simplex if there are
            enough dimensions (classes - 1), otherwise on a circle in the first two.
        spread: Standard deviation, the same for all classes and dimensions.
        means: Means of the classes, in order, instead; None: as above.
    """

    radius: float
    spread: float
    means: Sequence[Sequence[float]] | None

    def centres(self, size: int, classes: int) -> Tensor:
        """Return the mean of each class, (classes, size).

        Raises:
            UserError: The shape of `means` is not (classes, size).
        """
        if self.means is not None:
            if len(self.means) != classes or any(len(mean) != size for mean in self.means):
                raise UserError(
                    f"prior.means={[list(mean) for mean in self.means]}: must be {classes} means "
                    f"(one per class) of {size} values"
                )
            return torch.tensor(self.means, dtype=torch.get_default_dtype())
        if size == 1:
            return self.radius * torch.linspace(-1.0, 1.0, classes)[:, None]
        directions = torch.zeros(classes, size)
        if size < max(3, classes - 1):
            angles = 2 * torch.pi * torch.arange(classes) / classes
            directions[:, 0], directions[:, 1] = angles.cos(), angles.sin()
        else:
            directions[:, : classes - 1] = _simplex(classes)
        return self.radius * directions

    def sample(self, labels: Tensor, size: int, classes: int, noise: Noise = NOISE) -> Tensor:
        """(B,) labels -> (B, size) samples of their components; `UNLABELLED`: of any component."""
        drawn = noise.integers(labels, classes)
        component = torch.where(labels == UNLABELLED, drawn, labels)
        normal = noise.normal(labels, size)
        return self.centres(size, classes).to(labels.device)[component] + self.spread * normal

    def code(self, head: Tensor) -> Tensor:
        """(B, size) output of the head -> (B, size) codes."""
        return head


def _simplex(corners: int) -> Tensor:
    """Return a regular simplex around the origin, (corners, corners - 1), of unit vectors."""
    simplex = torch.zeros(corners, corners - 1, dtype=torch.float64)
    for i in range(corners - 1):
        # The remaining length is in dimension i, where all later corners have the same value.
        simplex[i, i] = (1 - simplex[i, :i].square().sum()).sqrt()
        product = -1 / (corners - 1) - (simplex[i, :i] * simplex[i + 1, :i]).sum()
        simplex[i + 1 :, i] = product / simplex[i, i]
    return simplex.to(torch.get_default_dtype())
