"""Batches: what a training step gets, and the loaders that make them.

A batch is one gather, not a Python loop over utterances. The order depends on a seed and the epoch
alone and, for Lightning, a loader is stateful: so a run that is killed in the middle of an epoch
continues with the next batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ser.data.segments import Segments
from ser.data.standardise import Standardiser
from ser.errors import UserError

UNLABELLED = -1
EVALUATED = 256  # utterances a batch when nothing is trained
SEGMENTED = 64  # the same, where each has as many items as frames
BLOCK = 1 << 12  # neighbours that are read together where there are more rows than in
POOL = 1 << 18  # one pool, within which any order may come up: half a gigabyte of 513 values each


class Batch(NamedTuple):
    """Some utterances, or windows of them.

    Attributes:
        x: (B, D) standardised features; (B, T, F) at frame level, zero beyond each one's end.
        y: (B,) class indices, `UNLABELLED` where there is none; (U,) where there are windows.
        lengths: (B,) frames that are not padding; None at utterance level.
        windows: (B,) which of the U utterances a window belongs to; None: windows are utterances.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None
    windows: Tensor | None = None


@dataclass(frozen=True)
class Task:
    """What a model is made for.

    Attributes:
        inputs: D, or F at frame level.
        classes: C.
        class_weights: (C,) for the cross-entropy, or None.
        groups: columns of the features by kind, e.g. {"mfcc": [7, 8]}.
        variants: (V,) where V codes of each item stand side by side, (..., V * inputs), how much
            each counts when what is made of them is averaged; None: there is one.
    """

    inputs: int
    classes: int
    class_weights: Tensor | None
    groups: dict[str, list[int]]
    variants: Tensor | None = None


class Rows:
    """Standardised rows of features, (N, D).

    Args:
        values: (N, D), in memory or memory-mapped.
        standardiser: fitted on the training part.
        at_once: standardise all of it now; False: whatever is taken, as it is taken.
    """

    def __init__(self, values: np.ndarray, standardiser: Standardiser, *, at_once: bool) -> None:
        self._mapped = None if at_once else values
        self._standardiser = standardiser
        if self._mapped is None:
            self._held = torch.from_numpy(standardiser(values))

    def take(self, rows: Tensor) -> Tensor:
        """Rows by number, (...) -> (..., D)."""
        if self._mapped is None:
            return self._held[rows]
        flat = self._standardiser(self._mapped[rows.reshape(-1).numpy()])
        return torch.from_numpy(flat).reshape(*rows.shape, -1)


class Batches:
    """Utterance-level batches of one part.

    Args:
        rows: features.
        utterances: (N,) the part's rows of features; or (N, L), several that are one item: its
            rows one after another, (L * D).
        y: (N,) class indices.
        batch_size: B of all ranks together; a last batch of a single utterance a rank joins the
            one before it, because batch normalisation has no variance for it.
        seed: of the order, which is `shuffled`; None: in the order given.
        share: (rank, ranks); a rank has every `ranks`-th utterance of each batch.

    Raises:
        UserError: too few utterances for so many ranks.
    """

    # Lightning asks for both wherever there is a sampler, and tells the sampler the epoch.
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
    ) -> None:
        self.rows, self.utterances, self.y = rows, utterances, y
        self.seed = seed
        self.epoch = 0
        self.first = 0
        ends = list(range(batch_size, len(y), batch_size))
        rank, ranks = share
        self.mine = slice(rank, None, ranks)
        least = 2 * ranks
        if ends and len(y) - ends[-1] < least:
            ends.pop()
        self.bounds = [0, *ends, len(y)]
        if ranks > 1 and min(batch_size, len(y)) < least:
            raise UserError(
                f"{ranks} devices share batches of {least} utterances or more, and here is one of "
                f"{min(batch_size, len(y))}: fewer trainer.devices, or a larger data.batch_size"
            )

    @property
    def sampler(self) -> "Batches":
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        return {"next_batch": self.first}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.first = state["next_batch"]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[Batch]:
        random = self._random()
        batches = self.split(random)
        for number in range(self.first, len(self)):
            self.first = (number + 1) % len(self)
            yield self.batch(batches[number], number)

    def split(self, random: torch.Generator | None) -> list[Tensor]:
        """Which utterances of the part each batch of this epoch has."""
        count = len(self.y)
        order = torch.arange(count) if random is None else shuffled(count, random)
        return [order[a:b] for a, b in pairwise(self.bounds)]

    def batch(self, chosen: Tensor, number: int) -> Batch:
        """This rank's share of the batch of some utterances of the part."""
        chosen = chosen[self.mine]
        return Batch(self.rows.take(self.utterances[chosen]).flatten(1), self.y[chosen])

    def _random(self, number: int = 0) -> torch.Generator | None:
        """Random numbers of this epoch; those of one batch do not depend on the ones before it."""
        if self.seed is None:
            return None
        # Words of entropy, so that seed 1 epoch 0 is not seed 0 epoch 1.
        mixed = np.random.SeedSequence([self.seed, self.epoch, number]).generate_state(1)[0]
        return torch.Generator().manual_seed(int(mixed))


