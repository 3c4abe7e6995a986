"""Random changes of training batches: SpecAugment and mixup.

Random numbers depend on the seed, the epoch and the number of the batch only, so that a resumed run
draws the same ones, on any number of devices.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class SpecAugment:
    """Mask stretches of frames and of columns with 0, the mean of standardised features.

    D. S. Park et al., "SpecAugment: a simple data augmentation method for automatic speech
    recognition", Interspeech 2019, without time warping. A mask is at most half of an utterance,
    or of the columns.

    Attributes:
        masks: Number of masks of each kind; 0: none.
        frames: Longest stretch of masked frames.
        columns: Largest number of neighbouring columns that are masked together.
    """

    masks: int
    frames: int
    columns: int

    def __call__(self, x: Tensor, lengths: Tensor, drawn: Tensor) -> Tensor:
        """Return masked frames, (B, T, F).

        Args:
            x: (B, T, F) standardised frames.
            lengths: (B,) frames without padding.
            drawn: (B, 4, masks) uniform numbers from 0 to 1.
        """
        widths = torch.full_like(lengths, x.shape[2])
        times = _masked(x.shape[1], lengths, self.frames, drawn[:, 0], drawn[:, 1])
        columns = _masked(x.shape[2], widths, self.columns, drawn[:, 2], drawn[:, 3])
        return x.masked_fill(times[:, :, None] | columns[:, None, :], 0.0)


@dataclass(frozen=True)
class Mixing:
    """How the items of a batch are mixed.

    Attributes:
        partners: (B,) number in the batch of the item that is mixed into each.
        shares: (B,) share of each item itself, from 0.5 to 1.
    """

    partners: Tensor
    shares: Tensor


@dataclass(frozen=True)
class Perturbations:
    """What changes training batches.

    Attributes:
        spec_augment: Masks of frames and columns; None: there are none.
        mixup: Alpha of the Beta distribution from which the shares of two mixed items are drawn
            (H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018); None: items
            are not mixed.
    """

    spec_augment: SpecAugment | None = None
    mixup: float | None = None

    def mixing(self, count: int, seed: int, epoch: int, number: int) -> Mixing | None:
        """Return how a batch of `count` items is mixed; None: it is not."""
        if self.mixup is None:
            return None
        random = np.random.default_rng([seed, epoch, number, 1])
        partners = torch.from_numpy(random.permutation(count))
        shares = random.beta(self.mixup, self.mixup, count)
        return Mixing(partners, torch.from_numpy(np.maximum(shares, 1 - shares)).float())

    def masks(self, count: int, seed: int, epoch: int, number: int) -> Tensor:
        """Return what `SpecAugment` draws for a batch of `count` items."""
        assert self.spec_augment is not None
        random = np.random.default_rng([seed, epoch, number, 2])
        return torch.from_numpy(random.random((count, 4, self.spec_augment.masks)))


NONE = Perturbations()


def _masked(size: int, lengths: Tensor, most: int, width: Tensor, start: Tensor) -> Tensor:
    """Return what is masked along one axis, (B, size) bool.

    Args:
        size: Length of the axis.
        lengths: (B,) its part that can be masked.
        most: Longest mask.
        width, start: (B, M) uniform numbers from 0 to 1.
    """
    longest = (lengths // 2).clamp(max=most)[:, None]
    widths = (width * (longest + 1)).long()
    starts = (start * (lengths[:, None] - widths + 1)).long()
    index = torch.arange(size)[:, None]
    inside = (index >= starts[:, None]) & (index < (starts + widths)[:, None])
    return inside.any(dim=2)
