"""Runs that are trained as one stacked model learn what they would learn alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import scipy.stats
import torch
from small import OF_MODEL, made_data, made_model, training
from torch import Tensor, nn

from ser.data.batches import UNLABELLED
from ser.data.datamodule import DataModule
from ser.data.frame_batches import FrameBatches
from ser.errors import UserError
from ser.models.priors import Categorical, Gaussian
from ser.networks.noise import BITS, INCREMENT, PackNoise, _bits
from ser.networks.stacked import PackRows, stack
from ser.training.pack import Member, Pack, fit_pack
from ser.training.prediction import predictions

PLAIN = ["model.batch_norm=false", "model.discriminator.dropout=0.0"]
PLAIN += [f"networks.{level}.encoder.dropout=0.0" for level in ("utterance", "frame")]
ALIKE = {name: PLAIN if "aae" in name else ["model.encoder.dropout=0.0"] for name in OF_MODEL}
NAMES = list(OF_MODEL)
# Elementwise functions of torch round the last values of a tensor in another way, unless there is
# a whole number of vectors.
VECTORS = 32


def data_of(name: str, seed: int, batch_size: int = 16, **options: float) -> DataModule:
    """Data with an order of batches and a size of the training split that depend on the seed."""
    data = made_data(OF_MODEL[name], **options)
    data.seed, data.batch_size = seed, batch_size
    train = data.fold.train[: 40 - seed]
    data.fold = replace(data.fold, train=train, fit=train)
    return data


def member(name: str, data: DataModule, *overrides: str, **options: object) -> Member:
    model = made_model(name, data, *overrides)
    pl.seed_everything(data.seed, verbose=False)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.ConvTranspose1d):
            module.reset_parameters()
    return Member(model, data, training(**options).selection())


def packed(members: Sequence[Member], **options: object) -> list[Member]:
    fit_pack(training(**options), members)
    return list(members)


def weights(member: Member) -> dict[str, Tensor]:
    return {name: each.clone() for name, each in member.model.state_dict().items()}


def assert_same(one: Member, other: Member) -> None:
    """Both are equal bit for bit: weights, losses, scores and the selected epoch."""
    assert one.selection.epoch == other.selection.epoch
    assert one.model.record == other.model.record
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_pack_trains_as_separate_runs_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without batch normalisation and with the same samples: after an epoch, up to rounding.

    The splits have 40, 39 and 38 utterances, so that the last batches differ, too. Some utterances
    are cropped in training, and have two windows in validation.
    """
    monkeypatch.setattr(FrameBatches, "aligned", True)
    for prior in (Gaussian, Categorical):
        monkeypatch.setattr(prior, "sample", fixed_sample)
    options = ALIKE[name]
    together = packed(
        [member(name, data_of(name, seed), *options) for seed in range(3)], max_epochs=1
    )
    for seed, one in enumerate(together):
        alone = member(name, data_of(name, seed), *options)
        training(max_epochs=1).fit(alone.model, alone.data, tmp_path / str(seed), [])
        torch.testing.assert_close(weights(one), weights(alone), rtol=0, atol=1e-5)
        (row,), (expected,) = one.model.record, alone.model.record
        assert list(row) == list(expected)
        assert row == pytest.approx(expected, abs=1e-5)


def fixed_sample(
    self: Gaussian, labels: Tensor, size: int, classes: int, noise: object = None
) -> Tensor:
    """The same samples for each batch, whatever draws them."""
    rows = torch.arange(labels.shape[-1])
    return torch.sin(rows[:, None] + torch.arange(size)).expand(*labels.shape, size)


@pytest.mark.parametrize("name", NAMES)
def test_run_does_not_depend_on_the_others(name: str) -> None:
    def of(*seeds: int) -> list[Member]:
        return packed([member(name, data_of(name, seed, VECTORS)) for seed in seeds])

    (alone,), three, others = of(2), of(0, 1, 2), of(2, 5)
    assert_same(alone, three[2])
    assert_same(alone, others[0])
    assert three[1].model.record != three[2].model.record


