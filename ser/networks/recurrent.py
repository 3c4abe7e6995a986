"""Recurrent networks over frames or segments (latif2017 and latif2018, section 4.3).

They are invariant to padding: a state depends only on earlier frames, and for the backward
direction each utterance is reversed within its own length. Packed sequences have the same effect,
but on the CPU their backward pass takes thirty times as long at 400 frames.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from ser.networks.conv import mask
from ser.networks.mlp import dense


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, C) -> (B, T, C): reverse the frames of each item; padding stays at the end."""
    frame = torch.arange(x.shape[1], device=x.device)
    ends = lengths[:, None]
    order = torch.where(frame < ends, ends - 1 - frame, frame)
    return x[torch.arange(x.shape[0], device=x.device)[:, None], order]


class AttentivePooling(nn.Module):
    """(B, T, H) states -> (B, H): weighted mean with learnt weights.

    The score of a frame is v · tanh(W h + b), additive as in Bahdanau et al. 2015 (section 3.1).
    The weights are the softmax of the scores over the frames that are not padding.

    Args:
        inputs: H.
    """

    def __init__(self, inputs: int) -> None:
        super().__init__()
        # A softmax is invariant to a bias of the score.
        self.score = nn.Sequential(
            nn.Linear(inputs, inputs), nn.Tanh(), nn.Linear(inputs, 1, bias=False)
        )

    def forward(self, states: Tensor, inside: Tensor) -> Tensor:
        """(B, T, H) and its mask (B, T, 1) -> (B, H)."""
        scores = self.score(states).masked_fill(~inside, -torch.inf)
        return (scores.softmax(dim=1) * states).sum(dim=1)


class _LSTM(nn.LSTM):
    """One layer in one direction; input and output are those of `nn.LSTM`.

    It is exported as one ONNX operator, where `nn.LSTM` is exported as one per frame.
    """

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        if not torch.compiler.is_exporting():
            return super().forward(x, state)  # type: ignore[has-type]
        # Gates in ONNX: input, output, forget, cell; in torch: input, forget, cell, output.
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
        # The forget gate is the second of four; torch adds two biases to each gate.
        lstm.get_parameter("bias_ih_l0").chunk(4)[1].fill_(forget_bias)
        lstm.get_parameter("bias_hh_l0").chunk(4)[1].zero_()
    return lstm


class LSTMEncoder(nn.Module):
    """(B, T, F) frames -> (B, `outputs`): LSTM layers, pooling over time, dense layers.

    The activation of the LSTM is tanh, as in both papers. The layer that returns the logits is
    part of the classifier: it is the second of the "two dense layers" of latif2017, and the softmax
    layer after one dense layer of latif2018.

    Args:
        inputs: F.
        layers: Number of LSTM layers.
        width: Width of the state in each direction.
        bidirectional: Use both directions.
        forget_bias: Initial bias of the forget gates. At 0, half of a state is forgotten at each
            frame, so nothing can be learnt from the beginning of a long utterance (Jozefowicz et
            al. 2015).
        pooling: "last": the state after the last frame (in the backward direction, the first);
            "mean": the mean of all states; "attention": a weighted mean.
        hidden: Widths of the dense layers, with ReLU; empty: the output is the pooled state.
        dropout: Dropout between the LSTM layers, and between the dense layers.
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
        """(B, T, H) states -> (B, H) pooled states."""
        inside = mask(lengths, states.shape[1])
        if self.attention is not None:
            return self.attention(states, inside)
        if self.pooling == "mean":
            return (states * inside).sum(dim=1) / lengths[:, None]
        items = torch.arange(states.shape[0], device=states.device)
        after_last, after_first = states[items, lengths - 1], states[:, 0]
        # The second slice is empty if there is no backward direction.
        return torch.cat([after_last[:, : self.width], after_first[:, self.width :]], dim=1)

    def states(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, F) -> (B, T, H) states of the last layer, both directions concatenated."""
        for number, (forwards, *backwards) in enumerate(self._lstms):
            x = self.dropout(x) if number > 0 else x
            states = [forwards(x)[0]]
            states += [reverse(lstm(reverse(x, lengths))[0], lengths) for lstm in backwards]
            x = torch.cat(states, dim=2)
        return x

    @property
    def _lstms(self) -> list[list[nn.Module]]:
        return [list(layer.children()) for layer in self.layers]
