"""Padding changes no output and no gradient; the results are those of torch's LSTM."""

from itertools import product
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ser.networks.conv import mask
from ser.networks.recurrent import AttentivePooling, LSTMEncoder, reverse

LENGTHS = torch.tensor([3, 40, 1, 17, 5, 40])  # in no order
KINDS = list(product([False, True], ["last", "attention"]))


def encoder(
    bidirectional: bool = False, pooling: Literal["last", "attention"] = "last", **options: Any
) -> LSTMEncoder:
    torch.manual_seed(0)
    given: dict[str, Any] = {"layers": 2, "width": 6, "hidden": [7, 4], "dropout": 0.0}
    given |= {"bidirectional": bidirectional, "pooling": pooling, "forget_bias": 1.0}
    return LSTMEncoder(3, **{**given, **options}).double()


def frames(lengths: Tensor, longest: int) -> Tensor:
    """(B, T, 3) noise about 1, zero beyond each length; the same for any T."""
    torch.manual_seed(1)
    x = 1 + torch.randn(len(lengths), 200, 3).double()
    return x[:, :longest] * mask(lengths, longest)


def assert_equal(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("bidirectional", "pooling"), KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_padding_changes_no_output_and_no_gradient(
    bidirectional: bool, pooling: Any, dtype: torch.dtype
) -> None:
    """In both precisions, because torch computes them by different libraries."""
    results = []
    for longest in (40, 41, 200):
        network = encoder(bidirectional, pooling).to(dtype)
        x = frames(LENGTHS, longest).to(dtype)
        # Whatever lies in the padding.
        codes = network(x + 100 * ~mask(LENGTHS, longest), LENGTHS)
        codes.square().sum().backward()
        gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        assert len(gradients) == len(list(network.parameters()))
        results.append((codes, torch.cat(gradients)))
    assert results[0][0].shape == (6, 4)
    for others in results[1:]:
        for left, right in zip(others, results[0], strict=True):
            if dtype == torch.float64:
                assert_equal(left, right)
            else:
                torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("bidirectional", "pooling"), KINDS)
def test_codes_do_not_depend_on_other_items_of_a_batch(bidirectional: bool, pooling: Any) -> None:
    network = encoder(bidirectional, pooling)
    together = network(frames(LENGTHS, 40), LENGTHS)
    for i, length in enumerate(LENGTHS):
        alone = network(frames(LENGTHS, 40)[i : i + 1, :length], LENGTHS[i : i + 1])
        assert_equal(alone[0], together[i])


@pytest.mark.parametrize(("bidirectional", "pooling"), KINDS)
def test_every_frame_has_a_gradient_and_padding_has_none(bidirectional: bool, pooling: Any) -> None:
    x, inside = frames(LENGTHS, 50).requires_grad_(), mask(LENGTHS, 50)[..., 0]
    encoder(bidirectional, pooling)(x, LENGTHS).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad.abs().amax(dim=2) > 0, inside)


def torch_s_own(network: LSTMEncoder) -> nn.LSTM:
    """The same layers as one LSTM of torch's."""
    both = len(network.layers[0]) == 2
    own = nn.LSTM(3, 6, len(network.layers), bidirectional=both, batch_first=True).double()
    for number, layer in enumerate(network.layers):
        for lstm, ending in zip(layer, ("", "_reverse"), strict=False):
            for name, value in lstm.named_parameters():
                own.get_parameter(f"{name[:-1]}{number}{ending}").data.copy_(value)
    return own


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_states_equal_torch_s_lstm_on_packed_sequences(bidirectional: bool, layers: int) -> None:
    """Forwards the last is the state of the last valid frame, backwards that of the first."""
    network = encoder(bidirectional, layers=layers, hidden=[])
    x = frames(LENGTHS, 40)
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    states, (ends, _) = torch_s_own(network)(packed)
    expected, _ = pad_packed_sequence(states, batch_first=True)
    assert_equal(network.states(x, LENGTHS) * mask(LENGTHS, 40), expected)
    last = ends[-2:] if bidirectional else ends[-1:]
    assert_equal(network(x, LENGTHS), torch.cat(list(last), dim=1))


