"""Every frame of an utterance is in its segments, in order, and nobody else's is."""

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
AS_IT_IS = Standardiser(np.zeros(2), np.ones(2), clip=None)


def values() -> np.ndarray:
    return np.arange(2 * OFFSETS[-1], dtype=np.float32).reshape(-1, 2)


def made(frames: int = 10, hop: int = 10, utterances: np.ndarray | None = None) -> Segments:
    chosen = np.arange(len(LENGTHS)) if utterances is None else utterances
    return cut(values(), OFFSETS, chosen, False, frames=frames, hop=hop)


@pytest.mark.parametrize("frames", [1, 4, 10])
@pytest.mark.parametrize("hop", [1, 3, 10])
def test_an_utterance_is_covered_by_its_own_segments(frames: int, hop: int) -> None:
    found = made(frames, hop)
    for u, length in enumerate(LENGTHS):
        mine = found.frames[found.offsets[u] : found.offsets[u + 1]] - OFFSETS[u]
        assert mine.min() == 0
        assert mine.max() == length - 1
        whole = mine[:, -1] - mine[:, 0] == frames - 1
        assert whole.all() or length < frames
        steps = np.diff(mine[:, 0])
        assert (steps[:-1] == hop).all()  # of the last one it may be less
        assert ((steps > 0) & (steps <= hop)).all()
        if hop <= frames:
            assert np.array_equal(np.unique(mine), np.arange(length))
        assert len(mine) == 1 + max(0, -(-(length - frames) // hop))


def test_what_is_shorter_than_a_segment_ends_in_copies_of_its_last_frame() -> None:
    found = made()
    (short,) = found.frames[found.offsets[2] : found.offsets[3]] - OFFSETS[2]
    assert short.tolist() == [0, 1, *[2] * 8]


def test_segments_of_some_utterances_are_in_the_order_asked_for() -> None:
    every, some = made(), made(utterances=np.array([4, 0]))
    expected = [every.frames[every.offsets[u] : every.offsets[u + 1]] for u in (4, 0)]
    assert np.array_equal(some.frames, np.concatenate(expected))
    assert some.of_each(np.array([7, 8])).tolist() == [7] * 5 + [8] * 4
    assert some.shape == (9, 20)
    assert len(some) == 9
    assert np.array_equal(some.used, np.r_[0:37, OFFSETS[4] : OFFSETS[5]])


@pytest.mark.parametrize("options", [{"frames": 0}, {"hop": 0}])
def test_nothing_can_be_cut_by_nothing(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        made(**options)


def test_frames_are_neither_copied_nor_read_before_a_batch_takes_them(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", values())
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    found = cut(mapped, OFFSETS, np.arange(8), True, frames=10, hop=10)
    assert found.values is mapped

    def batches(of: Segments) -> list[torch.Tensor]:
        rows = Rows(of.values, AS_IT_IS, at_once=not of.mapped)
        numbers = torch.from_numpy(of.frames)
        made = Batches(rows, numbers, torch.arange(len(of)), batch_size=4, seed=0)
        made.set_epoch(3)
        return [batch.x for batch in made]

    for x, other in zip(batches(found), batches(made()), strict=True):
        assert torch.equal(x, other)


def test_a_batch_has_the_frames_of_a_segment_one_after_another() -> None:
    found = made()
    rows = Rows(found.values, AS_IT_IS, at_once=True)
    numbers = torch.from_numpy(found.frames)
    orders = []
    for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0)):
        loader = Batches(rows, numbers, torch.arange(len(found)), batch_size=4, seed=seed)
        loader.set_epoch(epoch)
        for batch in loader:
            assert batch.x.shape == (len(batch.y), 20)
            expected = values()[found.frames[batch.y]].reshape(len(batch.y), 20)
            assert np.array_equal(batch.x.numpy(), expected)
        orders.append(torch.cat([batch.y for batch in loader]).tolist())
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]
    assert all(sorted(order) == list(range(len(found))) for order in orders)


def test_blocks_tell_segments_apart_by_content_and_layout_and_not_by_place() -> None:
    def content(of: Segments) -> bytes:
        return b"".join(np.ascontiguousarray(block).tobytes() for block in of.blocks())

    found = content(made())
    assert content(made()) == found
    assert content(made(hop=9)) != found
    assert content(made(utterances=np.arange(7))) != found
    changed = values()
    changed[5, 1] += 1
    assert content(cut(changed, OFFSETS, np.arange(8), False, frames=10, hop=10)) != found
    moved = np.concatenate([np.full((3, 2), 99, np.float32), values()])
    assert content(cut(moved, OFFSETS + 3, np.arange(8), False, frames=10, hop=10)) == found


@pytest.mark.parametrize(("past", "future"), [(0, 0), (2, 2), (3, 0), (60, 1)])
def test_a_frame_in_context_stands_between_its_neighbours(past: int, future: int) -> None:
    chosen = np.array([4, 0, 3])
    found = context(values(), OFFSETS, chosen, False, past=past, future=future)
    assert np.diff(found.offsets).tolist() == LENGTHS[chosen].tolist()
    for number, u in enumerate(chosen):
        mine = found.frames[found.offsets[number] : found.offsets[number + 1]]
        for t in range(LENGTHS[u]):
            around = np.arange(t - past, t + future + 1).clip(0, LENGTHS[u] - 1)
            assert mine[t].tolist() == (OFFSETS[u] + around).tolist()


def test_a_context_below_none_is_told() -> None:
    with pytest.raises(UserError, match=r"segments\.past=-1"):
        context(values(), OFFSETS, np.arange(2), False, past=-1, future=0)


@pytest.mark.parametrize("most", [1, 4, 8, 20, 60, 1000])
def test_a_few_items_stand_evenly_for_all(most: int) -> None:
    owners = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    chosen = spread(owners, most)
    assert len(chosen) == len(np.unique(chosen)) == min(most, len(owners))
    counts = np.bincount(owners[chosen], minlength=len(LENGTHS))
    short = counts < counts.max() - 1
    assert (counts[short] == LENGTHS[short]).all()  # they had no more to give
    assert np.array_equal(chosen, spread(owners, most))
    # Whose they are matters, not in which order they stand, nor what the owners are called.
    backwards = owners[::-1]
    again = np.bincount(backwards[spread(backwards, most)], minlength=len(LENGTHS))
    assert (counts > 0).sum() == (again > 0).sum()


def test_items_are_drawn_from_all_over_an_utterance() -> None:
    chosen = spread(np.zeros(10_000, int), 400)
    assert np.histogram(chosen, 4, (0, 10_000))[0].min() > 60
