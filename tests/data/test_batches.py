import numpy as np
import pytest
import torch

from ser.data.batches import Batches, FrameBatches, Rows, SegmentBatches, shuffled
from ser.data.segments import context
from ser.data.standardise import Standardiser
from ser.errors import UserError

AS_IT_IS = Standardiser(np.zeros(1), np.ones(1), clip=None)


def loader(
    size: int, batch_size: int = 4, seed: int | None = 0, share: tuple[int, int] = (0, 1)
) -> Batches:
    rows = Rows(np.arange(100, 100 + size, dtype=np.float32)[:, None], AS_IT_IS, at_once=True)
    numbers = torch.arange(size)
    return Batches(rows, numbers, numbers, batch_size=batch_size, seed=seed, share=share)


def frames(
    lengths: list[int],
    max_frames: int = 8,
    batch_size: int = 4,
    seed: int | None = 0,
    share: tuple[int, int] = (0, 1),
) -> FrameBatches:
    """Utterance u has frames 1000 u, 1000 u + 1, ..., so that a frame tells whose it is."""
    values = np.concatenate([1000 * u + np.arange(n) for u, n in enumerate(lengths)])
    return FrameBatches(
        Rows(values.astype(np.float32)[:, None], AS_IT_IS, at_once=True),
        torch.arange(len(lengths)),
        torch.arange(len(lengths)),
        offsets=torch.tensor([0, *np.cumsum(lengths)]),
        max_frames=max_frames,
        batch_size=batch_size,
        seed=seed,
        share=share,
    )


def test_an_epoch_has_every_utterance_once_with_its_class() -> None:
    batches = list(loader(10))
    assert sorted(torch.cat([b.y for b in batches]).tolist()) == list(range(10))
    assert all(torch.equal(b.x[:, 0], 100.0 + b.y) for b in batches)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        made = loader(20, seed=seed)
        made.set_epoch(epoch)
        return torch.cat([b.y for b in made]).tolist()

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_a_single_last_utterance_joins_the_batch_before_it() -> None:
    assert [len(b.y) for b in loader(9)] == [4, 5]
    assert [len(b.y) for b in loader(10)] == [4, 4, 2]
    assert [len(b.y) for b in loader(1)] == [1]
    assert len(loader(9)) == 2


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("kind", ["utterance", "frame"])
def test_ranks_share_each_batch_of_one_that_is_alone(kind: str, seed: int | None) -> None:
    """Every third utterance each, with the same crops and windows."""

    def rows(rank: int, ranks: int) -> list[list[tuple[int, list[float]]]]:
        """Per batch: class and values of each utterance, without padding."""
        share = (rank, ranks)
        if kind == "utterance":
            made = loader(22, batch_size=8, seed=seed, share=share)
        else:
            lengths = np.random.default_rng(0).integers(1, 30, 22).tolist()
            made = frames(lengths, batch_size=8, seed=seed, share=share)
        made.set_epoch(2)
        found = []
        for batch in made:
            of = torch.arange(len(batch.y)) if batch.windows is None else batch.windows
            ends = torch.ones(len(of), dtype=int) if batch.lengths is None else batch.lengths
            x = batch.x[:, None] if batch.lengths is None else batch.x
            pieces = [[] for _ in batch.y]
            for u, values, end in zip(of, x, ends, strict=True):
                pieces[u] += values[:end, 0].tolist()
            found.append(list(zip(batch.y.tolist(), pieces, strict=True)))
        return found

    shares = [rows(rank, 3) for rank in range(3)]
    together = [
        [parts[i % 3][i // 3] for i in range(sum(map(len, parts)))]
        for parts in zip(*shares, strict=True)
    ]
    assert together == rows(0, 1)


def test_a_last_batch_of_less_than_two_utterances_a_rank_joins_the_one_before_it() -> None:
    assert [len(b.y) for b in loader(29, 8, share=(0, 3))] == [3, 3, 5]
    assert [len(b.y) for b in loader(30, 8, share=(2, 3))] == [2, 2, 2, 2]


def test_a_crop_is_that_of_one_that_is_alone() -> None:
    lengths = [20] * 8
    alone = next(iter(frames(lengths, batch_size=8))).x
    shares = [next(iter(frames(lengths, batch_size=8, share=(rank, 2)))).x for rank in range(2)]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), alone)


def test_fewer_than_two_utterances_a_rank_are_told() -> None:
    for size, batch_size in ((40, 5), (5, 40)):
        with pytest.raises(UserError, match="3 devices share batches of 6 .* one of 5: fewer"):
            loader(size, batch_size, share=(0, 3))
    assert [len(b.y) for b in loader(6, 40, share=(2, 3))] == [2]


