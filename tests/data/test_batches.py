import numpy as np
import pytest
import torch

from ser.data.batches import Batches, Rows, SegmentBatches, shuffled
from ser.data.frame_batches import FrameBatches
from ser.data.perturbations import Perturbations
from ser.data.segments import context
from ser.data.standardise import Standardiser
from ser.errors import UserError

UNCHANGED = Standardiser(np.zeros(1), np.ones(1), clip=None)


def loader(
    size: int, batch_size: int = 4, seed: int | None = 0, share: tuple[int, int] = (0, 1)
) -> Batches:
    rows = Rows(np.arange(100, 100 + size, dtype=np.float32)[:, None], UNCHANGED, eager=True)
    numbers = torch.arange(size)
    return Batches(rows, numbers, numbers, batch_size=batch_size, seed=seed, share=share)


def frames(
    lengths: list[int],
    max_frames: int = 8,
    batch_size: int = 4,
    seed: int | None = 0,
    share: tuple[int, int] = (0, 1),
) -> FrameBatches:
    """Utterance u has frames 1000 u, 1000 u + 1, ..., so that a value identifies its utterance."""
    values = np.concatenate([1000 * u + np.arange(n) for u, n in enumerate(lengths)])
    return FrameBatches(
        Rows(values.astype(np.float32)[:, None], UNCHANGED, eager=True),
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


def test_order_depends_on_seed_and_epoch_only() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = loader(20, seed=seed)
        batches.set_epoch(epoch)
        return torch.cat([b.y for b in batches]).tolist()

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("kind", ["utterances", "frames"])
def test_batches_can_be_gathered_on_another_device(kind: str, seed: int | None) -> None:
    """The meta device has shapes and no values; tests run without GPU."""
    batches = loader(10, seed=seed) if kind == "utterances" else frames([3, 9, 5], seed=seed)
    expected = list(batches)
    meta = torch.device("meta")
    assert batches.can_move
    batches.move(meta)
    for batch, on_cpu in zip(batches, expected, strict=True):
        assert batch.x.device == meta
        assert batch.x.shape == on_cpu.x.shape
        assert torch.equal(batch.y, on_cpu.y)
    batches.move(torch.device("cpu"))
    assert not batches.rows.is_on(meta)
    assert all(torch.equal(a.x, b.x) for a, b in zip(batches, expected, strict=True))


def test_perturbed_and_memory_mapped_batches_stay_on_the_cpu() -> None:
    assert not Batches(
        loader(4).rows, torch.arange(4), torch.arange(4), batch_size=2, seed=0,
        perturbations=Perturbations(mixup=0.2),
    ).can_move  # fmt: skip
    rows = Rows(np.zeros((4, 1), np.float32), UNCHANGED, eager=False)
    assert not Batches(rows, torch.arange(4), torch.arange(4), batch_size=2, seed=0).can_move


def test_a_single_last_utterance_is_joined_to_the_batch_before() -> None:
    assert [len(b.y) for b in loader(9)] == [4, 5]
    assert [len(b.y) for b in loader(10)] == [4, 4, 2]
    assert [len(b.y) for b in loader(1)] == [1]
    assert len(loader(9)) == 2


@pytest.mark.parametrize("seed", [0, None])
@pytest.mark.parametrize("kind", ["utterance", "frame"])
def test_ranks_share_the_batches_of_a_single_rank(kind: str, seed: int | None) -> None:
    """Each has every third utterance, with the same crops and windows."""

    def rows(rank: int, ranks: int) -> list[list[tuple[int, list[float]]]]:
        """Class and values of each utterance of each batch, without padding."""
        share = (rank, ranks)
        if kind == "utterance":
            batches = loader(22, batch_size=8, seed=seed, share=share)
        else:
            lengths = np.random.default_rng(0).integers(1, 30, 22).tolist()
            batches = frames(lengths, batch_size=8, seed=seed, share=share)
        batches.set_epoch(2)
        results = []
        for batch in batches:
            of = torch.arange(len(batch.y)) if batch.windows is None else batch.windows
            ends = torch.ones(len(of), dtype=int) if batch.lengths is None else batch.lengths
            x = batch.x[:, None] if batch.lengths is None else batch.x
            pieces = [[] for _ in batch.y]
            for u, values, end in zip(of, x, ends, strict=True):
                pieces[u] += values[:end, 0].tolist()
            results.append(list(zip(batch.y.tolist(), pieces, strict=True)))
        return results

    shares = [rows(rank, 3) for rank in range(3)]
    together = [
        [parts[i % 3][i // 3] for i in range(sum(map(len, parts)))]
        for parts in zip(*shares, strict=True)
    ]
    assert together == rows(0, 1)


def test_a_last_batch_of_less_than_two_utterances_per_rank_is_joined_to_the_one_before() -> None:
    assert [len(b.y) for b in loader(29, 8, share=(0, 3))] == [3, 3, 5]
    assert [len(b.y) for b in loader(30, 8, share=(2, 3))] == [2, 2, 2, 2]


def test_crops_do_not_depend_on_the_number_of_ranks() -> None:
    lengths = [20] * 8
    single = next(iter(frames(lengths, batch_size=8))).x
    shares = [next(iter(frames(lengths, batch_size=8, share=(rank, 2)))).x for rank in range(2)]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), single)


def test_fewer_than_two_utterances_per_rank_are_an_error() -> None:
    for size, batch_size in ((40, 5), (5, 40)):
        with pytest.raises(UserError, match="3 devices need .* at least 6 .* one has 5: lower"):
            loader(size, batch_size, share=(0, 3))
    assert [len(b.y) for b in loader(6, 40, share=(2, 3))] == [2]


@pytest.mark.parametrize("kind", ["utterance", "frame"])
def test_a_restored_loader_continues_with_the_next_batch(kind: str) -> None:
    def new_loader() -> Batches:
        return loader(20) if kind == "utterance" else frames([5, 30, 9, 12, 7] * 4)

    whole = [b.x.tolist() for b in new_loader()]
    first = new_loader()
    iterator = iter(first)
    before = [next(iterator).x.tolist(), next(iterator).x.tolist()]
    second = new_loader()
    second.load_state_dict(first.state_dict())
    assert before + [b.x.tolist() for b in second] == whole
    assert [b.x.tolist() for b in second] == whole  # the next epoch starts at its beginning


def test_frames_belong_to_their_utterance_and_are_padded_with_zeros() -> None:
    for batch in frames([3, 8, 5, 1, 2, 8, 6]):
        assert batch.lengths is not None
        for x, y, length in zip(batch.x[..., 0], batch.y, batch.lengths, strict=True):
            assert torch.equal(x[:length], 1000.0 * y + torch.arange(int(length)))
            assert not x[length:].any()
        assert batch.x.shape[1] == batch.lengths.max()


def test_long_utterances_are_cropped_at_random_in_training() -> None:
    starts = set()
    batches = frames([50, 4], max_frames=8)
    for epoch in range(60):
        batches.set_epoch(epoch)
        (batch,) = batches
        row = batch.x[batch.y == 0][0, :, 0]
        assert torch.equal(row - row[0], torch.arange(8.0))
        starts.add(int(row[0]))
    assert min(starts) >= 0
    assert max(starts) <= 42
    assert len(starts) > 20


def test_windows_cover_long_utterances_in_evaluation() -> None:
    (batch,) = frames([20, 8, 9, 3], max_frames=8, seed=None)
    assert batch.windows is not None
    assert batch.windows.tolist() == [0, 0, 0, 1, 2, 2, 3]
    assert batch.y.tolist() == [0, 1, 2, 3]
    assert batch.lengths is not None
    for utterance, length in enumerate([20, 8, 9, 3]):
        of_utterance = batch.windows == utterance
        covered = {
            int(v) - 1000 * utterance
            for x, n in zip(batch.x[of_utterance, :, 0], batch.lengths[of_utterance], strict=True)
            for v in x[:n]
        }
        assert covered == set(range(length))


def test_utterances_of_similar_length_share_a_batch() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1000, 512).tolist()
    batches = frames(lengths, max_frames=1000, batch_size=32)
    padded = sum(b.x.shape[0] * b.x.shape[1] for b in batches)
    assert sum(lengths) / padded > 0.9  # about one half in random batches


