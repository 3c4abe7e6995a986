"""Networks as representations that see an utterance's frames in order, and give it one code."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ser.data.batches import EVALUATED, UNLABELLED, FrameBatches, Rows
from ser.data.segments import Segments
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.representations import Items
from ser.representations.learned import Learned, Network


class SequenceNetwork(Network):
    """A trained network over sequences."""

    pools = True

    def transform(self, x: Items, labels: np.ndarray | None = None) -> np.ndarray:
        y = torch.full((len(x),), UNLABELLED).numpy()
        batches = sequences(self.standardiser, x, y, EVALUATED, None)
        with torch.inference_mode():
            return torch.cat([self.module.codes(batch) for batch in batches]).numpy()


class OfSequences(Learned):
    """As `Learned`, of a module that sees (B, T, F): each segment, of one frame, is a frame.

    Args: as of `Learned`; `batch_size` counts utterances.
    """

    pools = True

    @property
    def network(self) -> type[Network]:
        return SequenceNetwork

    @staticmethod
    def _batches(
        standardiser: Standardiser, x: Items, y: np.ndarray, size: int, seed: int | None
    ) -> FrameBatches:
        return sequences(standardiser, x, y, size, seed)


def sequences(
    standardiser: Standardiser, x: Items, y: np.ndarray, size: int, seed: int | None
) -> FrameBatches:
    """Batches of utterances, whole.

    Args:
        standardiser: of frames.
        x: N segments of one frame.
        y: (N,) class indices of the segments.
        size: utterances a batch.
        seed: of their order; None: in their own.

    Raises:
        UserError: segments of several frames.
    """
    assert isinstance(x, Segments)
    if x.frames.shape[1] != 1:
        raise UserError(
            f"segments of {x.frames.shape[1]} frames, and a network over sequences takes them one "
            "by one: segments=context segments.past=0 segments.future=0, or another representation "
            "below it, representation=blstm_autoencoder"
        )
    first = x.offsets[:-1]
    starts, lengths = x.frames[first, 0], np.diff(x.offsets)
    # Every other one is where an utterance ends, as the values may hold others between them.
    bounds: Any = np.stack([starts, starts + lengths], axis=1).reshape(-1)
    utterances: Tensor = 2 * torch.arange(len(starts))
    return FrameBatches(
        Rows(x.values, standardiser, at_once=not x.mapped),
        utterances,
        torch.tensor(y[first], dtype=torch.long),
        offsets=torch.tensor(bounds),
        max_frames=int(lengths.max()),
        batch_size=size,
        seed=seed,
    )
