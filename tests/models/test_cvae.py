"""Under which class codes are made, and that no other reading than the oracle's asks for it."""

from functools import partial
from typing import Any

import pytest
import torch

from ser.data.batches import UNLABELLED, Batch, Task
from ser.models.cvae import CVAE
from ser.networks.mlp import MLPDecoder, MLPEncoder


def made(reading: str | None, **options: Any) -> CVAE:
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
def test_marginal_codes_are_those_under_each_class_side_by_side(code: str) -> None:
    model, data = made("marginal", code=code), batch()
    codes = model.codes(data)
    assert codes.shape == (12, model.width)
    assert model.variants == 3
    for label, part in enumerate(codes.chunk(3, dim=1)):
        assert torch.equal(part, model.codes_under(data, label))
    assert not model.reads_labels


def test_codes_of_no_class_are_those_of_the_unlabelled() -> None:
    model, data = made(None), batch()
    assert torch.equal(model.codes(data), model.codes_under(data, UNLABELLED))
    assert (model.variants, model.reads_labels, model.width) == (1, False, 4)


def test_the_oracle_s_codes_are_those_under_the_true_class() -> None:
    model, data = made("oracle"), batch()
    assert torch.equal(model.codes(data), model.codes_under(data, data.y))
    assert (model.variants, model.reads_labels, model.width) == (1, True, 4)


@pytest.mark.parametrize("reading", ["marginal", None, "oracle"])
def test_only_the_oracle_reads_a_label(reading: str | None) -> None:
    model, data = made(reading), batch()
    other = data._replace(y=data.y.flip(0))
    assert torch.equal(model.codes(data), model.codes(other)) is not model.reads_labels


def test_how_codes_are_read_changes_nothing_of_what_is_fitted() -> None:
    """So that one fit serves all readings."""
    states = [made(reading).state_dict() for reading in ("marginal", None, "oracle")]
    for state in states[1:]:
        assert state.keys() == states[0].keys()
        assert all(torch.equal(state[name], value) for name, value in states[0].items())
    losses = []
    for reading in ("marginal", None, "oracle"):
        model = made(reading)
        torch.manual_seed(2)
        (loss,) = model.losses(batch()).values()
        losses.append(loss)
    assert losses[0] == losses[1] == losses[2]
