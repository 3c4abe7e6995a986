"""Batches as captured steps read them. `benchmarks/gpu.py` compares the results of graphs."""

import pytest
import torch

from ser.data.batches import Batch
from ser.training.captured import FRAMES, CapturedSteps, empty, fill, is_capturable, padded_shape


def batch(items: int, frames: int | None) -> Batch:
    generator = torch.Generator().manual_seed(0)
    shape = (items, 5) if frames is None else (items, frames, 5)
    lengths = None if frames is None else torch.arange(frames - items, frames) + 1
    return Batch(torch.randn(shape, generator=generator), torch.arange(items), lengths)


def test_frames_are_padded_with_zeros_to_few_lengths() -> None:
    assert padded_shape(batch(4, None)) == (4, 5)
    shapes = {padded_shape(batch(4, frames)) for frames in range(FRAMES + 1, 2 * FRAMES + 1)}
    assert shapes == {(4, 2 * FRAMES, 5)}


@pytest.mark.parametrize(("first", "second"), [(None, None), (120, 70), (70, 128)])
def test_a_batch_takes_the_place_of_another(first: int | None, second: int | None) -> None:
    before, after = batch(4, first), batch(4, second)
    placed = empty(before, padded_shape(before))
    fill(placed, before)
    addresses = [each.data_ptr() for each in placed[:2]]
    fill(placed, after)
    assert [each.data_ptr() for each in placed[:2]] == addresses  # a graph reads them
    frames = slice(second)
    assert torch.equal(placed.x if second is None else placed.x[:, frames], after.x)
    assert torch.equal(placed.y, after.y)
    if after.lengths is not None:
        assert not placed.x[:, second:].any()
        assert torch.equal(placed.lengths, after.lengths)


def test_steps_on_a_cpu_are_not_captured() -> None:
    own = batch(4, None)
    assert not is_capturable(own)
    taken: list[Batch] = []
    CapturedSteps()(own, taken.append)
    (only,) = taken
    assert only is own
