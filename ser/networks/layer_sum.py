"""A learned weighted sum over the layers of a pretrained encoder, as in SUPERB and s3prl.

Yang et al., "SUPERB: Speech processing universal performance benchmark", Interspeech 2021.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ser.networks.mlp import MLPEncoder


class LayerSum(nn.Module):
    """(B, L * D) features of L layers -> (B, `outputs`): their weighted sum, encoded.

    The weights are a softmax, so they are positive and sum to 1. They are equal at first.

    The softmax is taken of `weights_rate` times the parameters. Adam's steps do not depend on the
    scale of gradients, so this multiplies the learning rate of the weights.

    Args:
        inputs: L * D; the features of a layer are neighbours.
        layers: L.
        encoder: Partial of the network that encodes the sum, (B, D).
        weights_rate: Learning rate of the weights, relative to that of the other parameters.
    """

    level = "utterance"
    sums_layers = True

    def __init__(
        self,
        inputs: int,
        layers: int,
        *,
        encoder: Callable[[int], MLPEncoder],
        weights_rate: float,
    ) -> None:
        super().__init__()
        self.weights_rate = weights_rate
        self.logits = nn.Parameter(torch.zeros(layers))
        self.encoder = encoder(inputs // layers)
        self.outputs = self.encoder.outputs

    @property
    def weights(self) -> Tensor:
        """Weights of the layers, (L,)."""
        return (self.weights_rate * self.logits).softmax(dim=0)

    def forward(self, x: Tensor, lengths: None = None) -> Tensor:
        by_layer = x.unflatten(1, (len(self.logits), -1))
        return self.encoder((by_layer * self.weights[:, None]).sum(dim=1))


def built(encoder: Callable[..., Any], inputs: int, layers: int) -> Any:
    """Build the encoder of a model; one that sums layers gets their number as well.

    Args:
        encoder: Partial of an encoder.
        inputs: Width of its input.
        layers: Layers whose features stand side by side in the input; 1: there are no layers.
    """
    if getattr(getattr(encoder, "func", None), "sums_layers", False):
        return encoder(inputs, layers)
    return encoder(inputs)
