"""Networks that see segments one by one."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from ser.networks.mlp import MLPEncoder


class Pyramid(nn.Module):
    """(B, L * F) segments -> (B, `outputs`): linear layers, tanh after each (ghosh2016, eq. 2).

    What it makes of an utterance's segments is averaged, as probabilities, over them.

    Args:
        inputs: L * F.
        hidden: widths; none: the segment as it is.

    Attributes:
        widths: of what comes in and of each layer.
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
        """What so many of the first layers make of (B, inputs)."""
        for layer in self.layers[:number]:
            x = layer(x).tanh()
        return x


class SegmentMLP(MLPEncoder):
    """As `MLPEncoder`, of segments: (B, L * F) -> (B, `outputs`)."""

    level = "segment"