def shuffled(count: int, random: torch.Generator) -> Tensor:
    """0..count-1 in an order for an epoch that reads no more than a pool of rows at a time.

    Up to `POOL` any order is as likely as another. Of more, blocks of neighbours are put in any
    order, and so are the rows of each pool of blocks: were each batch's rows to come from anywhere
    in a file larger than memory, nearly all that is read from the disk would be read in vain.
    """
    if count <= POOL:
        return torch.randperm(count, generator=random)
    blocks = torch.arange(count).split(BLOCK)
    blocks_in_order = [blocks[i] for i in torch.randperm(len(blocks), generator=random)]
    pools = torch.cat(blocks_in_order).split(POOL)
    return torch.cat([pool[torch.randperm(len(pool), generator=random)] for pool in pools])


class SegmentBatches(Batches):
    """Batches of all segments of some utterances, for scoring: an utterance's are averaged.

    Args:
        rows: frames of all utterances, one after another.
        segments: of the part's utterances.
        y: (U,) class indices of the utterances.
        batch_size: utterances of all ranks together.
        share: (rank, ranks), as above.
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

    def batch(self, chosen: Tensor, number: int) -> Batch:
        chosen = chosen[self.mine]
        starts, ends = self.offsets[chosen], self.offsets[chosen + 1]
        wanted = torch.cat([self.frames[a:b] for a, b in zip(starts, ends, strict=True)])
        windows = torch.repeat_interleave(torch.arange(len(chosen)), ends - starts)
        return Batch(self.rows.take(wanted).flatten(1), self.y[chosen], None, windows)


class FrameBatches(Batches):
    """Frame-level batches: utterances of like length together, padded to the longest.

    In training an utterance longer than `max_frames` is cropped at random; otherwise it becomes as
    many windows as cover it, evenly spread, whose probabilities are averaged.

    Args:
        rows: frames of all utterances, one after another.
        utterances: (N,) the part's utterances.
        y: (N,) class indices.
        offsets: (all + 1,) where each utterance's frames begin.
        max_frames: longest stretch that a network sees.
        batch_size: B of all ranks together.
        seed: of order and crops; None: nothing random, all windows.
        share: (rank, ranks), as above.
    """

    # Utterances are sorted by length within so many batches: little padding, and yet the batches
    # of two epochs differ.
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
    ) -> None:
        super().__init__(rows, utterances, y, batch_size=batch_size, seed=seed, share=share)
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
        return [batches[i] for i in torch.randperm(len(batches), generator=random)]

    def batch(self, chosen: Tensor, number: int) -> Batch:
        random = self._random(1 + number)
        # Drawn for the whole batch: a rank crops its share as one that is alone would.
        drawn = None if random is None else torch.rand(len(chosen), generator=random)[self.mine]
        chosen = chosen[self.mine]
        starts, lengths, y = self.starts[chosen], self.lengths[chosen], self.y[chosen]
        if drawn is None:
            counts = (lengths + self.max_frames - 1) // self.max_frames
            windows = torch.repeat_interleave(torch.arange(len(chosen)), counts)
            place = torch.arange(len(windows)) - (counts.cumsum(0) - counts)[windows]
            spare = (lengths[windows] - self.max_frames).clamp(min=0)
            shift = spare * place // (counts[windows] - 1).clamp(min=1)
            starts, lengths = starts[windows] + shift, lengths[windows]
        else:
            windows = None
            spare = (lengths - self.max_frames).clamp(min=0)
            starts = starts + (drawn * (spare + 1)).long()
        lengths = lengths.clamp(max=self.max_frames)
        return Batch(self._gather(starts, lengths), y, lengths, windows)

    def _gather(self, starts: Tensor, lengths: Tensor) -> Tensor:
        """(B,) starts and lengths -> (B, longest, F), zero beyond each length."""
        frame = torch.arange(int(lengths.max()))
        inside = frame < lengths[:, None]
        x = self.rows.take(torch.where(inside, starts[:, None] + frame, 0))
        return x.masked_fill_(~inside[..., None], 0.0)


def make_batches(
    rows: Rows,
    utterances: np.ndarray,
    y: Tensor,
    *,
    offsets: np.ndarray | None,
    segments: Segments | None,
    max_frames: int,
    batch_size: int,
    seed: int | None,
    share: tuple[int, int] = (0, 1),
) -> Batches:
    """Return the batches of some utterances: of vectors, of frames, or of segments one by one.

    Args:
        rows: Features of all utterances, or their frames one after another.
        utterances: (N,) numbers of the utterances.
        y: (N,) class indices.
        offsets: (all + 1,) where the frames of each utterance begin; None: utterance level.
        segments: Segments of the utterances that the network sees one by one; None: it does not.
        max_frames: Longest stretch of frames that a network sees.
        batch_size: Items per training batch of all ranks together.
        seed: Seed of the order of training batches; None: a fixed order, for scoring.
        share: (rank, ranks).
    """
    if segments is not None and seed is None:
        return SegmentBatches(rows, segments, y, batch_size=SEGMENTED, share=share)
    if segments is not None:
        frames = torch.from_numpy(segments.frames)
        classes = torch.from_numpy(segments.of_each(y.numpy()))
        return Batches(rows, frames, classes, batch_size=batch_size, seed=seed, share=share)
    numbers = torch.tensor(utterances)
    size = EVALUATED if seed is None else batch_size
    if offsets is None:
        return Batches(rows, numbers, y, batch_size=size, seed=seed, share=share)
    return FrameBatches(
        rows,
        numbers,
        y,
        offsets=torch.tensor(offsets),
        max_frames=max_frames,
        batch_size=min(size, batch_size),  # padded frames take more memory than vectors
        seed=seed,
        share=share,
    )
