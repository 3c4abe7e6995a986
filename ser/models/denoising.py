"""Denoising autoencoders of ghosh2016 (sections 3.1 and 3.2): deep, and stacked, tied or untied.

The encoder has linear layers with tanh, the decoder is linear. The loss is the squared error of the
clean input, reconstructed from a corrupted one: a share of its values, drawn for each batch, is set
to zero. The encoder is a `Pyramid`, so that its weights can initialise a classifier.
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
    """Denoising autoencoder whose layers are trained jointly (section 3.2).

    Args:
        task: Inputs and classes of the model.
        size: K, width of the encoder's last layer.
        hidden: Widths of the layers before it; the decoder mirrors the encoder.
        corruption: Share of the input values that are set to zero.
        optimiser: Partial of a torch optimiser.

    Attributes:
        width: K.

    Raises:
        UserError: `corruption` is not in [0, 1).
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
            raise UserError(f"corruption={corruption}: must be at least 0 and less than 1")
        self.width, self.corruption = size, corruption
        self.encoder = Pyramid(task.inputs, hidden=[*hidden, size])
        self.decoders = self._decoders([task.inputs, *hidden, size])

    @staticmethod
    def _decoders(widths: Sequence[int]) -> nn.ModuleList:
        """Return the decoder of each layer, in the order of the encoder's layers."""
        return nn.ModuleList(nn.Linear(narrow, wide) for wide, narrow in pairwise(widths))

    @property
    def phases(self) -> Sequence[Phase]:
        return [Phase("reconstruction", self.reconstruction_loss, [self.encoder, self.decoders])]

    def draw(self, batch: Batch) -> Tensor:
        """Return a mask (B, D): 0 where a value is set to zero, otherwise 1."""
        return self._mask(*batch.x.shape)

    def reconstruction_loss(self, batch: Batch, mask: Tensor) -> Tensor:
        codes = self.encoder(batch.x * mask)
        return summed_squared_error(batch.x, self.decode(codes, batch.y))

    def _mask(self, *shape: int) -> Tensor:
        return (torch.rand(shape, device=self.device) >= self.corruption).float()

    # ---- as a representation

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features, not corrupted -> (B, K) codes."""
        return self.encoder(batch.x)

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes -> (B, D) features; the (B,) labels are not used."""
        first, *others = self.decoders
        for decoder in reversed(others):
            codes = decoder(codes).tanh()
        return first(codes)

    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, D) features, not corrupted -> (B, D) reconstructed features."""
        return self.decode(self.codes(batch), batch.y)

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Raise an error: the codes have no distribution.

        Raises:
            UserError: Always.
        """
        raise UserError(
            "a denoising autoencoder has no prior to sample codes from; representation=vae has one"
        )


class Stacked(Deep):
    """Denoising autoencoder trained layer by layer (section 3.1).

    The input of a layer is the output of the layers below it for the clean input. They are frozen,
    and the layers above it are not trained yet.

    Args:
        task, size, hidden, corruption, optimiser: As in `Deep`.
        tied: The weight of a layer's decoder is that of its encoder, transposed.
        epochs_each: Epochs for each layer but the last, which is trained for all that remain.
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
        """Check that there are enough epochs for all layers.

        Raises:
            UserError: Some layer would not be trained.
        """
        super().on_train_start()
        layers, max_epochs = len(self.decoders), self.trainer.max_epochs
        needed = self.epochs_each * (layers - 1) + 1
        if max_epochs is not None and max_epochs < needed:
            raise UserError(
                f"representation.stopping.max_epochs={max_epochs}: {layers} layers with "
                f"epochs_each={self.epochs_each} need {needed} or more"
            )

    @property
    def layer(self) -> int:
        """Number of the layer that is trained in the present epoch, from 0."""
        return min(self.current_epoch // self.epochs_each, len(self.decoders) - 1)

    def draw(self, batch: Batch) -> Tensor:
        """Return a mask as in `Deep`, for the input of the layer that is trained."""
        return self._mask(len(batch.x), self.encoder.widths[self.layer])

    def reconstruction_loss(self, batch: Batch, mask: Tensor) -> Tensor:
        # Parameters without gradient are neither updated nor decayed by an optimiser.
        with torch.no_grad():
            clean = self.encoder.below(self.layer, batch.x)
        codes = self.encoder.layers[self.layer](clean * mask).tanh()
        return summed_squared_error(clean, self.decoders[self.layer](codes))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes -> (B, D) features; the (B,) labels are not used."""
        for decoder in reversed(self.decoders):
            codes = decoder(codes)
        return codes

    def summary(self, means: dict[str, Tensor]) -> dict[str, float]:
        return {"train/layer": self.layer}


class Transposed(nn.Module):
    """Decoder that shares the weight parameter of a layer, transposed, and has its own bias.

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
