"""Segments contain all frames of their utterance in order, and no others."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ser.data.batches import Batches, Rows
from ser.data.segments import Segments, context, cut, spread
from ser.data.standardise import Standardiser
from ser.errors import UserError

LENGTHS = np.array([37, 10, 3, 1, 50, 11, 9, 20])
OFFSETS = np.concatenate([[0], LENGTHS.cumsum()])
UNCHANGED = Standardiser(np.zeros(2), np.ones(2), clip=None)


def values() -> np.ndarray:
    return np.arange(2 * OFFSETS[-1], dtype=np.float32).reshape(-1, 2)


def segmented(frames: int = 10, hop: int = 10, utterances: np.ndarray | None = None) -> Segments:
    chosen = np.arange(len(LENGTHS)) if utterances is None else utterances
    return cut(values(), OFFSETS, chosen, False, frames=frames, hop=hop)


@pytest.mark.parametrize("frames", [1, 4, 10])
@pytest.mark.parametrize("hop", [1, 3, 10])
def test_segments_cover_their_utterance(frames: int, hop: int) -> None:
    segments = segmented(frames, hop)
    for u, length in enumerate(LENGTHS):
        frames_of_u = segments.frames[segments.offsets[u] : segments.offsets[u + 1]] - OFFSETS[u]
        assert frames_of_u.min() == 0
        assert frames_of_u.max() == length - 1
        whole = frames_of_u[:, -1] - frames_of_u[:, 0] == frames - 1
        assert whole.all() or length < frames
        steps = np.diff(frames_of_u[:, 0])
        assert (steps[:-1] == hop).all()  # the last one may be shorter
        assert ((steps > 0) & (steps <= hop)).all()
        if hop <= frames:
            assert np.array_equal(np.unique(frames_of_u), np.arange(length))
        assert len(frames_of_u) == 1 + max(0, -(-(length - frames) // hop))


def test_a_short_utterance_is_padded_with_its_last_frame() -> None:
    segments = segmented()
    (short,) = segments.frames[segments.offsets[2] : segments.offsets[3]] - OFFSETS[2]
    assert short.tolist() == [0, 1, *[2] * 8]


def test_segments_are_in_the_order_of_the_given_utterances() -> None:
    every, some = segmented(), segmented(utterances=np.array([4, 0]))
    expected = [every.frames[every.offsets[u] : every.offsets[u + 1]] for u in (4, 0)]
    assert np.array_equal(some.frames, np.concatenate(expected))
    assert some.of_each(np.array([7, 8])).tolist() == [7] * 5 + [8] * 4
    assert some.shape == (9, 20)
    assert len(some) == 9
    assert np.array_equal(some.used, np.r_[0:37, OFFSETS[4] : OFFSETS[5]])


@pytest.mark.parametrize("options", [{"frames": 0}, {"hop": 0}])
def test_a_length_or_hop_of_zero_is_an_error(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        segmented(**options)


def test_frames_are_not_copied_before_a_batch_gathers_them(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", values())
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    segments = cut(mapped, OFFSETS, np.arange(8), True, frames=10, hop=10)
    assert segments.values is mapped

    def batches(of: Segments) -> list[torch.Tensor]:
        rows = Rows(of.values, UNCHANGED, eager=not of.mapped)
        numbers = torch.from_numpy(of.frames)
        loader = Batches(rows, numbers, torch.arange(len(of)), batch_size=4, seed=0)
        loader.set_epoch(3)
        return [batch.x for batch in loader]

    for x, other in zip(batches(segments), batches(segmented()), strict=True):
        assert torch.equal(x, other)


def test_a_batch_concatenates_the_frames_of_each_segment() -> None:
    segments = segmented()
    rows = Rows(segments.values, UNCHANGED, eager=True)
    numbers = torch.from_numpy(segments.frames)
    orders = []
    for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0)):
        loader = Batches(rows, numbers, torch.arange(len(segments)), batch_size=4, seed=seed)
        loader.set_epoch(epoch)
        for batch in loader:
            assert batch.x.shape == (len(batch.y), 20)
            expected = values()[segments.frames[batch.y]].reshape(len(batch.y), 20)
            assert np.array_equal(batch.x.numpy(), expected)
        orders.append(torch.cat([batch.y for batch in loader]).tolist())
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
    assert all(sorted(order) == list(range(len(segments))) for order in orders)


def test_blocks_depend_on_content_and_layout_and_not_on_position() -> None:
    def content(of: Segments) -> bytes:
        return b"".join(np.ascontiguousarray(block).tobytes() for block in of.blocks())

    segments = content(segmented())
    assert content(segmented()) == segments
    assert content(segmented(hop=9)) != segments
    assert content(segmented(utterances=np.arange(7))) != segments
    changed = values()
    changed[5, 1] += 1
    assert content(cut(changed, OFFSETS, np.arange(8), False, frames=10, hop=10)) != segments
    moved = np.concatenate([np.full((3, 2), 99, np.float32), values()])
    assert content(cut(moved, OFFSETS + 3, np.arange(8), False, frames=10, hop=10)) == segments


@pytest.mark.parametrize(("past", "future"), [(0, 0), (2, 2), (3, 0), (60, 1)])
def test_context_joins_a_frame_with_its_neighbours(past: int, future: int) -> None:
    chosen = np.array([4, 0, 3])
    segments = context(values(), OFFSETS, chosen, False, past=past, future=future)
    assert np.diff(segments.offsets).tolist() == LENGTHS[chosen].tolist()
    for number, u in enumerate(chosen):
        frames_of_u = segments.frames[segments.offsets[number] : segments.offsets[number + 1]]
        for t in range(LENGTHS[u]):
            around = np.arange(t - past, t + future + 1).clip(0, LENGTHS[u] - 1)
            assert frames_of_u[t].tolist() == (OFFSETS[u] + around).tolist()


def test_a_negative_context_is_an_error() -> None:
    with pytest.raises(UserError, match=r"segments\.past=-1"):
        context(values(), OFFSETS, np.arange(2), False, past=-1, future=0)


@pytest.mark.parametrize("most", [1, 4, 8, 20, 60, 1000])
def test_a_sample_is_balanced_over_the_owners(most: int) -> None:
    owners = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    chosen = spread(owners, most)
    assert len(chosen) == len(np.unique(chosen)) == min(most, len(owners))
    counts = np.bincount(owners[chosen], minlength=len(LENGTHS))
    short = counts < counts.max() - 1
    assert (counts[short] == LENGTHS[short]).all()  # they have no more items
    assert np.array_equal(chosen, spread(owners, most))
    # The order of the items does not matter.
    backwards = owners[::-1]
    reordered = np.bincount(backwards[spread(backwards, most)], minlength=len(LENGTHS))
    assert (counts > 0).sum() == (reordered > 0).sum()


def test_a_sample_covers_the_whole_utterance() -> None:
    chosen = spread(np.zeros(10_000, int), 400)
    assert np.histogram(chosen, 4, (0, 10_000))[0].min() > 60
