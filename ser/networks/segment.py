"""Networks for segments, each of which is classified on its own."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ser.networks.mlp import MLPEncoder


class Pyramid(nn.Module):
    """(B, L * F) segments -> (B, `outputs`): linear layers with tanh (ghosh2016, eq. 2).

    The probabilities of an utterance are the means over its segments.

    Args:
        inputs: L * F.
        hidden: Widths of the layers; empty: the output is the input.

    Attributes:
        widths: Widths of the input and of each layer.
    """

    level = "segment"

    def __init__(self, inputs: int, *, hidden: Sequence[int]) -> None:
        super().__init__()
        self.widths = [inputs, *hidden]
        pairs = pairwise(self.widths)
        self.layers = nn.ModuleList(nn.Linear(wide, narrow) for wide, narrow in pairs)
        self.outputs = self.widths[-1]

    def forward(self, x: Tensor, lengths: None = None) -> Tensor:
        return self.below(len(self.layers), x)

    def below(self, number: int, x: Tensor) -> Tensor:
        """Return the output of the first `number` layers for (B, inputs)."""
        for layer in self.layers[:number]:
            x = layer(x).tanh()
        return x


class SegmentMLP(MLPEncoder):
    """`MLPEncoder` for segments: (B, L * F) -> (B, `outputs`)."""

    level = "segment"
