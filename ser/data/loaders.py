"""The batches of a split, as the level of the features and the network need them."""

import numpy as np
import torch
from torch import Tensor

from ser.data.batches import (
    SCORING_BATCH_SIZE,
    SEGMENT_SCORING_BATCH_SIZE,
    Batches,
    Rows,
    SegmentBatches,
)
from ser.data.frame_batches import FrameBatches
from ser.data.perturbations import NONE, Perturbations
from ser.data.segments import Segments


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
    perturbations: Perturbations = NONE,
) -> Batches:
    """Return the batches of some utterances: of vectors, of frames, or of single segments.

    Args:
        rows: Features of all utterances, or their frames in order.
        utterances: (N,) numbers of the utterances.
        y: (N,) class indices.
        offsets: (all + 1,) first frame of each utterance; None: utterance level.
        segments: Segments of the utterances, where a network gets single segments; else None.
        max_frames: Largest number of frames that a network gets.
        batch_size: Items per training batch of all ranks together.
        seed: Seed of the order of training batches; None: a fixed order, for scoring.
        share: (rank, ranks).
        perturbations: Random changes of training batches.
    """
    if segments is not None and seed is None:
        return SegmentBatches(rows, segments, y, batch_size=SEGMENT_SCORING_BATCH_SIZE, share=share)
    if segments is not None:
        frames = torch.from_numpy(segments.frames)
        classes = torch.from_numpy(segments.of_each(y.numpy()))
        return Batches(
            rows,
            frames,
            classes,
            batch_size=batch_size,
            seed=seed,
            share=share,
            perturbations=perturbations,
        )
    numbers = torch.tensor(utterances)
    size = SCORING_BATCH_SIZE if seed is None else batch_size
    if offsets is None:
        return Batches(
            rows,
            numbers,
            y,
            batch_size=size,
            seed=seed,
            share=share,
            perturbations=perturbations,
        )
    return FrameBatches(
        rows,
        numbers,
        y,
        offsets=torch.tensor(offsets),
        max_frames=max_frames,
        batch_size=min(size, batch_size),  # padded frames take more memory than vectors
        seed=seed,
        share=share,
        perturbations=perturbations,
    )
