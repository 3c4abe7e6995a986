"""Fully connected networks: utterance level."""

from collections.abc import Sequence

from torch import Tensor, nn

from ser.errors import UserError

Dropout = float | Sequence[float]


def dense(
    inputs: int, widths: Sequence[int], *, dropout: Dropout, batch_norm: bool
) -> nn.Sequential:
    """Linear layers, each with (batch normalisation and) ReLU: (B, inputs) -> (B, widths[-1]).

    Args:
        inputs: width of what comes in.
        widths: of the layers.
        dropout: between the layers, i.e. after each but the last; or a list, after each; 0 adds
            nothing.
        batch_norm: normalise each layer before its ReLU.

    Raises:
        UserError: a list of another length than `widths`.
    """
    if isinstance(dropout, Sequence):
        shares = list(dropout)
    else:
        shares = [dropout] * (len(widths) - 1) + [0.0] * bool(widths)
    if len(shares) != len(widths):
        raise UserError(f"dropout={shares}: {len(widths)} layers need as many, or one number")
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
    """(B, K) codes -> (B,) logits of being real, i.e. a sample of the prior.

    Args:
        inputs: K, and the length of the condition where there is one.
        hidden: widths of the hidden layers, ReLU.
        dropout: after each hidden layer.
    """

    def __init__(self, inputs: int, *, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.hidden = dense(inputs, hidden, dropout=dropout, batch_norm=False)
        # `dense` drops between layers; here the last one has dropout, too.
        self.output = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden[-1], 1))

    def forward(self, codes: Tensor) -> Tensor:
        return self.output(self.hidden(codes)).squeeze(1)


class MLPEncoder(nn.Module):
    """(B, D) features -> (B, `outputs`).

    Args:
        inputs: D.
        hidden: widths, ReLU; none: the features as they are.
        dropout: between the hidden layers; or a list, after each of them.
        batch_norm: on every layer.
    """

    level = "utterance"

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
        hidden: widths, ReLU.
        dropout: between the hidden layers; or a list, after each of them.
        batch_norm: on every layer, the last one included (parthasarathy2019, section 5.2).
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

    def forward(self, codes: Tensor, lengths: None = None) -> Tensor:
        return self.layers(codes)
