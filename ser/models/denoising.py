"""Denoising autoencoders of ghosh2016 (sections 3.1 and 3.2): stacked, tied or not, and deep.

An encoder of linear layers with tanh after each, a linear decoder, the sum of squared errors of the
clean input from a corrupted one: a share of its values is set to zero, and drawn anew for every
batch. What encodes is a `Pyramid`, which a classifier can begin from.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ser.data.batches import Batch, Task
from ser.errors import UserError
from ser.models.losses import summed_squared_error
from ser.networks.segment import Pyramid
from ser.training.phased import Optimiser, Phase, PhasedModel


class Deep(PhasedModel):
    """All layers trained jointly (section 3.2); the decoder mirrors the encoder.

    Args:
        task: what the module is made for.
        size: K, of the last layer.
        hidden: widths of the encoder's layers before it.
        corruption: share of an input's values that are set to zero.
        optimiser: partial of a torch optimiser.

    Attributes:
        width: K.

    Raises:
        UserError: a corruption that is no share.
    """

    uses_unlabelled = True

    def __init__(
        self,
        task: Task,
        size: int,
        *,
        hidden: Sequence[int],
        corruption: float,
        optimiser: Optimiser,
    ) -> None:
        super().__init__(task, optimiser)
        if not 0 <= corruption < 1:
            raise UserError(f"corruption={corruption}: a share from 0, and less than 1")
        self.width, self.corruption = size, corruption
        self.encoder = Pyramid(task.inputs, hidden=[*hidden, size])
        self.decoders = self._decoders([task.inputs, *hidden, size])

    @staticmethod
    def _decoders(widths: Sequence[int]) -> nn.ModuleList:
        """Of each layer the way back, in the order of the encoder's layers."""
        return nn.ModuleList(nn.Linear(narrow, wide) for wide, narrow in pairwise(widths))

    @property
    def phases(self) -> Sequence[Phase]:
        return [Phase("reconstruction", self.reconstruction_loss, [self.encoder, self.decoders])]

    def draw(self, batch: Batch) -> Tensor:
        """(B, D), 1 where a value is kept and 0 where it is not."""
        return self._kept(*batch.x.shape)

    def reconstruction_loss(self, batch: Batch, noise: Tensor) -> Tensor:
        codes = self.encoder(batch.x * noise)
        return summed_squared_error(batch.x, self.decode(codes, batch.y))

    def _kept(self, *shape: int) -> Tensor:
        return (torch.rand(shape, device=self.device) >= self.corruption).float()

    # ---- as a representation

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, K) codes; nothing is corrupted."""
        return self.encoder(batch.x)

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes, whose (B,) labels change nothing -> (B, D) features."""
        first, *others = self.decoders
        for decoder in reversed(others):
            codes = decoder(codes).tanh()
        return first(codes)

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Its codes have no distribution.

        Raises:
            UserError: always.
        """
        raise UserError("a denoising autoencoder has no prior to draw codes from; a VAE has")


class Stacked(Deep):
    """Trained layer by layer, each to denoise what those below make of the clean input.

    Those below are frozen, and those above not yet touched.

    Args:
        task, size, hidden, corruption, optimiser: as of `Deep`.
        tied: a layer's decoder is its encoder's weight, transposed, and a bias of its own.
        epochs_each: for which each layer but the last is trained; the last one has what is left.
    """

    def __init__(
        self,
        task: Task,
        size: int,
        *,
        hidden: Sequence[int],
        corruption: float,
        optimiser: Optimiser,
        tied: bool,
        epochs_each: int,
    ) -> None:
        super().__init__(task, size, hidden=hidden, corruption=corruption, optimiser=optimiser)
        self.epochs_each = epochs_each
        if tied:
            layers = (module for module in self.encoder.layers if isinstance(module, nn.Linear))
            self.decoders = nn.ModuleList(Transposed(layer) for layer in layers)

    def on_train_start(self) -> None:
        """Holds the epochs that there are against those that the layers need.

        Raises:
            UserError: some layer would not be trained.
        """
        super().on_train_start()
        needed, there_are = self.epochs_each * (len(self.decoders) - 1) + 1, self.trainer.max_epochs
        if there_are is not None and there_are < needed:
            raise UserError(
                f"representation.stopping.max_epochs={there_are}: {len(self.decoders)} layers, one "
                f"after another for epochs_each={self.epochs_each}, need {needed} or more"
            )

    @property
    def layer(self) -> int:
        """The one that is trained in the present epoch, from 0."""
        return min(self.current_epoch // self.epochs_each, len(self.decoders) - 1)

    def draw(self, batch: Batch) -> Tensor:
        return self._kept(len(batch.x), self.encoder.widths[self.layer])

    def reconstruction_loss(self, batch: Batch, noise: Tensor) -> Tensor:
        # Parameters that no gradient reaches are none that an optimiser moves, or lets decay.
        with torch.no_grad():
            clean = self.encoder.below(self.layer, batch.x)
        codes = self.encoder.layers[self.layer](clean * noise).tanh()
        return summed_squared_error(clean, self.decoders[self.layer](codes))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes, whose (B,) labels change nothing -> (B, D) features."""
        for decoder in reversed(self.decoders):
            codes = decoder(codes)
        return codes

    def summary(self, means: dict[str, Tensor]) -> dict[str, float]:
        return {"train/layer": self.layer}


class Transposed(nn.Module):
    """The way back through a layer: its weight, transposed (the same parameter), and a bias.

    Args:
        layer: (B, wide) -> (B, narrow).
    """

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.bias = nn.Parameter(torch.zeros(layer.in_features))

    def forward(self, codes: Tensor) -> Tensor:
        """(B, narrow) -> (B, wide)."""
        return functional.linear(codes, self.layer.weight.T, self.bias)