@pytest.mark.parametrize("name", ["aae", "aae frames"])
def test_batches_of_any_size_and_number_give_the_same_up_to_rounding(name: str) -> None:
    """One run has three batches, the other one two: 16, and 17 with the last utterance."""
    for seed, others in ((1, (7,)), (7, (1,))):
        alone, among = (
            packed([member(name, data_of(name, each), "model.batch_norm=false") for each in seeds])
            for seeds in ([seed], [seed, *others])
        )
        assert alone[0].selection.epoch == among[0].selection.epoch
        torch.testing.assert_close(weights(alone[0]), weights(among[0]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_noise_in_the_test_split_of_a_run_changes_nothing(name: str) -> None:
    """Neither its own training and selection nor those of the others."""
    one, other = (
        packed([member(name, data_of(name, 0, test_value=value)), member(name, data_of(name, 1))])
        for value in (0.0, 1e6)
    )
    for before, after in zip(one, other, strict=True):
        assert_same(before, after)
    tested = [predictions(each[0].model, each[0].data, "test") for each in (one, other)]
    assert not torch.equal(*tested)


def test_rows_of_another_split_are_refused() -> None:
    data = data_of("mlp", 0)
    batches = data.train_dataloader()
    batches.utterances[0] = 45  # of the validation split
    data.train_dataloader = lambda: batches  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        packed([member("mlp", data)])


def test_run_that_stops_early_is_frozen_and_the_others_go_on() -> None:
    options = {"patience": 2, "max_epochs": 8}
    lr = "model.optimiser.lr=0.01"
    members = [member("mlp", data_of("mlp", seed), lr, **options) for seed in range(3)]
    epochs = [len(each.model.record) for each in packed(members, **options)]
    assert len(set(epochs)) > 1
    for run in (int(np.argmin(epochs)), int(np.argmax(epochs))):
        (alone,) = packed([member("mlp", data_of("mlp", run), lr, **options)], **options)
        assert len(alone.model.record) == epochs[run]
        assert alone.selection.epoch == members[run].selection.epoch
        torch.testing.assert_close(weights(alone), weights(members[run]), rtol=0, atol=1e-5)


def test_absent_runs_do_not_change() -> None:
    """Neither parameters nor running statistics nor moments of optimisers."""
    pack = Pack([member("aae", data_of("aae", seed)) for seed in range(2)], torch.device("cpu"))
    pack.train_epoch(0, (0, 1))
    before = [weights(each) for each in pack.members]
    pack.train_epoch(1, (1,))
    torch.testing.assert_close(weights(pack.members[0]), before[0], rtol=0, atol=0)
    name = "encoder.layers.0.weight"
    assert not torch.equal(weights(pack.members[1])[name], before[1][name])


def test_loss_that_is_not_finite_ends_one_run_only() -> None:
    members = [member("mlp", data_of("mlp", seed)) for seed in range(2)]
    with torch.no_grad():
        members[0].model.head.weight.fill_(float("nan"))
    packed(members)
    assert "is not finite" in str(members[0].error)
    assert members[1].error is None
    (alone,) = packed([member("mlp", data_of("mlp", 1))])
    torch.testing.assert_close(weights(members[1]), weights(alone), rtol=0, atol=1e-5)


def test_unlabelled_utterances_and_class_weights() -> None:
    """Cross-entropy averages over labelled items, by their class weights, as in one run."""
    models, logits = [], torch.randn(2, 6, 3)
    y = torch.tensor([[0, 1, 2, UNLABELLED, 1, 0], [2, UNLABELLED, 1, 0, 0, 0]])
    from ser.data.batches import Batch
    from ser.models.losses import pack_cross_entropy

    class_weights = torch.tensor([[0.5, 1.0, 2.0], [3.0, 1.0, 0.2]])
    rows = torch.tensor([[1.0] * 6, [1.0] * 3 + [0.0] * 3])  # the second run has padding
    for given in (None, class_weights):
        losses = pack_cross_entropy(logits, Batch(torch.zeros(2, 6, 1), y, weights=rows), given)
        for run, count in enumerate((6, 3)):
            own = None if given is None else given[run]
            expected = nn.CrossEntropyLoss(own, ignore_index=UNLABELLED)
            models.append(expected(logits[run, :count], y[run, :count]))
            assert losses[run] == pytest.approx(float(models[-1]), abs=1e-6)


def test_batch_normalisation_ignores_padding() -> None:
    layers = [nn.BatchNorm1d(3) for _ in range(2)]
    plain = [nn.Sequential(nn.BatchNorm1d(3)) for _ in range(2)]
    rows = PackRows()
    rows.weights = torch.tensor([[0.25] * 4, [0.5, 0.5, 0.0, 0.0]])
    x = torch.randn(2, 4, 3)
    x[1, 2:] = 1e6
    noise = PackNoise([0, 1], rows=4, drawn=5, device=torch.device("cpu"))
    stacked = stack([nn.Sequential(layer) for layer in layers], rows, noise)
    out = stacked(x)
    for run, count in enumerate((4, 2)):
        expected = plain[run](x[run, :count])
        torch.testing.assert_close(out[run, :count], expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(layers[run].state_dict(), plain[run][0].state_dict())


def test_other_layers_are_refused() -> None:
    noise = PackNoise([0], rows=4, drawn=5, device=torch.device("cpu"))
    with pytest.raises(UserError, match="LSTM layers cannot be stacked"):
        stack([nn.Sequential(nn.LSTM(2, 2))], PackRows(), noise)


def test_bits_are_those_of_splitmix64() -> None:
    # The first numbers of the seed 1234567, as published with other implementations.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423,
                 4593380528125082431, 16408922859458223821]  # fmt: skip
    states = 1234567 + INCREMENT * torch.arange(1, 6)
    assert _bits(states).tolist() == [number >> (64 - BITS) for number in published]


def test_numbers_have_their_distributions() -> None:
    noise = PackNoise([0, 1], rows=500, drawn=501, device=torch.device("cpu"))
    noise.begin_step(torch.ones(2).bool())
    items = torch.zeros(2, 500, 20)
    uniform, normal = noise.uniform(items), noise.normal(items[..., 0], 20)
    for drawn, name in ((uniform, "uniform"), (normal, "norm")):
        for run in drawn.flatten(1).numpy():
            assert scipy.stats.kstest(run, name).pvalue > 0.01
        correlations = np.corrcoef(drawn.permute(0, 2, 1).flatten(0, 1).numpy())
        assert abs(correlations - np.eye(40)).max() < 0.2


def test_numbers_of_a_run_come_from_its_own_seed() -> None:
    """They are those of its seed and of its own steps, whatever the other seeds and rows."""
    device = torch.device("cpu")

    def drawn(seeds: Sequence[int], rows: int, absent: Sequence[int] = ()) -> np.ndarray:
        noise = PackNoise(seeds, rows=rows, drawn=5, device=device)
        x, steps = torch.zeros(len(seeds), rows, 2), []
        for step in range(3 + len(absent)):
            own = step not in absent  # whether the run with seed 7 takes part
            noise.begin_step(torch.tensor([own if seed == 7 else not own for seed in seeds]))
            numbers = torch.cat([noise.uniform(x), noise.normal(x[:, :, 0], 2)], dim=2)
            if own:
                steps.append(numbers)
        return torch.stack(steps)[:, seeds.index(7), :4].numpy()

    expected = drawn([7], 4)
    assert len(np.unique(expected)) == expected.size
    np.testing.assert_array_equal(drawn([3, 7, 4], 4), expected)
    np.testing.assert_array_equal(drawn([7, 3], 5), expected)
    np.testing.assert_array_equal(drawn([7, 3], 5, absent=[0, 2]), expected)


@pytest.mark.parametrize("name", ["mlp", "aae frames"])
def test_runs_that_differ_in_other_splits_share_a_training(name: str) -> None:
    """Bit for bit the results of packs of their own, of which each selects its own epoch."""

    def of(exchanged: bool) -> Member:
        data = data_of(name, 0, VECTORS)
        if exchanged:
            val, test = data.fold.test, data.fold.val[:8]
            data = data.of_fold(replace(data.fold, val=val, test=test))
        return member(name, data)

    separate = [packed([of(exchanged)])[0] for exchanged in (False, True)]
    one = of(False)
    other = member(name, one.data.of_fold(of(True).data.fold))
    third = member(name, data_of(name, 1, VECTORS))
    pack = Pack([one, third, other], torch.device("cpu"))
    assert pack.trainings == [[0, 2], [1]]
    pack.train_epoch(0, (0, 1, 2))
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=0)

    one = of(False)
    other = member(name, one.data.of_fold(of(True).data.fold))
    together = packed([one, member(name, data_of(name, 1, VECTORS)), other])
    assert_same(together[0], separate[0])
    assert_same(together[2], separate[1])
    assert together[0].model.record != together[2].model.record


def test_validation_of_one_run_is_not_seen_by_the_other_one() -> None:
    """The test split of a run may be the validation split of another one with the same training."""
    pairs = []
    for value in (0.0, 1e6):
        data = data_of("aae frames", 0, test_value=value)
        other = data.of_fold(replace(data.fold, val=data.fold.test, test=data.fold.val))
        pairs.append(packed([member("aae frames", each) for each in (data, other)]))
    (before, of_test), (after, of_noise) = pairs
    assert_same(before, after)
    assert of_test.model.record != of_noise.model.record


def test_training_goes_on_until_its_last_run_ends() -> None:
    """The weights of the run that has stopped are those that it has selected."""
    options = {"patience": 2, "max_epochs": 8}

    def pair() -> list[Member]:
        data = data_of("mlp", 4)
        other = data.of_fold(replace(data.fold, val=data.fold.test, test=data.fold.val))
        lr = "model.optimiser.lr=0.02"
        return [member("mlp", each, lr, **options) for each in (data, other)]

    together = packed(pair(), **options)
    assert len({len(each.model.record) for each in together}) == 2
    for number, one in enumerate(together):
        (alone,) = packed([pair()[number]], **options)
        assert_same(one, alone)
