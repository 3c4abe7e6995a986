"""On which class codes are conditioned; only the oracle uses the labels."""

from functools import partial
from typing import Any

import pytest
import torch

from ser.data.batches import UNLABELLED, Batch, Task
from ser.models.cvae import CVAE
from ser.networks.mlp import MLPDecoder, MLPEncoder


def cvae(reading: str | None, **options: Any) -> CVAE:
    torch.manual_seed(0)
    given: dict[str, Any] = {
        "encoder": partial(MLPEncoder, hidden=[16], dropout=0.0, batch_norm=False),
        "decoder": partial(MLPDecoder, hidden=[16], dropout=0.0, batch_norm=False),
        "noise": 0.5,
        "annealing_epochs": 0,
        "free_bits": 0.0,
        "code": "mean",
        "condition_dropout": 0.0,
        "optimiser": partial(torch.optim.Adam, lr=1e-3),
    }
    return CVAE(Task(6, 3, None, {}), 4, reading=reading, **{**given, **options})  # type: ignore[arg-type]


def batch() -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(12, 6), torch.arange(12) % 4 - 1)  # every fourth unlabelled


@pytest.mark.parametrize("code", ["mean", "mean_and_variance"])
def test_marginal_codes_are_concatenated_codes_under_each_class(code: str) -> None:
    model, data = cvae("marginal", code=code), batch()
    codes = model.codes(data)
    assert codes.shape == (12, model.width)
    assert model.variants == 3
    for label, part in enumerate(codes.chunk(3, dim=1)):
        assert torch.equal(part, model.codes_under(data, label))
    assert not model.reads_labels


def test_codes_without_class_equal_those_of_unlabelled_items() -> None:
    model, data = cvae(None), batch()
    assert torch.equal(model.codes(data), model.codes_under(data, UNLABELLED))
    assert (model.variants, model.reads_labels, model.width) == (1, False, 4)


def test_oracle_codes_are_those_under_the_true_class() -> None:
    model, data = cvae("oracle"), batch()
    assert torch.equal(model.codes(data), model.codes_under(data, data.y))
    assert (model.variants, model.reads_labels, model.width) == (1, True, 4)


@pytest.mark.parametrize("reading", ["marginal", None, "oracle"])
def test_only_oracle_codes_depend_on_labels(reading: str | None) -> None:
    model, data = cvae(reading), batch()
    other = data._replace(y=data.y.flip(0))
    assert torch.equal(model.codes(data), model.codes(other)) is not model.reads_labels


def test_reading_does_not_change_the_fit() -> None:
    """So that one fit serves all readings."""
    states = [cvae(reading).state_dict() for reading in ("marginal", None, "oracle")]
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[name], value) for name, value in states[0].items())
    losses = []
    for reading in ("marginal", None, "oracle"):
        model = cvae(reading)
        torch.manual_seed(2)
        (loss,) = model.losses(batch()).values()
        losses.append(loss)
    assert losses[0] == losses[1] == losses[2]