def test_reverse_keeps_padding_at_the_end() -> None:
    x = frames(LENGTHS, 50) + 100 * ~mask(LENGTHS, 50)
    actual = reverse(x, LENGTHS)
    for i, length in enumerate(LENGTHS):
        assert torch.equal(actual[i, :length], x[i, :length].flip(0))
        assert torch.equal(actual[i, length:], x[i, length:])


def test_attention_weights_are_a_softmax_of_additive_scores() -> None:
    torch.manual_seed(2)
    pooling = AttentivePooling(3).double()
    states = frames(LENGTHS, 40)
    actual = pooling(states, mask(LENGTHS, 40))
    first, _, score = pooling.score
    for i, length in enumerate(LENGTHS):
        scores = [score.weight[0] @ torch.tanh(first.weight @ h + first.bias) for h in states[i]]
        weights = torch.stack(scores[:length]).exp()
        expected = (weights[:, None] * states[i, :length]).sum(0) / weights.sum()
        assert_equal(actual[i], expected)


def test_attention_with_equal_scores_is_the_mean() -> None:
    pooling = AttentivePooling(3).double()
    nn.init.zeros_(pooling.get_parameter("score.2.weight"))
    states = frames(LENGTHS, 40)
    assert_equal(pooling(states, mask(LENGTHS, 40)), states.sum(1) / LENGTHS[:, None])


@pytest.mark.parametrize(("layers", "hidden"), [(1, []), (1, [5]), (3, [9, 5])])
def test_layers_and_widths(layers: int, hidden: list[int]) -> None:
    network = encoder(layers=layers, hidden=hidden, dropout=0.5).train()
    assert network.outputs == (hidden[-1] if hidden else 6)
    assert network(frames(LENGTHS, 40), LENGTHS).shape == (6, network.outputs)
    assert len(network.layers) == layers
    assert sum(isinstance(module, nn.Linear) for module in network.modules()) == len(hidden)


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_initial_forget_gate_has_the_forget_bias(bias: float) -> None:
    """With no weights a cell is the share that the forget gate leaves, and nothing else."""
    network = encoder(True, forget_bias=bias)
    lstms = [module for module in network.modules() if isinstance(module, nn.LSTM)]
    assert len(lstms) == 4
    for lstm in lstms:
        for name, parameter in lstm.named_parameters():
            if name.startswith("weight"):
                nn.init.zeros_(parameter)
        nn.init.zeros_(lstm.bias_ih_l0[12:18])  # what is written
        nn.init.zeros_(lstm.bias_hh_l0[12:18])
        inputs = torch.zeros(1, 1, lstm.input_size).double()
        state = torch.zeros(1, 1, 6).double(), torch.ones(1, 1, 6).double()
        _, (_, cell) = lstm(inputs, state)
        assert_equal(cell, torch.full((1, 1, 6), bias).double().sigmoid())


@pytest.mark.parametrize(("bidirectional", "pooling"), KINDS)
def test_it_learns_from_the_order_of_frames(bidirectional: bool, pooling: Any) -> None:
    """Whether frames rise or fall: those of both classes have the same distribution."""
    torch.manual_seed(3)
    lengths = torch.randint(5, 12, (64,))
    truth = torch.arange(64) % 2
    frame = torch.arange(12)
    rising = torch.where(truth[:, None] == 1, frame, lengths[:, None] - 1 - frame)
    x = (rising / lengths[:, None] - 0.5)[..., None] + 0.1 * torch.randn(64, 12, 3)
    x = x * mask(lengths, 12)
    network = nn.Sequential(encoder(bidirectional, pooling, hidden=[8]).float(), nn.Linear(8, 2))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(100):
        logits = network[1](network[0](x, lengths))
        loss = nn.functional.cross_entropy(logits, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert torch.equal(logits.argmax(dim=1), truth)