def test_memory_mapped_rows_equal_those_in_memory(tmp_path) -> None:
    values = np.random.default_rng(0).normal(3, 2, (30, 4)).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    standardiser = Standardiser.fit(values, np.arange(20), clip=1.0)
    chosen = torch.tensor([[3, 1], [29, 0]])
    taken = Rows(mapped, standardiser, eager=False).take(chosen)
    assert torch.equal(taken, Rows(values, standardiser, eager=True).take(chosen))
    assert taken.shape == (2, 2, 4)


def test_an_order_has_all_rows_and_reads_one_pool_after_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ser.data.batches.POOL", 64)
    monkeypatch.setattr("ser.data.batches.BLOCK", 8)
    order = shuffled(1000, torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(1000))
    for pool in order.split(64):
        # Eight blocks, one of which can be the short last one.
        assert len((pool // 8).unique()) in (len(pool) // 8, len(pool) // 8 + 1)
        steps = pool.diff().abs()
        assert (steps > 1).float().mean() > 0.8  # shuffled within the pool
    other = shuffled(1000, torch.Generator().manual_seed(1))
    assert not torch.equal(order, other)


def test_few_rows_are_shuffled_as_a_whole() -> None:
    expected = torch.randperm(500, generator=torch.Generator().manual_seed(3))
    assert torch.equal(shuffled(500, torch.Generator().manual_seed(3)), expected)


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_all_segments_of_an_utterance_are_in_one_batch(share: tuple[int, int]) -> None:
    lengths = np.array([3, 1, 4, 2, 5])
    offsets = np.concatenate([[0], lengths.cumsum()])
    values = np.arange(15, dtype=np.float32)[:, None]
    segments = context(values, offsets, np.arange(5), False, past=1, future=0)
    rows = Rows(values, UNCHANGED, eager=True)
    batches = SegmentBatches(rows, segments, torch.arange(5), batch_size=4, share=share)
    utterances = []
    for batch in batches:
        assert batch.windows is not None
        for number, u in enumerate(batch.y.tolist()):
            of_utterance = batch.x[batch.windows == number]
            assert of_utterance[:, 1].tolist() == list(range(offsets[u], offsets[u + 1]))
            utterances.append(u)
    assert utterances == list(range(5))[share[0] :: share[1]]
