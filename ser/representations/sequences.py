"""Sequence models as representations: one code per utterance, of its frames in order."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ser.data.batches import SCORING_BATCH_SIZE, UNLABELLED, Rows
from ser.data.frame_batches import FrameBatches
from ser.data.segments import Segments
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.representations import Items
from ser.representations.learned import Learned, Network


class SequenceNetwork(Network):
    """A trained sequence model."""

    pools = True

    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        y = np.full(len(x), UNLABELLED)
        with torch.inference_mode():
            return torch.cat([self.module.codes(batch) for batch in self.batches(x, y)]).numpy()

    def batches(self, x: Items, y: np.ndarray) -> FrameBatches:
        return sequences(self.standardiser, x, y, SCORING_BATCH_SIZE, None)


class OfSequences(Learned):
    """As `Learned`, for a model of sequences (B, T, F), whose frames are segments of one frame.

    The arguments are those of `Learned`; `batch_size` counts utterances.
    """

    pools = True

    @property
    def network(self) -> type[Network]:
        return SequenceNetwork

    @staticmethod
    def batches(
        standardiser: Standardiser, x: Items, y: np.ndarray, size: int, seed: int | None
    ) -> FrameBatches:
        return sequences(standardiser, x, y, size, seed)


def sequences(
    standardiser: Standardiser, x: Items, y: np.ndarray, size: int, seed: int | None
) -> FrameBatches:
    """Return batches of whole utterances.

    Args:
        standardiser: Standardiser of frames.
        x: N segments of one frame.
        y: (N,) class indices of the segments.
        size: Utterances per batch.
        seed: Seed of their order; None: the order of `x`.

    Raises:
        UserError: The segments have several frames, or leave out some.
    """
    assert isinstance(x, Segments)
    if x.frames.shape[1] != 1:
        raise UserError(
            f"segments of {x.frames.shape[1]} frames: a sequence model needs single frames "
            "(segments=context segments.past=0 segments.future=0), or the codes of another "
            "representation (representation=blstm_autoencoder)"
        )
    first = x.offsets[:-1]
    starts, lengths = x.frames[first, 0], np.diff(x.offsets)
    consecutive = np.repeat(starts - first, lengths) + np.arange(len(x))
    if not np.array_equal(x.frames[:, 0], consecutive):
        raise UserError(
            "segments leave out frames: a sequence model needs all of them, segments.hop=1"
        )
    # A start and an end per utterance, because other utterances may lie between them.
    bounds: Any = np.stack([starts, starts + lengths], axis=1).reshape(-1)
    utterances: Tensor = 2 * torch.arange(len(starts))
    return FrameBatches(
        Rows(x.values, standardiser, eager=not x.mapped),
        utterances,
        torch.tensor(y[first], dtype=torch.long),
        offsets=torch.tensor(bounds),
        max_frames=int(lengths.max()),
        batch_size=size,
        seed=seed,
    )
