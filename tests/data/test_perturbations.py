"""SpecAugment and mixup: training batches alone, by seed, epoch and batch number."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small import Composed, fit, made_data
from test_batches import frames, loader
from torch.nn import functional

from ser.config.checks import check
from ser.config.run_key import digest, result_options
from ser.data.batches import Batch, Batches
from ser.data.datamodule import DataModule
from ser.data.perturbations import Perturbations, SpecAugment
from ser.errors import UserError
from ser.models.losses import labelled, mixed_cross_entropy

MASKS = SpecAugment(masks=2, frames=6, columns=3)


def with_(batches: Batches, perturbations: Perturbations, epoch: int = 0) -> list[Batch]:
    batches.perturbations = perturbations
    batches.set_epoch(epoch)
    return list(batches)


def test_masks_are_stretches_of_frames_and_of_columns() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([20, 12, 3] * 40)
    x = torch.rand(120, 20, 10) + 1
    drawn = torch.rand(120, 4, 2)
    masked = MASKS(x, lengths, drawn) == 0
    hidden_frames, hidden_columns = masked.all(dim=2), masked.all(dim=1)
    assert torch.equal(masked, hidden_frames[:, :, None] | hidden_columns[:, None, :])
    counts = hidden_frames.sum(dim=1)
    assert counts.max() <= 12
    assert counts[:1].max() > 0
    assert (counts[lengths == 3] <= 2).all()  # each mask is at most half of an utterance
    beyond = torch.arange(20) >= lengths[:, None]
    assert not (hidden_frames & beyond).any()
    assert 3 < hidden_columns.sum(dim=1).max() <= 6
    # No number of frames is preferred: from none to the longest.
    single = SpecAugment(1, 6, 3)(x, torch.full((120,), 20), torch.rand(120, 4, 1)) == 0
    assert set(single.all(dim=2).sum(dim=1).tolist()) == set(range(7))


def test_a_mixture_has_the_values_and_the_classes_of_both() -> None:
    for batch in with_(loader(50, batch_size=10), Perturbations(mixup=0.4)):
        assert batch.partners is not None
        assert batch.shares is not None
        values = batch.shares * (100 + batch.y) + (1 - batch.shares) * (100 + batch.partners)
        torch.testing.assert_close(batch.x[:, 0], values)
        assert batch.shares.min() >= 0.5
        assert len(batch.shares.unique()) == 10
        assert sorted(batch.partners.tolist()) == sorted(batch.y.tolist())


def test_frames_are_mixed_within_the_length_of_the_first() -> None:
    (batch,) = with_(frames([3, 8, 5, 6]), Perturbations(mixup=0.4))
    assert batch.lengths is not None
    assert batch.partners is not None
    assert batch.shares is not None
    for x, y, length, partner, share in zip(
        batch.x[..., 0], batch.y, batch.lengths, batch.partners, batch.shares, strict=True
    ):
        other = torch.zeros(8)
        shared = min(int(length), [3, 8, 5, 6][partner])
        other[:shared] = 1000 * partner + torch.arange(shared)
        own = torch.zeros(8)
        own[:length] = 1000 * y + torch.arange(int(length))
        torch.testing.assert_close(x, share * own + (1 - share) * other)


@pytest.mark.parametrize("perturbations", [Perturbations(MASKS), Perturbations(mixup=0.4)])
def test_they_depend_on_seed_epoch_and_batch_not_on_ranks(perturbations: Perturbations) -> None:
    lengths = [5, 9, 12, 7, 8, 6, 10, 11]

    def batches(epoch: int = 0, seed: int = 0, share: tuple[int, int] = (0, 1)) -> list[Batch]:
        return with_(frames(lengths, seed=seed, share=share), perturbations, epoch)

    first, again = batches(), batches()
    assert all(torch.equal(a.x, b.x) for a, b in zip(first, again, strict=True))
    for other in (batches(epoch=1), batches(seed=1)):
        assert not torch.equal(first[0].x.sum(), other[0].x.sum())
    ranks = [batches(share=(rank, 2)) for rank in range(2)]
    for number, whole in enumerate(first):
        for rank in range(2):
            part = ranks[rank][number].x
            torch.testing.assert_close(whole.x[rank::2, : part.shape[1]], part)
    # A killed run continues with the next batch.
    resumed = frames(lengths)
    resumed.load_state_dict({"next_batch": 1})
    (second,) = with_(resumed, perturbations)
    assert torch.equal(second.x, first[1].x)


def test_scoring_is_not_perturbed() -> None:
    changed = Perturbations(MASKS, 0.4)
    for make in (lambda: frames([5, 9, 12, 7], seed=None), lambda: loader(9, seed=None)):
        for plain, batch in zip(list(make()), with_(make(), changed), strict=True):
            assert torch.equal(plain.x, batch.x)
            assert batch.partners is None


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(weights: torch.Tensor | None) -> None:
    logits, y = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    for shares, partners in ((torch.ones(6), y.flip(0)), (torch.rand(6), y)):
        batch = Batch(torch.zeros(6, 1), y, partners=partners, shares=shares)
        expected = functional.cross_entropy(logits, y, weights)
        torch.testing.assert_close(mixed_cross_entropy(logits, batch, weights), expected)
    shares, partners = torch.rand(6), y.flip(0)
    batch = Batch(torch.zeros(6, 1), y, partners=partners, shares=shares)
    soft = shares[:, None] * functional.one_hot(y, 3)
    soft = soft + (1 - shares[:, None]) * functional.one_hot(partners, 3)
    total = functional.cross_entropy(logits, soft, weights, reduction="sum")
    expected = total / labelled(batch, weights)
    torch.testing.assert_close(mixed_cross_entropy(logits, batch, weights), expected)


def perturbed(level: str, perturbations: Perturbations) -> DataModule:
    data = made_data(level)
    data.perturbations = perturbations
    return data


@pytest.mark.parametrize(
    ("name", "level", "perturbations"),
    [("mlp", "utterance", Perturbations(mixup=0.4)), ("cnn", "frame", Perturbations(MASKS, 0.4))],
)
def test_models_are_trained_on_perturbed_batches(
    name: str, level: str, perturbations: Perturbations, tmp_path: Path
) -> None:
    first = fit(perturbed(level, perturbations), tmp_path / "a", name=name)
    again = fit(perturbed(level, perturbations), tmp_path / "b", name=name)
    plain = fit(made_data(level), tmp_path / "c", name=name)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, plain)


def test_the_run_key_has_them_only_where_they_are_on(composed: Callable[..., Composed]) -> None:
    options = ["model=cnn", "features=logmel40"]

    def key(*overrides: str) -> str:
        return digest(result_options(composed(*options, *overrides)[0]))

    plain = result_options(composed(*options)[0])["data"]
    assert not {"mixup", "spec_augment"} & set(plain)
    assert key("data.spec_augment.frames=5") == key()
    on = ["data.spec_augment.masks=1"]
    assert (
        len({key(), key(*on), key(*on, "data.spec_augment.frames=5"), key("data.mixup=0.2")}) == 4
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["model=mlp", "data.spec_augment.masks=2"], "for models of frames"),
        (["model=svm", "data.mixup=0.2"], "data.mixup=0.2 is for networks"),
        (["model=aae", "data.mixup=0.2"], "trained by cross-entropy alone"),
        (["model=mlp", "data.mixup=0"], "data.mixup=0: input should be greater than 0"),
        (["model=mlp", "data.spec_augment.masks=-1"], "data.spec_augment.masks=-1"),
    ],
)
def test_wrong_options_are_errors(
    composed: Callable[..., Composed], options: list[str], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        check(composed(*options)[0])
