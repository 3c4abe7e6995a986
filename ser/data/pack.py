"""The batches of several runs that are trained together, from one copy of their features.

Each run has its own training split, standardisation and order of batches: those that it would have
if it were trained alone. Rows of shorter batches are padding, with weight 0.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ser.data.batches import Batch, Batches
from ser.data.datamodule import DataModule


class PackData:
    """Training and validation batches of R runs.

    Args:
        data: Data of each run.
        device: Where features and batches are.

    Attributes:
        rows: B, rows of every training batch: its size, or one more if a run has a longer batch.
        most: Largest number of rows that a batch can have, in this pack or another one.
    """

    def __init__(self, data: Sequence[DataModule], device: torch.device) -> None:
        self.device = device
        self.training = [each.train_dataloader() for each in data]
        self.validation = [each.val_dataloader() for each in data]
        for own, batches in zip(data, self.training, strict=True):
            _require_own_training(own, batches)
        # A last batch with one utterance is joined to the one before.
        self.most = data[0].batch_size + 1
        self.rows = max(b - a for each in self.training for a, b in pairwise(each.bounds))
        self._values, self._first = _values_of(data, device)
        standardisers = [each.standardiser for each in data]
        self._means = _stacked([each.mean for each in standardisers], device)
        self._scales = _stacked([each.scale for each in standardisers], device)
        self._clip = standardisers[0].clip

    def batch(self, rows: Tensor, y: Tensor, weights: Tensor) -> Batch:
        """Return standardised features with their labels.

        Args:
            rows: (R, B) rows of the features.
            y: (R, B) class indices.
            weights: (R, B), see `Batch`.
        """
        # In float64, as `Standardiser` computes.
        x = (self._values[rows] - self._means[:, None]).div_(self._scales[:, None])
        if self._clip is not None:
            x = x.clamp_(-self._clip, self._clip)
        return Batch(x.float(), y, weights=weights)

    def epoch(self, number: int) -> "Parts":
        """Return the training batches of an epoch."""
        for batches in self.training:
            batches.set_epoch(number)
        return self._parts(self.training, [batches.order() for batches in self.training])

    def validation_parts(self) -> Iterator["Parts"]:
        """Yield the validation splits, as many utterances of each run as a training batch has."""
        count = max(len(batches.y) for batches in self.validation)
        for begin in range(0, count, self.rows):
            parts = [
                torch.arange(len(each.y))[begin : begin + self.rows] for each in self.validation
            ]
            yield self._parts(self.validation, [[part] if len(part) else [] for part in parts])

    def _parts(self, split: Sequence[Batches], positions: Sequence[Sequence[Tensor]]) -> "Parts":
        """Return some parts of a split of each run, whose positions in the split are given."""
        shape = max(map(len, positions)), len(split), self.rows
        rows, y, weights = torch.zeros(shape).long(), torch.zeros(shape).long(), torch.zeros(shape)
        for run, (batches, parts) in enumerate(zip(split, positions, strict=True)):
            own = batches.utterances + self._first[run]
            rows[:, run] = own[0]  # padding is of the run's own split
            for number, part in enumerate(parts):
                place = number, run, slice(len(part))
                rows[place], y[place] = own[part], batches.y[part]
                weights[place] = 1 / len(part)
        return Parts(rows, y, weights, self.device)


class Parts:
    """A sequence of batches of all runs, without their features.

    Args:
        rows: (S, R, B) rows of the features.
        y: (S, R, B) class indices.
        weights: (S, R, B), see `Batch`.
        device: Where they are moved.

    Attributes:
        counts: (S, R) number of items of each run, 0 if it has no batch; on the CPU.
    """

    def __init__(self, rows: Tensor, y: Tensor, weights: Tensor, device: torch.device) -> None:
        self.counts = (weights > 0).sum(dim=2).tolist()
        self.rows, self.y, self.weights = rows.to(device), y.to(device), weights.to(device)

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, Tensor, Tensor], list[int]]]:
        """Yield the arguments of `PackData.batch`, and the number of items of each run."""
        yield from zip(zip(self.rows, self.y, self.weights, strict=True), self.counts, strict=True)


def _require_own_training(data: DataModule, batches: Batches) -> None:
    """Assert that the batches of a run have utterances of its own training split only."""
    seen = data.features.utterances[batches.utterances.numpy()]
    assert seen.isin(data.fold.training).all()
    assert seen.intersection(data.fold.val.append(data.fold.test)).empty


def _values_of(data: Sequence[DataModule], device: torch.device) -> tuple[Tensor, list[int]]:
    """Return the features of all runs (N, D), each once, and the first row of those of each run."""
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
