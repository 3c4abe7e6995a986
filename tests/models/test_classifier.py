from functools import partial

import pytest
import torch
from torch import nn

from ser.data.batches import UNLABELLED, Batch, Task
from ser.models.classifier import Classifier
from ser.networks.conv import ConvEncoder
from ser.networks.mlp import MLPEncoder
from ser.networks.recurrent import LSTMEncoder

MLP = partial(MLPEncoder, hidden=[8, 8], dropout=0.0, batch_norm=False)
CNN = partial(
    ConvEncoder,
    channels=[8] * 4,
    last=8,
    kernel=4,
    hidden=[8],
    dropout=0.0,
    batch_norm=False,
)
LSTM = partial(
    LSTMEncoder,
    layers=2,
    width=8,
    bidirectional=False,
    forget_bias=1.0,
    pooling="last",
    hidden=[8],
    dropout=0.0,
)
ADAM = partial(torch.optim.Adam, lr=1e-2)


def classifier(encoder: partial = MLP, weights: torch.Tensor | None = None) -> Classifier:
    torch.manual_seed(0)
    return Classifier(Task(5, 3, weights, {}), encoder=encoder, optimiser=ADAM)


def batch(frames: int | None = None) -> Batch:
    torch.manual_seed(1)
    y = torch.arange(12) % 3
    if frames is None:
        return Batch(torch.randn(12, 5), y)
    lengths = torch.arange(12) + 1
    x = torch.randn(12, 12, 5) * (torch.arange(12) < lengths[:, None])[..., None]
    return Batch(nn.functional.pad(x, (0, 0, 0, frames - 12)), y, lengths)


def test_its_one_phase_updates_every_parameter() -> None:
    model = classifier()
    (phase,) = model.phases
    assert {id(p) for p in phase.parameters()} == {id(p) for p in model.parameters()}
    assert (phase.name, phase.rate) == ("classification", 1.0)


def test_it_fits_separable_data() -> None:
    model, data = classifier(), batch()
    (optimiser,) = model.configure_optimizers()
    for _ in range(200):
        loss = model.classification_loss(data, None)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.equal(model(data).argmax(1), data.y)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 0.5])])
def test_loss_is_the_weighted_cross_entropy_of_labelled_items(
    weights: torch.Tensor | None,
) -> None:
    model, data = classifier(weights=weights), batch()
    some = data._replace(y=torch.where(torch.arange(12) < 7, data.y, UNLABELLED))
    expected = nn.functional.cross_entropy(model(data)[:7], data.y[:7], weights)
    torch.testing.assert_close(model.classification_loss(some, None), expected)


def test_padding_changes_nothing() -> None:
    model = classifier(CNN)
    logits = [model(batch(frames)) for frames in (12, 13, 1000)]
    torch.testing.assert_close(logits[0], logits[1])
    torch.testing.assert_close(logits[0], logits[2])


def test_probabilities_of_an_utterance_are_means_over_its_windows() -> None:
    model, data = classifier(CNN), batch(12)
    windows = torch.arange(12) // 3
    actual = model.predictions(data._replace(y=data.y[:4], windows=windows))
    expected = model(data).softmax(1).reshape(4, 3, 3).mean(1)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(actual.sum(1), torch.ones(4))


@pytest.mark.parametrize("encoder", [MLP, LSTM])
def test_probabilities_are_weighted_means_over_variants(encoder: partial) -> None:
    """And so is what it is trained on."""
    weights = torch.tensor([0.5, 0.2, 0.3])
    torch.manual_seed(0)
    model = Classifier(Task(5, 3, None, {}, weights), encoder=encoder, optimiser=ADAM)
    plain = classifier(encoder)
    assert model.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(model.state_dict())
    data = batch(None if encoder is MLP else 12)
    each = [data.x * factor for factor in (1.0, -2.0, 0.5)]
    together = data._replace(x=torch.cat(each, dim=-1))
    expected = sum(
        weight * plain(data._replace(x=x)).softmax(1)
        for weight, x in zip(weights, each, strict=True)
    )
    torch.testing.assert_close(model.predictions(together), expected)
    loss = nn.functional.nll_loss(expected.log(), data.y)
    torch.testing.assert_close(model.classification_loss(together, None), loss)
    alike = data._replace(x=torch.cat([data.x] * 3, dim=-1))
    torch.testing.assert_close(model.predictions(alike), plain.predictions(data))
