"""The batches of several trainings in a pack, from one copy of their features.

Each training has its own training split, standardisation and batches: those that it would have by
itself. Batches of vectors also have the same order. Those of frames have the order of
`FrameBatches.aligned`: the batches of all trainings in a step have a similar number of frames. Rows
of shorter batches are padding, with weight 0.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ser.data.batches import Batch, Batches
from ser.data.datamodule import DataModule
from ser.data.frame_batches import FrameBatches, common_order


class Items(NamedTuple):
    """Items of a batch of all trainings, without their features.

    Attributes:
        rows: (R, B) row of each item; at frame level, that of its first frame.
        y: (R, B) class indices.
        weights: (R, B), see `Batch`.
        lengths: (R, B) frames, 0 for padding; None at utterance level.
    """

    rows: Tensor
    y: Tensor
    weights: Tensor
    lengths: Tensor | None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Items":
        """Return items whose tensors are changed by a function."""
        lengths = None if self.lengths is None else change(self.lengths)
        return Items(change(self.rows), change(self.y), change(self.weights), lengths)


# A batch: its items, their largest number of frames or None, and how many each training has.
Part = tuple[Items, int | None, list[int]]


class PackData:
    """Training and validation batches of R trainings.

    Args:
        data: Data of the runs of each training, which differ in validation and test splits only.
        device: Where features and batches are.

    Attributes:
        validation: Batches of the validation splits of the first run of each training, then of the
            second one of those that have two, and so on.
        rows: B, rows of every training batch: its size, or one more if a run has a longer batch.
        most: Largest number of rows that a batch can have, in this pack or another one.
    """

    def __init__(self, data: Sequence[Sequence[DataModule]], device: torch.device) -> None:
        self.device = device
        of_trainings = [runs[0] for runs in data]
        self.training = [each.train_dataloader() for each in of_trainings]
        for runs, batches in zip(data, self.training, strict=True):
            for own in runs:
                _require_own_training(own, batches)
            if isinstance(batches, FrameBatches):
                batches.aligned = True
        # A last batch with one utterance is joined to the one before.
        self.most = of_trainings[0].batch_size + 1
        self.rows = max(b - a for each in self.training for a, b in pairwise(each.bounds))
        self._values, self._first = _values_of(of_trainings, device)
        standardisers = [each.standardiser for each in of_trainings]
        self._means = _stacked([each.mean for each in standardisers], device)
        self._scales = _stacked([each.scale for each in standardisers], device)
        self._clip = standardisers[0].clip
        self._padding = [
            int(_rows_of(batches, [torch.tensor([0])])[0]) + first
            for batches, first in zip(self.training, self._first, strict=True)
        ]
        self._validation = [
            [_Validation.of(each.val_dataloader()) for each in runs] for runs in data
        ]
        self.validation = [self._validation_of(place) for place in range(max(map(len, data)))]

    def batch(self, items: Items, frames: int | None) -> Batch:
        """Return standardised features with their labels.

        Args:
            items: Items of the batch.
            frames: T; None at utterance level.
        """
        rows, lengths = items.rows, items.lengths
        if lengths is None or frames is None:
            return Batch(self._standardised(rows), items.y, weights=items.weights)
        frame = torch.arange(frames, device=self.device)
        padding = frame >= lengths[..., None]
        # Padding repeats the first frame until it is set to 0.
        x = self._standardised(rows[..., None] + frame.where(~padding, 0))
        x = x.masked_fill_(padding[..., None], 0.0)
        return Batch(x, items.y, lengths, weights=items.weights)

    def _standardised(self, rows: Tensor) -> Tensor:
        """(R, ...) rows -> (R, ..., D) standardised features."""
        shape = (len(rows), *[1] * (rows.ndim - 1), -1)
        # In float64, as `Standardiser` computes.
        x = (self._values[rows] - self._means.view(shape)).div_(self._scales.view(shape))
        if self._clip is not None:
            x = x.clamp_(-self._clip, self._clip)
        return x.float()

    def epoch(self, number: int) -> Iterator[Part]:
        """Yield the training batches of an epoch."""
        orders = []
        for batches in self.training:
            batches.set_epoch(number)
            orders.append(batches.order())
        parts = _Parts(max(map(len, orders)), self.rows, self._padding)
        for training, (batches, order) in enumerate(zip(self.training, orders, strict=True)):
            steps: Sequence[int] = range(len(order))
            if isinstance(batches, FrameBatches):
                ranks = common_order(parts.steps, number)
                steps = [step for step, rank in enumerate(ranks) if rank < len(order)]
            rows, lengths = _rows_of(batches, order)
            sizes = torch.tensor([len(each) for each in order])
            y = batches.y[torch.cat(order)]
            parts.fill(training, steps, sizes, rows + self._first[training], y, lengths)
        return parts.on(self.device)

    def _validation_of(self, place: int) -> list[Part]:
        """Return validation splits, as many items of each as a training batch has.

        Args:
            place: Place of the run among those of its training; nothing where there is none.
        """
        splits = {
            training: runs[place]
            for training, runs in enumerate(self._validation)
            if place < len(runs)
        }
        count = max(len(each.rows) for each in splits.values())
        parts = _Parts(-(-count // self.rows), self.rows, self._padding)
        for training, own in splits.items():
            sizes = torch.tensor([len(each) for each in own.rows.split(self.rows)])
            rows, y = own.rows + self._first[training], own.y[own.utterances]
            parts.fill(training, range(len(sizes)), sizes, rows, y, own.lengths)
        return list(parts.on(self.device))

    def of_utterances(self, training: int, place: int, predicted: Tensor) -> tuple[Tensor, Tensor]:
        """Return predictions for the validation utterances of a run, and their classes.

        Args:
            training: Number of its training.
            place: Its place among the runs of the training.
            predicted: (N, C) predictions for its items, in the order of `validation`.

        Returns:
            (U, C) means over the windows of an utterance, and (U,) classes.
        """
        own = self._validation[training][place]
        sums = predicted.new_zeros(len(own.y), predicted.shape[1])
        sums = sums.index_add_(0, own.utterances, predicted)
        return sums / torch.bincount(own.utterances)[:, None], own.y


class _Parts:
    """A sequence of batches of all trainings, which are padding until they are filled.

    Args:
        steps: Number of batches.
        rows: B.
        padding: Row of each training that padding repeats.
    """

    def __init__(self, steps: int, rows: int, padding: Sequence[int]) -> None:
        shape = steps, len(padding), rows
        self.steps = steps
        repeated = torch.tensor(padding)[:, None].repeat(steps, 1, rows)
        self._items = Items(repeated, torch.zeros(shape).long(), torch.zeros(shape), None)

    def fill(
        self,
        training: int,
        steps: Sequence[int],
        sizes: Tensor,
        rows: Tensor,
        y: Tensor,
        lengths: Tensor | None,
    ) -> None:
        """Set the batches of a training.

        Args:
            training: Number of the training.
            steps: Step of each of its batches.
            sizes: Number of items of each batch.
            rows, y, lengths: Of the items of all batches, one after another.
        """
        place = torch.arange(len(rows)) - (sizes.cumsum(0) - sizes).repeat_interleave(sizes)
        at = torch.tensor(steps).repeat_interleave(sizes), training, place
        items = self._items
        items.rows[at], items.y[at] = rows, y
        items.weights[at] = sizes.double().reciprocal().float().repeat_interleave(sizes)
        if lengths is not None:
            if items.lengths is None:
                items = self._items = items._replace(lengths=torch.zeros_like(items.rows))
            assert items.lengths is not None
            items.lengths[at] = lengths

    def on(self, device: torch.device) -> Iterator[Part]:
        """Yield the batches on a device."""
        items, longest = self._items, [None] * self.steps
        if items.lengths is not None:
            longest = items.lengths.amax(dim=(1, 2)).tolist()
        counts = (items.weights > 0).sum(dim=2).tolist()
        items = items.each(lambda tensor: tensor.to(device))
        for step in range(self.steps):
            yield items.each(operator.itemgetter(step)), longest[step], counts[step]


@dataclass(frozen=True)
class _Validation:
    """Items of a validation split, and the utterance of each; those of similar length together."""

    rows: Tensor
    lengths: Tensor | None
    utterances: Tensor
    y: Tensor

    @classmethod
    def of(cls, batches: Batches) -> "_Validation":
        everything = torch.arange(len(batches.y))
        if not isinstance(batches, FrameBatches):
            return cls(batches.utterances, None, everything, batches.y)
        rows, lengths, windows = batches.stretches(everything, 0)
        assert windows is not None
        order = lengths.argsort(stable=True)
        return cls(rows[order], lengths[order], windows[order], batches.y)


def _rows_of(batches: Batches, order: Sequence[Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return the rows of the items of all batches, first ones of frames; and numbers of frames."""
    if not isinstance(batches, FrameBatches):
        return batches.utterances[torch.cat(list(order))], None
    stretches = [batches.stretches(positions, place) for place, positions in enumerate(order)]
    rows, lengths, _ = zip(*stretches, strict=True)
    return torch.cat(rows), torch.cat(lengths)


def _require_own_training(data: DataModule, batches: Batches) -> None:
    """Assert that the batches of a run have utterances of its own training split only."""
    seen = data.features.utterances[batches.utterances.numpy()]
    assert seen.isin(data.fold.training).all()
    assert seen.intersection(data.fold.val.append(data.fold.test)).empty


def _values_of(data: Sequence[DataModule], device: torch.device) -> tuple[Tensor, list[int]]:
    """Return all features (N, D), each once, and the first row of those of each training."""
    first: dict[int, int] = {}
    arrays: list[np.ndarray] = []
    for each in data:
        if id(each.features) not in first:
            first[id(each.features)] = sum(map(len, arrays))
            arrays.append(each.values)
    values = (
        torch.cat([torch.from_numpy(each) for each in arrays])
        if arrays[1:]
        else torch.from_numpy(arrays[0])
    )
    return values.to(device), [first[id(each.features)] for each in data]


def _stacked(arrays: Sequence[np.ndarray], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(arrays)).to(device)
