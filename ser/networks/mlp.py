"""Fully connected networks for utterance-level features."""

from collections.abc import Sequence

from torch import Tensor, nn

from ser.errors import UserError

Dropout = float | Sequence[float]


def dense(
    inputs: int, widths: Sequence[int], *, dropout: Dropout, batch_norm: bool
) -> nn.Sequential:
    """Return linear layers with ReLU, (B, inputs) -> (B, widths[-1]).

    Args:
        inputs: Width of the input.
        widths: Widths of the layers.
        dropout: Dropout between the layers; or a list, after each layer. 0 adds no module.
        batch_norm: Normalise each layer before its ReLU.

    Raises:
        UserError: The list does not have the length of `widths`.
    """
    if isinstance(dropout, Sequence):
        shares = list(dropout)
    else:
        shares = [dropout] * (len(widths) - 1) + [0.0] * bool(widths)
    if len(shares) != len(widths):
        raise UserError(f"dropout={shares}: must be one number, or {len(widths)}, one per layer")
    layers: list[nn.Module] = []
    for width, share in zip(widths, shares, strict=True):
        layers.append(nn.Linear(inputs, width))
        if batch_norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        if share > 0:
            layers.append(nn.Dropout(share))
        inputs = width
    return nn.Sequential(*layers)


class Discriminator(nn.Module):
    """(B, K) codes -> (B,) logits of being real, i.e. samples of the prior.

    Args:
        inputs: K, plus the width of the condition if there is one.
        hidden: Widths of the hidden layers, with ReLU.
        dropout: Dropout after each hidden layer.
    """

    def __init__(self, inputs: int, *, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.hidden = dense(inputs, hidden, dropout=dropout, batch_norm=False)
        # `dense` has dropout between layers only; here it also follows the last one.
        self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden[-1], 1))

    def forward(self, codes: Tensor) -> Tensor:
        return self.output(self.hidden(codes)).squeeze(-1)


class MLPEncoder(nn.Module):
    """(B, D) features -> (B, `outputs`).

    Args:
        inputs: D.
        hidden: Widths of the layers, with ReLU; empty: the output is the input.
        dropout: Dropout between the layers; or a list, after each layer.
        batch_norm: Normalise every layer.
    """

    level = "utterance"
    takes_packs = True

    def __init__(
        self, inputs: int, *, hidden: Sequence[int], dropout: Dropout, batch_norm: bool
    ) -> None:
        super().__init__()
        self.layers = dense(inputs, hidden, dropout=dropout, batch_norm=batch_norm)
        self.outputs = hidden[-1] if hidden else inputs

    def forward(self, x: Tensor, lengths: None = None) -> Tensor:
        return self.layers(x)


class MLPDecoder(nn.Module):
    """(B, K) codes -> (B, D) features.

    Args:
        codes: K.
        outputs: D.
        hidden: Widths of the hidden layers, with ReLU.
        dropout: Dropout between the hidden layers; or a list, after each of them.
        batch_norm: Normalise every layer, including the last (parthasarathy2019, section 5.2).
    """

    def __init__(
        self,
        codes: int,
        outputs: int,
        *,
        hidden: Sequence[int],
        dropout: Dropout,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        last: list[nn.Module] = [nn.Linear(hidden[-1], outputs)]
        if batch_norm:
            last.append(nn.BatchNorm1d(outputs))
        layers = dense(codes, hidden, dropout=dropout, batch_norm=batch_norm)
        self.layers = nn.Sequential(*layers, *last)

    def forward(self, codes: Tensor) -> Tensor:
        return self.layers(codes)
