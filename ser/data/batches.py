"""Batches of training and evaluation, and the loaders that produce them.

A batch is one gather, not a Python loop over utterances. The order depends only on a seed and the
epoch. Loaders are stateful for Lightning, so that a run that was killed in the middle of an epoch
continues with the next batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ser.data.perturbations import NONE, Perturbations
from ser.data.segments import Segments
from ser.data.standardise import Standardiser
from ser.errors import UserError

UNLABELLED = -1
SCORING_BATCH_SIZE = 256  # utterances per batch without training
SEGMENT_SCORING_BATCH_SIZE = 64  # the same, where an utterance has one item per frame
POOL = 1 << 18  # rows that are shuffled together: half a gigabyte with 513 values per row
BLOCK = 1 << 12  # neighbouring rows that stay in one pool, where there are more rows than `POOL`


class Batch(NamedTuple):
    """Some utterances, or windows of utterances.

    Attributes:
        x: (B, D) standardised features; at frame level (B, T, F), padded with zeros.
        y: (B,) class indices, `UNLABELLED` where there is none; (U,) if there are windows. If a
            target is not one of classes, (B, Y) floats with columns for each `Head`, NaN where
            there is no label.
        lengths: (B,) frames without padding; None at utterance level.
        windows: (B,) utterance of each window, from 0 to U - 1; None: each item is an utterance.
        partners: (B,) class index of the item that is mixed into each; None: none are mixed.
        shares: (B,) share of each item itself in a mixture.
        weights: (R, B) of a pack of R runs (`ser.training.pack`), whose features are (R, B, D) or
            (R, B, T, F), classes and lengths (R, B): 1 / n for each of the n items of a run, 0 for
            padding; None: no pack.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None
    windows: Tensor | None = None
    partners: Tensor | None = None
    shares: Tensor | None = None
    weights: Tensor | None = None

    @property
    def classes(self) -> Tensor:
        """Class indices (B,); `UNLABELLED` where there is none, or the target is not of classes."""
        if self.y.ndim == 1 or self.weights is not None:
            return self.y
        return torch.full((len(self.y),), UNLABELLED, device=self.y.device)


@dataclass(frozen=True)
class Head:
    """What a model predicts of one task.

    Attributes:
        name: Name of the task, e.g. "activation".
        classes: C; 0: a value.
        soft: Whether the model learns shares of the classes: `Batch.y` has a column with the class
            index, for scores, and C columns with the shares.
        weight: Weight of its loss among those of other tasks.
        values: (N,) values of the training utterances, which scale the output; None: unknown, as
            before data are read and after training.
        class_weights: (C,) for the cross-entropy, or None.
    """

    name: str
    classes: int
    soft: bool = False
    weight: float = 1.0
    values: Tensor | None = None
    class_weights: Tensor | None = None

    @property
    def columns(self) -> int:
        """Number of columns of `Batch.y`."""
        return 1 + self.classes * self.soft


@dataclass(frozen=True)
class Task:
    """The sizes of a model's input and output, and what else it needs to know of the data.

    Attributes:
        inputs: D, or F at frame level.
        classes: C; 0 if the target is not one of classes.
        class_weights: (C,) for the cross-entropy of one task, or None.
        groups: Columns of the features by kind, e.g. {"mfcc": [7, 8]}.
        variants: (V,) weights with which a model averages its outputs for the V codes of an item,
            which are concatenated, (..., V * inputs); None: an item has one code.
        layers: Layers of a pretrained encoder, whose features have equal shares of the inputs.
        heads: What a model predicts instead of one of C classes; none: the class.
    """

    inputs: int
    classes: int
    class_weights: Tensor | None
    groups: dict[str, list[int]]
    variants: Tensor | None = None
    layers: int = 1
    heads: tuple[Head, ...] = ()


