"""Segments: stretches of consecutive frames, each seen as one vector.

Two ways of making them: an utterance is cut into stretches (latif2017, section IV.B, and latif2018,
section 4.3: 10 frames of 80 bands, 100 ms, are 800 values), or each frame is seen in its context
(ghosh2016, section 3.6: with two frames before it and two after). Nothing is copied: a segment is
the numbers of its frames, and becomes a vector when a batch takes it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ser.errors import UserError

# A seed of its own: runs that see the same segments keep the codes of the same, whatever else.
_SPREAD_SEED = 2016
_BLOCK = 1 << 16  # frames at a time, where all of them are read


@dataclass(frozen=True)
class Segments:
    """The segments of some utterances, one utterance after another.

    Attributes:
        values: (sum of T, F) frames of these utterances and maybe of others, in memory or mapped.
        frames: (N, L) which of them make up each segment.
        offsets: (U + 1,) utterance u owns segments offsets[u]:offsets[u + 1].
        mapped: whether the values lie in a file and come into memory as they are read.
    """

    values: np.ndarray
    frames: np.ndarray
    offsets: np.ndarray
    mapped: bool

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, L * F): what they are as vectors."""
        return len(self.frames), self.frames.shape[1] * self.values.shape[1]

    @property
    def used(self) -> np.ndarray:
        """The numbers of all frames that are in some segment, each once, sorted."""
        return np.unique(self.frames)

    def of_each(self, values: np.ndarray) -> np.ndarray:
        """(U,) values of utterances -> (N,) values of their segments."""
        return np.repeat(values, np.diff(self.offsets))

    def blocks(self) -> Iterator[np.ndarray]:
        """All that tells these segments from others: frames, who shares them, whose they are."""
        used, places = np.unique(self.frames, return_inverse=True)
        for start in range(0, len(used), _BLOCK):
            yield self.values[used[start : start + _BLOCK]]
        yield places.reshape(self.frames.shape)
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
    """Cuts utterances into stretches.

    All of an utterance is in them: where it ends between two the last one is moved back, to end
    with it, and so overlaps the one before; an utterance that is shorter than one has one, in which
    its last frame is repeated.

    Args:
        values: (sum of T, F) frames.
        offsets: (all + 1,) where each utterance's frames begin.
        utterances: (U,) which to cut.
        mapped: whether the values lie in a file.
        frames: L, of one segment.
        hop: frames from the beginning of one to that of the next.

    Raises:
        UserError: a number below 1.

    Examples:
        >>> offsets = np.array([0, 22, 24])
        >>> found = cut(np.zeros((24, 1)), offsets, np.array([0, 1]), False, frames=10, hop=10)
        >>> found.frames[:, [0, -1]]
        array([[ 0,  9],
               [10, 19],
               [12, 21],
               [22, 23]])
    """
    if frames < 1 or hop < 1:
        raise UserError(f"segments.frames={frames}, segments.hop={hop}: at least 1")
    begins, ends = offsets[utterances], offsets[utterances + 1]
    spare = (ends - begins - frames).clip(min=0)  # where the last segment begins
    counts = 1 + -(-spare // hop)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    place = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
    starts = np.repeat(begins, counts) + np.minimum(place * hop, np.repeat(spare, counts))
    last = np.repeat(ends - 1, counts)
    chosen = np.minimum(starts[:, None] + np.arange(frames), last[:, None])
    return Segments(values, chosen, bounds, mapped)


def context(
    values: np.ndarray,
    offsets: np.ndarray,
    utterances: np.ndarray,
    mapped: bool,
    *,
    past: int,
    future: int,
) -> Segments:
    """Each frame between those before and after it (ghosh2016, section 3.6: two of each).

    An utterance has as many segments as frames. Beyond its ends its first and last frame are
    repeated, where the paper is silent.

    Args:
        values, offsets, utterances, mapped: as of `cut`.
        past: frames before.
        future: frames after.

    Raises:
        UserError: a number below 0.

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
        raise UserError(f"segments.past={past}, segments.future={future}: at least 0")
    begins, ends = offsets[utterances], offsets[utterances + 1]
    counts = ends - begins
    bounds = np.concatenate([[0], np.cumsum(counts)])
    centres = np.arange(bounds[-1]) + np.repeat(begins - bounds[:-1], counts)
    first, last = np.repeat(begins, counts)[:, None], np.repeat(ends - 1, counts)[:, None]
    chosen = np.clip(centres[:, None] + np.arange(-past, future + 1), first, last)
    return Segments(values, chosen, bounds, mapped)


def spread(owners: np.ndarray, most: int) -> np.ndarray:
    """Which of some items stand for all of them: drawn by lot, evenly over those who own them.

    Nobody has two more than another, unless the other has no more to give.

    Args:
        owners: (N,) whose each item is, e.g. the number of a segment's utterance.
        most: how many are wanted.

    Returns:
        (min(N, most),) their numbers, sorted; a function of the arguments alone.

    Examples:
        >>> np.bincount(np.array([0, 0, 0, 0, 1, 2, 2])[spread(np.array([0, 0, 0, 0, 1, 2, 2]), 5)])
        array([2, 1, 2])
    """
    rng = np.random.default_rng(_SPREAD_SEED)
    order = np.lexsort((rng.random(len(owners)), owners))
    first = np.searchsorted(owners[order], owners)
    turns = np.empty(len(owners), int)
    turns[order] = np.arange(len(owners))
    # Everybody gives a first item before anybody gives a second one.
    return np.sort(np.lexsort((rng.random(len(owners)), turns - first))[:most])


# What is a segment by itself: the codes of segments, or frames one by one.
each_alone = partial(context, past=0, future=0)
