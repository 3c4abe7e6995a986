"""Segments: consecutive frames that are concatenated into one vector.

There are two kinds. `cut` divides an utterance into segments (latif2017, section IV.B, and
latif2018, section 4.3: 10 frames of 80 bands, 100 ms, are 800 values). `context` joins each frame
with its neighbours (ghosh2016, section 3.6: two before and two after). No values are copied: a
segment consists of frame numbers until a batch gathers the values.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ser.errors import UserError

# Constant, so that runs with the same segments save the codes of the same ones.
_SPREAD_SEED = 2016
_BLOCK = 1 << 16  # frames that are read together


@dataclass(frozen=True)
class Segments:
    """The segments of some utterances, in the order of the utterances.

    Attributes:
        values: (sum of T, F) frames of these utterances, and possibly of others.
        frames: (N, L) frame numbers of each segment.
        offsets: (U + 1,) utterance u owns segments offsets[u]:offsets[u + 1].
        mapped: Whether the values are memory-mapped from a file.
    """

    values: np.ndarray
    frames: np.ndarray
    offsets: np.ndarray
    mapped: bool

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape as vectors: (N, L * F)."""
        return len(self.frames), self.frames.shape[1] * self.values.shape[1]

    @property
    def used(self) -> np.ndarray:
        """The sorted numbers of all frames that are in some segment."""
        return np.unique(self.frames)

    def of_each(self, values: np.ndarray) -> np.ndarray:
        """Repeat values of utterances, (U, ...), for their segments, (N, ...)."""
        return np.repeat(values, np.diff(self.offsets), axis=0)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield everything that identifies the segments: values, frame numbers, offsets."""
        used, positions = np.unique(self.frames, return_inverse=True)
        for start in range(0, len(used), _BLOCK):
            yield self.values[used[start : start + _BLOCK]]
        yield positions.reshape(self.frames.shape)
        yield self.offsets


def cut(
    values: np.ndarray,
    offsets: np.ndarray,
    utterances: np.ndarray,
    mapped: bool,
    *,
    frames: int,
    hop: int,
) -> Segments:
    """Divide utterances into segments of equal length.

    The segments cover the whole utterance. Where its end is not the end of a segment, the last
    segment is moved back to end with the utterance, and overlaps the one before. An utterance
    shorter than a segment has one segment, in which its last frame is repeated.

    Args:
        values: (sum of T, F) frames.
        offsets: (all + 1,) number of the first frame of each utterance.
        utterances: (U,) numbers of the utterances to divide.
        mapped: Whether the values are memory-mapped from a file.
        frames: L, frames per segment.
        hop: Frames from the beginning of a segment to the beginning of the next.

    Raises:
        UserError: `frames` or `hop` is below 1.

    Examples:
        >>> offsets = np.array([0, 22, 24])
        >>> segments = cut(np.zeros((24, 1)), offsets, np.array([0, 1]), False, frames=10, hop=10)
        >>> segments.frames[:, [0, -1]]
        array([[ 0,  9],
               [10, 19],
               [12, 21],
               [22, 23]])
    """
    if frames < 1 or hop < 1:
        raise UserError(f"segments.frames={frames} and segments.hop={hop} must be at least 1")
    begins, ends = offsets[utterances], offsets[utterances + 1]
    spare = (ends - begins - frames).clip(min=0)  # beginning of the last segment
    counts = 1 + -(-spare // hop)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    index = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
    starts = np.repeat(begins, counts) + np.minimum(index * hop, np.repeat(spare, counts))
    last = np.repeat(ends - 1, counts)
    numbers = np.minimum(starts[:, None] + np.arange(frames), last[:, None])
    return Segments(values, numbers, bounds, mapped)


def context(
    values: np.ndarray,
    offsets: np.ndarray,
    utterances: np.ndarray,
    mapped: bool,
    *,
    past: int,
    future: int,
) -> Segments:
    """Join each frame with its neighbours (ghosh2016, section 3.6: two before and two after).

    An utterance has as many segments as frames. Beyond its ends the first and the last frame are
    repeated, which the paper does not specify.

    Args:
        values, offsets, utterances, mapped: See `cut`.
        past: Number of frames before.
        future: Number of frames after.

    Raises:
        UserError: `past` or `future` is below 0.

    Examples:
        >>> offsets = np.array([0, 3, 5])
        >>> context(np.zeros((5, 1)), offsets, np.array([1, 0]), False, past=1, future=1).frames
        array([[3, 3, 4],
               [3, 4, 4],
               [0, 0, 1],
               [0, 1, 2],
               [1, 2, 2]])
    """
    if past < 0 or future < 0:
        raise UserError(f"segments.past={past} and segments.future={future} must be at least 0")
    begins, ends = offsets[utterances], offsets[utterances + 1]
    counts = ends - begins
    bounds = np.concatenate([[0], np.cumsum(counts)])
    centres = np.arange(bounds[-1]) + np.repeat(begins - bounds[:-1], counts)
    first, last = np.repeat(begins, counts)[:, None], np.repeat(ends - 1, counts)[:, None]
    numbers = np.clip(centres[:, None] + np.arange(-past, future + 1), first, last)
    return Segments(values, numbers, bounds, mapped)


def spread(owners: np.ndarray, most: int) -> np.ndarray:
    """Draw a random sample of items, balanced over their owners.

    The counts of two owners differ by at most one, unless an owner has no more items.

    Args:
        owners: (N,) owner of each item, e.g. the number of a segment's utterance.
        most: Size of the sample.

    Returns:
        (min(N, most),) item numbers, sorted; a function of the arguments only.

    Examples:
        >>> np.bincount(np.array([0, 0, 0, 0, 1, 2, 2])[spread(np.array([0, 0, 0, 0, 1, 2, 2]), 5)])
        array([2, 1, 2])
    """
    rng = np.random.default_rng(_SPREAD_SEED)
    order = np.lexsort((rng.random(len(owners)), owners))
    first = np.searchsorted(owners[order], owners)
    turns = np.empty(len(owners), int)
    turns[order] = np.arange(len(owners))
    # The first item of every owner comes before the second item of any.
    return np.sort(np.lexsort((rng.random(len(owners)), turns - first))[:most])


# Each item is a segment of its own: for codes of segments, and for single frames.
each_alone = partial(context, past=0, future=0)
