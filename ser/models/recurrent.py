"""Recurrent autoencoder of ghosh2016 (section 3.3): one code per utterance."""

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from ser.data.batches import Batch, Task
from ser.errors import UserError
from ser.models.losses import frames, summed_squared_error
from ser.networks.conv import mask
from ser.networks.recurrent import LSTMEncoder
from ser.training.phased import Optimiser, Phase, PhasedModel


class RecurrentAutoencoder(PhasedModel):
    """A bidirectional LSTM whose states are decoded to the frames.

    The code of an utterance is the mean of the states, or the last state (sections 3.3 and 5.2).

    Args:
        task: Inputs and classes of the model.
        size: K, width of the LSTM's state in all directions together.
        encoder: Partial of the LSTM, called with F.
        optimiser: Partial of a torch optimiser.
        reduction: "sum": the squared errors of all frames of a batch are summed (section 3.1); at
            the paper's learning rate, their "mean" moves nothing.

    Attributes:
        width: K.

    Raises:
        UserError: `size` is not the width of the LSTM.
    """

    uses_unlabelled = True

    def __init__(
        self,
        task: Task,
        size: int,
        *,
        encoder: Callable[[int], LSTMEncoder],
        optimiser: Optimiser,
        reduction: Literal["sum", "mean"] = "mean",  # of runs made before the option existed
    ) -> None:
        super().__init__(task, optimiser)
        self.width, self.reduction = size, reduction
        self.encoder = encoder(task.inputs)
        if self.encoder.outputs != size:
            raise UserError(
                f"size={size}: the LSTM's state has {self.encoder.outputs} values in all "
                "directions together (encoder.width)"
            )
        self.decoder = nn.Linear(size, task.inputs)

    @property
    def phases(self) -> Sequence[Phase]:
        modules = [self.encoder, self.decoder]
        items = None if self.reduction == "sum" else frames
        return [Phase("reconstruction", self.reconstruction_loss, modules, items=items)]

    def reconstruction_loss(self, batch: Batch, noise: None) -> Tensor:
        assert batch.lengths is not None
        inside = mask(batch.lengths, batch.x.shape[1])
        return summed_squared_error(batch.x, self.reconstruct(batch), inside, self.reduction)

    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, T, F) frames -> (B, T, F) reconstructed frames, zero beyond each length."""
        assert batch.lengths is not None
        reconstruction = self.decoder(self.encoder.states(batch.x, batch.lengths))
        return reconstruction * mask(batch.lengths, batch.x.shape[1])

    def codes(self, batch: Batch) -> Tensor:
        """(B, T, F) frames -> (B, K) codes, one per utterance."""
        assert batch.lengths is not None
        return self.encoder(batch.x, batch.lengths)

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Raise an error: the code of an utterance cannot be decoded to frames.

        Raises:
            UserError: Always.
        """
        raise UserError("the code of a whole utterance cannot be decoded to its frames")

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Raise an error: the codes have no distribution.

        Raises:
            UserError: Always.
        """
        raise UserError(
            "a recurrent autoencoder has no prior to sample codes from; representation=vae has one"
        )