class Rows:
    """Standardised rows of features, (N, D).

    Args:
        values: (N, D), in memory or memory-mapped.
        standardiser: Fitted on the training split.
        eager: Standardise all rows now; False: the rows of each batch when they are taken.
    """

    def __init__(self, values: np.ndarray, standardiser: Standardiser, *, eager: bool) -> None:
        self._raw = None if eager else values
        self._standardiser = standardiser
        self._copy: Tensor | None = None
        if self._raw is None:
            self._standardised = torch.from_numpy(standardiser(values))

    @property
    def can_move(self) -> bool:
        """Whether all rows are in memory."""
        return self._raw is None

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self._standardised.nbytes

    def is_on(self, device: torch.device) -> bool:
        """Whether there is a copy of all rows on a device."""
        return self._copy is not None and self._copy.device == device

    def move(self, device: torch.device) -> None:
        """Copy all rows to a device, and remove the copy on another; the CPU keeps its rows."""
        if not self.is_on(device):
            self._copy = None if device.type == "cpu" else self._standardised.to(device)

    def take(self, rows: Tensor) -> Tensor:
        """Return rows by number, (...) -> (..., D), on the device of the numbers."""
        if self._copy is not None and rows.device.type != "cpu":
            return self._copy[rows]
        if self._raw is None:
            return self._standardised[rows]
        flat = self._standardiser(self._raw[rows.reshape(-1).numpy()])
        return torch.from_numpy(flat).reshape(*rows.shape, -1)


class Batches:
    """Utterance-level batches of one split.

    Args:
        rows: Features.
        utterances: (N,) row of each item of the split; or (N, L), rows that are concatenated into
            one item of L * D values.
        y: (N,) class indices, or (N, Y) floats.
        batch_size: B of all ranks together. A last batch with one utterance per rank is joined to
            the one before, because batch normalisation needs at least two.
        seed: Of the order (see `shuffled`); None: the given order.
        share: (rank, ranks); a rank has every `ranks`-th utterance of each batch.
        perturbations: Random changes of batches with a seed.

    Raises:
        UserError: There are too few utterances for the number of ranks.
    """

    # Lightning reads `batch_sampler` and `sampler`, and calls the `set_epoch` of the latter.
    batch_sampler = None

    def __init__(
        self,
        rows: Rows,
        utterances: Tensor,
        y: Tensor,
        *,
        batch_size: int,
        seed: int | None,
        share: tuple[int, int] = (0, 1),
        perturbations: Perturbations = NONE,
    ) -> None:
        self.rows, self.utterances, self.y = rows, utterances, y
        self.perturbations = perturbations
        self.device = torch.device("cpu")
        self.seed = seed
        self.epoch = 0
        self.first = 0
        ends = list(range(batch_size, len(y), batch_size))
        rank, ranks = share
        self.share = slice(rank, None, ranks)
        least = 2 * ranks
        if ends and len(y) - ends[-1] < least:
            ends.pop()
        self.bounds = [0, *ends, len(y)]
        if ranks > 1 and min(batch_size, len(y)) < least:
            raise UserError(
                f"{ranks} devices need batches of at least {least} utterances, but one has "
                f"{min(batch_size, len(y))}: lower trainer.devices or raise data.batch_size"
            )

    @property
    def sampler(self) -> "Batches":
        return self

    @property
    def can_move(self) -> bool:
        """Whether batches can be gathered on another device."""
        return self.rows.can_move and self.perturbations == NONE

    def move(self, device: torch.device) -> None:
        """Gather the features of batches on a device, of whose rows it gets a copy."""
        self.rows.move(device)
        self.device = device

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        return {"next_batch": self.first}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.first = state["next_batch"]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[Batch]:
        batches = self.order()
        for number in range(self.first, len(self)):
            self.first = (number + 1) % len(self)
            yield self.batch(batches[number], number)

    def order(self) -> list[Tensor]:
        """Return the utterances of each batch of this epoch, as positions in the split."""
        return self.split(self._random())

    def split(self, random: torch.Generator | None) -> list[Tensor]:
        """Return the utterances of each batch of this epoch, as positions in the split."""
        count = len(self.y)
        order = torch.arange(count) if random is None else shuffled(count, random)
        return [order[a:b] for a, b in pairwise(self.bounds)]

    def batch(self, positions: Tensor, number: int) -> Batch:
        """Return this rank's share of a batch, given its utterances as positions in the split."""
        own = positions[self.share]
        rows = self.utterances[own].to(self.device, non_blocking=True)
        batch = Batch(self.rows.take(rows).flatten(1), self.y[own])
        return self._mixed(batch, positions, number)

    def _mixed(self, batch: Batch, positions: Tensor, number: int) -> Batch:
        """Return this rank's share of a batch, mixed with items of the whole batch."""
        if self.seed is None:
            return batch
        mixing = self.perturbations.mixing(len(positions), self.seed, self.epoch, number)
        if mixing is None:
            return batch
        partners = positions[mixing.partners][self.share]
        shares = mixing.shares[self.share]
        weight = shares.reshape(-1, *[1] * (batch.x.ndim - 1))
        x = weight * batch.x + (1 - weight) * self._partners(partners, batch)
        if self.y.ndim == 2:  # values can be mixed as features are
            mixed = torch.lerp(self.y[partners], batch.y, shares[:, None])
            return batch._replace(x=x, y=mixed)
        return batch._replace(x=x, partners=self.y[partners], shares=shares)

    def _partners(self, positions: Tensor, batch: Batch) -> Tensor:
        """Return the items at some positions in the shape of a batch."""
        return self.rows.take(self.utterances[positions]).flatten(1)

    def _random(self, number: int = 0) -> torch.Generator | None:
        """Return the generator of an epoch or batch, which does not depend on earlier batches."""
        if self.seed is None:
            return None
        # A seed sequence, so that seed 1 in epoch 0 differs from seed 0 in epoch 1.
        mixed = np.random.SeedSequence([self.seed, self.epoch, number]).generate_state(1)[0]
        return torch.Generator().manual_seed(int(mixed))


