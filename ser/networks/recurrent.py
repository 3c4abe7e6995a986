"""Recurrent networks over frames or segments (latif2017 and latif2018, section 4.3), padding-proof.

A state depends on the frames before it alone, so what follows an utterance's end changes none that
count; to be read backwards, an utterance is turned round within its own length. Packed sequences
would do the same, but on the CPU their backward pass takes thirty times as long at 400 frames.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ser.networks.conv import mask
from ser.networks.mlp import dense


def turned(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, C) -> (B, T, C): each item's frames from its last to its first; padding stays."""
    frame = torch.arange(x.shape[1], device=x.device)
    ends = lengths[:, None]
    order = torch.where(frame < ends, ends - 1 - frame, frame)
    return x[torch.arange(x.shape[0], device=x.device)[:, None], order]


class AttentivePooling(nn.Module):
    """(B, T, H) states -> (B, H): their mean, weighted by a learnt score of each frame.

    A frame's score is v · tanh(W h + b), additive as in Bahdanau et al. 2015 (section 3.1), and the
    weights are a softmax of the scores of the frames that are no padding.

    Args:
        inputs: H.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        # No bias on the score: a softmax does not see it.
        self.score = nn.Sequential(
            nn.Linear(inputs, inputs), nn.Tanh(), nn.Linear(inputs, 1, bias=False)
        )

    def forward(self, states: Tensor, inside: Tensor) -> Tensor:
        """(B, T, H) and its mask (B, T, 1) -> (B, H)."""
        scores = self.score(states).masked_fill(~inside, -torch.inf)
        return (scores.softmax(dim=1) * states).sum(dim=1)


class _LSTM(nn.LSTM):
    """(B, T, F) -> (B, T, H), and what torch's own gives beside it; one layer in one direction.

    In a graph it is one operator of ONNX, where torch's own would be one for every frame.
    """

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        if not torch.compiler.is_exporting():
            return super().forward(x, state)  # type: ignore[has-type]
        # Of ONNX the gates are input, output, forget, cell; of torch input, forget, cell, output.
        numbers = []
        for kind in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            gates = self.get_parameter(kind).chunk(4)
            numbers.append(torch.cat([gates[i] for i in (0, 3, 1, 2)])[None])
        wide, recurrent, *biases = numbers
        x = x.transpose(0, 1)
        shape = (x.shape[0], 1, x.shape[1], self.hidden_size)
        states = torch.onnx.ops.symbolic(
            "LSTM",
            (x, wide, recurrent, torch.cat(biases, dim=1)),
            {"hidden_size": self.hidden_size},
            dtype=x.dtype,
            shape=shape,
        )
        return states.squeeze(1).transpose(0, 1), None


def _lstm(inputs: int, width: int, forget_bias: float) -> _LSTM:
    lstm = _LSTM(inputs, width, batch_first=True)
    with torch.no_grad():
        # Of four gates the second; torch adds two biases to each.
        lstm.get_parameter("bias_ih_l0").chunk(4)[1].fill_(forget_bias)
        lstm.get_parameter("bias_hh_l0").chunk(4)[1].zero_()
    return lstm


class LSTMEncoder(nn.Module):
    """(B, T, F) frames -> (B, `outputs`): LSTM layers, one vector an utterance, dense layers.

    The activation of the LSTM is tanh, as both papers have it. The layer that gives the logits is
    the classifier's own: of the "two dense layers" of latif2017 it is the second, and it is the
    softmax layer that latif2018 has after one dense layer.

    Args:
        inputs: F.
        layers: of the LSTM, one upon the other.
        width: of its state, in each direction.
        bidirectional: read backwards, too.
        forget_bias: of the forget gates when training begins. At 0 half of a state is forgotten at
            each frame, so that of a long utterance's beginning nothing is left to learn from
            (Jozefowicz et al. 2015).
        pooling: what stands for an utterance: "last", the state after its last frame (of the
            backward direction: after its first), "mean", that of all states, or "attention", a
            weighted mean of them.
        hidden: widths of the dense layers, ReLU; none: the utterance's vector as it is.
        dropout: between the layers of the LSTM, and between the dense layers.
    """

    level = "frame"

    def __init__(
        self,
        inputs: int,
        *,
        layers: int,
        width: int,
        bidirectional: bool,
        forget_bias: float,
        pooling: Literal["last", "mean", "attention"],
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        wide = directions * width
        self.layers = nn.ModuleList(
            nn.ModuleList(_lstm(inside, width, forget_bias) for _ in range(directions))
            for inside, _ in pairwise([inputs, *[wide] * layers])
        )
        self.dropout = nn.Dropout(dropout)
        self.width, self.pooling = width, pooling
        self.attention = AttentivePooling(wide) if pooling == "attention" else None
        self.dense = dense(wide, hidden, dropout=dropout, batch_norm=False)
        self.outputs = hidden[-1] if hidden else wide

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        return self.dense(self.pooled(self.states(x, lengths), lengths))

    def pooled(self, states: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, H) -> (B, H): what stands for each utterance."""
        inside = mask(lengths, states.shape[1])
        if self.attention is not None:
            return self.attention(states, inside)
        if self.pooling == "mean":
            return (states * inside).sum(dim=1) / lengths[:, None]
        items = torch.arange(states.shape[0], device=states.device)
        after_last, after_first = states[items, lengths - 1], states[:, 0]
        # The second is empty where there is no backward direction.
        return torch.cat([after_last[:, : self.width], after_first[:, self.width :]], dim=1)

    def states(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, F) -> (B, T, H): of the last layer, both directions side by side."""
        for number, (forwards, *backwards) in enumerate(self._lstms):
            x = self.dropout(x) if number > 0 else x
            states = [forwards(x)[0]]
            states += [turned(lstm(turned(x, lengths))[0], lengths) for lstm in backwards]
            x = torch.cat(states, dim=2)
        return x

    @property
    def _lstms(self) -> list[list[nn.Module]]:
        return [list(layer.children()) for layer in self.layers]