@pytest.mark.parametrize("kind", ["utterance", "frame"])
def test_a_loader_continues_after_the_batches_that_were_seen(kind: str) -> None:
    def made() -> Batches:
        return loader(20) if kind == "utterance" else frames([5, 30, 9, 12, 7] * 4)

    whole = [b.x.tolist() for b in made()]
    first = made()
    seen = iter(first)
    begun = [next(seen).x.tolist(), next(seen).x.tolist()]
    second = made()
    second.load_state_dict(first.state_dict())
    assert begun + [b.x.tolist() for b in second] == whole
    assert [b.x.tolist() for b in second] == whole  # and the next epoch starts at its beginning


def test_frames_are_those_of_their_utterance_and_zero_beyond() -> None:
    for batch in frames([3, 8, 5, 1, 2, 8, 6]):
        assert batch.lengths is not None
        for x, y, length in zip(batch.x[..., 0], batch.y, batch.lengths, strict=True):
            assert torch.equal(x[:length], 1000.0 * y + torch.arange(int(length)))
            assert not x[length:].any()
        assert batch.x.shape[1] == batch.lengths.max()


def test_long_utterances_are_cropped_at_random_places_in_training() -> None:
    starts = set()
    made = frames([50, 4], max_frames=8)
    for epoch in range(60):
        made.set_epoch(epoch)
        (batch,) = made
        row = batch.x[batch.y == 0][0, :, 0]
        assert torch.equal(row - row[0], torch.arange(8.0))
        starts.add(int(row[0]))
    assert min(starts) >= 0
    assert max(starts) <= 42
    assert len(starts) > 20


def test_windows_cover_long_utterances_evenly_in_evaluation() -> None:
    (batch,) = frames([20, 8, 9, 3], max_frames=8, seed=None)
    assert batch.windows is not None
    assert batch.windows.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert batch.y.tolist() == [0, 1, 2, 3]
    assert batch.lengths is not None
    for utterance, length in enumerate([20, 8, 9, 3]):
        mine = batch.windows == utterance
        seen = {
            int(v) - 1000 * utterance
            for x, n in zip(batch.x[mine, :, 0], batch.lengths[mine], strict=True)
            for v in x[:n]
        }
        assert seen == set(range(length))


def test_utterances_of_like_length_share_a_batch() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1000, 512).tolist()
    made = frames(lengths, max_frames=1000, batch_size=32)
    padded = sum(b.x.shape[0] * b.x.shape[1] for b in made)
    assert sum(lengths) / padded > 0.9  # in random batches it would be about one half


def test_memory_mapped_rows_equal_those_in_memory(tmp_path) -> None:
    values = np.random.default_rng(0).normal(3, 2, (30, 4)).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    standardiser = Standardiser.fit(values, np.arange(20), clip=1.0)
    chosen = torch.tensor([[3, 1], [29, 0]])
    taken = Rows(mapped, standardiser, at_once=False).take(chosen)
    assert torch.equal(taken, Rows(values, standardiser, at_once=True).take(chosen))
    assert taken.shape == (2, 2, 4)


def test_an_order_is_of_all_rows_and_reads_a_pool_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ser.data.batches.POOL", 64)
    monkeypatch.setattr("ser.data.batches.BLOCK", 8)
    order = shuffled(1000, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(1000))
    for pool in order.split(64):
        # Eight blocks, of which one may be the short one at the end.
        assert len((pool // 8).unique()) in (len(pool) // 8, len(pool) // 8 + 1)
        steps = pool.diff().abs()
        assert (steps > 1).float().mean() > 0.8  # within it, anywhere
    other = shuffled(1000, torch.Generator().manual_seed(1))
    assert not torch.equal(order, other)


def test_few_rows_are_in_any_order() -> None:
    expected = torch.randperm(500, generator=torch.Generator().manual_seed(3))
    assert torch.equal(shuffled(500, torch.Generator().manual_seed(3)), expected)


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_segments_of_whole_utterances_are_scored_together(share: tuple[int, int]) -> None:
    lengths = np.array([3, 1, 4, 2, 5])
    offsets = np.concatenate([[0], lengths.cumsum()])
    held = np.arange(15, dtype=np.float32)[:, None]
    segments = context(held, offsets, np.arange(5), False, past=1, future=0)
    rows = Rows(held, AS_IT_IS, at_once=True)
    batches = SegmentBatches(rows, segments, torch.arange(5), batch_size=4, share=share)
    seen = []
    for batch in batches:
        assert batch.windows is not None
        for number, u in enumerate(batch.y.tolist()):
            mine = batch.x[batch.windows == number]
            assert mine[:, 1].tolist() == list(range(offsets[u], offsets[u + 1]))
            seen.append(u)
    assert seen == list(range(5))[share[0] :: share[1]]