def shuffled(count: int, random: torch.Generator) -> Tensor:
    """Return 0..count-1 in random order, so that an epoch reads one pool of rows after another.

    Up to `POOL` rows, all orders are equally likely. Beyond, blocks of neighbouring rows are
    shuffled, and then the rows of each pool of blocks. Without pools, the rows of a batch would be
    scattered over a file larger than memory, and most of what is read from the disk would be
    discarded.
    """
    if count <= POOL:
        return torch.randperm(count, generator=random)
    blocks = torch.arange(count).split(BLOCK)
    blocks_in_order = [blocks[i] for i in torch.randperm(len(blocks), generator=random)]
    pools = torch.cat(blocks_in_order).split(POOL)
    return torch.cat([pool[torch.randperm(len(pool), generator=random)] for pool in pools])


class SegmentBatches(Batches):
    """Batches of all segments of some utterances, for scoring: outputs are averaged per utterance.

    Args:
        rows: Frames of all utterances, in order.
        segments: Of the utterances of the split.
        y: (U,) class indices of the utterances.
        batch_size: Utterances per batch of all ranks together.
        share: (rank, ranks), see `Batches`.
    """

    def __init__(
        self,
        rows: Rows,
        segments: Segments,
        y: Tensor,
        *,
        batch_size: int,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        utterances = torch.arange(len(y))
        super().__init__(rows, utterances, y, batch_size=batch_size, seed=None, share=share)
        self.frames = torch.from_numpy(segments.frames)
        self.offsets = torch.from_numpy(segments.offsets)

    def batch(self, positions: Tensor, number: int) -> Batch:
        positions = positions[self.share]
        starts, ends = self.offsets[positions], self.offsets[positions + 1]
        frames = torch.cat([self.frames[a:b] for a, b in zip(starts, ends, strict=True)])
        windows = torch.repeat_interleave(torch.arange(len(positions)), ends - starts)
        rows = frames.to(self.device, non_blocking=True)
        return Batch(self.rows.take(rows).flatten(1), self.y[positions], None, windows)
