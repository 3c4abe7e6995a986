"""Batches of utterances as sequences of frames."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ser.data.batches import Batch, Batches, Rows
from ser.data.perturbations import NONE, Perturbations


class FrameBatches(Batches):
    """Frame-level batches of utterances of similar length, padded to the longest.

    In training, an utterance longer than `max_frames` is cropped at random. In evaluation, it is
    divided into evenly spaced windows that cover it, whose probabilities are averaged.

    Args:
        rows: Frames of all utterances, in order.
        utterances: (N,) numbers of the utterances of the split.
        y: (N,) class indices.
        offsets: (all + 1,) first frame of each utterance.
        max_frames: Largest number of frames that a network gets.
        batch_size: B of all ranks together.
        seed: Of the order and the crops; None: the given order and all windows.
        share: (rank, ranks), see `Batches`.
        perturbations: Random changes of batches with a seed.

    Attributes:
        aligned: Whether the batches of an epoch are in `common_order` by length, as in packs,
            where all runs have batches of similar length at the same time.
    """

    aligned = False
    # Batches within which utterances are sorted by length: there is little padding, but the
    # batches differ between epochs.
    POOL = 16

    def __init__(
        self,
        rows: Rows,
        utterances: Tensor,
        y: Tensor,
        *,
        offsets: Tensor,
        max_frames: int,
        batch_size: int,
        seed: int | None,
        share: tuple[int, int] = (0, 1),
        perturbations: Perturbations = NONE,
    ) -> None:
        super().__init__(
            rows,
            utterances,
            y,
            batch_size=batch_size,
            seed=seed,
            share=share,
            perturbations=perturbations,
        )
        self.starts = offsets[utterances]
        self.lengths = offsets[utterances + 1] - self.starts
        self.max_frames = max_frames
        self.batch_size = batch_size

    def split(self, random: torch.Generator | None) -> list[Tensor]:
        if random is None:
            return super().split(None)
        order = torch.randperm(len(self.y), generator=random)
        pools = order.split(self.POOL * self.batch_size)
        order = torch.cat([pool[self.lengths[pool].argsort(stable=True)] for pool in pools])
        batches = [order[a:b] for a, b in pairwise(self.bounds)]
        if self.aligned:
            batches.sort(key=lambda batch: int(self.lengths[batch].max()))
            return [batches[i] for i in common_order(len(batches), self.epoch)]
        return [batches[i] for i in torch.randperm(len(batches), generator=random)]

    def batch(self, positions: Tensor, number: int) -> Batch:
        batch = self._mixed(self._cropped(positions, number), positions, number)
        masks = self.perturbations.spec_augment
        if self.seed is None or masks is None or batch.lengths is None:
            return batch
        drawn = self.perturbations.masks(len(positions), self.seed, self.epoch, number)
        return batch._replace(x=masks(batch.x, batch.lengths, drawn[self.share]))

    def _partners(self, positions: Tensor, batch: Batch) -> Tensor:
        """Return the beginnings of other utterances, cut or padded to the lengths of a batch."""
        assert batch.lengths is not None
        lengths = torch.minimum(self.lengths[positions], batch.lengths)
        x = self._gather(self.starts[positions], lengths)
        return torch.nn.functional.pad(x, (0, 0, 0, batch.x.shape[1] - x.shape[1]))

    def _cropped(self, positions: Tensor, number: int) -> Batch:
        """Return this rank's share of a batch: crops in training, all windows in evaluation."""
        starts, lengths, windows = self.stretches(positions, number)
        y = self.y[positions[self.share]]
        return Batch(self._gather(starts, lengths), y, lengths, windows)

    def stretches(self, positions: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the frames of this rank's share of a batch.

        Args:
            positions: Utterances of the batch, as positions in the split.
            number: Number of the batch in its epoch, of which the crops depend.

        Returns:
            First frame and number of frames of each stretch, (B,); and the utterance of each as its
            place in the batch, or None if there is one stretch for each.
        """
        random = self._random(1 + number)
        # Drawn for the whole batch, so that crops do not depend on the number of ranks.
        drawn = None if random is None else torch.rand(len(positions), generator=random)[self.share]
        positions = positions[self.share]
        starts, lengths = self.starts[positions], self.lengths[positions]
        if drawn is None:
            counts = (lengths + self.max_frames - 1) // self.max_frames
            windows = torch.repeat_interleave(torch.arange(len(positions)), counts)
            index = torch.arange(len(windows)) - (counts.cumsum(0) - counts)[windows]
            spare = (lengths[windows] - self.max_frames).clamp(min=0)
            shift = spare * index // (counts[windows] - 1).clamp(min=1)
            starts, lengths = starts[windows] + shift, lengths[windows]
        else:
            windows = None
            spare = (lengths - self.max_frames).clamp(min=0)
            starts = starts + (drawn * (spare + 1)).long()
        return starts, lengths.clamp(max=self.max_frames), windows

    def _gather(self, starts: Tensor, lengths: Tensor) -> Tensor:
        """Gather (B, longest, F) frames by their starts and lengths, (B,); pad with zeros."""
        frame = torch.arange(int(lengths.max()), device=self.device)
        starts = starts.to(self.device, non_blocking=True)
        lengths = lengths.to(self.device, non_blocking=True)
        inside = frame < lengths[:, None]
        x = self.rows.take(torch.where(inside, starts[:, None] + frame, 0))
        return x.masked_fill_(~inside[..., None], 0.0)


def common_order(count: int, epoch: int) -> list[int]:
    """Return 0..count-1 in a random order of an epoch, which is the same for all seeds.

    That of fewer numbers is the same without the others.

    Examples:
        >>> common_order(6, epoch=0)
        [3, 2, 1, 0, 4, 5]
        >>> common_order(4, epoch=0)
        [3, 2, 1, 0]
    """
    return np.random.default_rng(epoch).random(count).argsort(kind="stable").tolist()
