"""The recurrent autoencoder of ghosh2016 (section 3.3): a code of a whole utterance."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ser.data.batches import Batch, Task
from ser.errors import UserError
from ser.models.losses import summed_squared_error
from ser.networks.conv import mask
from ser.networks.recurrent import LSTMEncoder
from ser.training.phased import Optimiser, Phase, PhasedModel


class RecurrentAutoencoder(PhasedModel):
    """A bidirectional LSTM whose states tell the frames that they were made of.

    An utterance's code is the mean of its states, or the last of them (sections 3.3 and 5.2).

    Args:
        task: what the module is made for.
        size: K, which is the width of the LSTM in all its directions.
        encoder: partial of the LSTM, called with F.
        optimiser: partial of a torch optimiser.

    Attributes:
        width: K.

    Raises:
        UserError: a size that is not that of the LSTM.
    """

    uses_unlabelled = True

    def __init__(
        self,
        task: Task,
        size: int,
        *,
        encoder: Callable[[int], LSTMEncoder],
        optimiser: Optimiser,
    ) -> None:
        super().__init__(task, optimiser)
        self.width = size
        self.encoder = encoder(task.inputs)
        if self.encoder.outputs != size:
            raise UserError(
                f"size={size}: the LSTM's states have {self.encoder.outputs} values in all its "
                "directions (encoder.width)"
            )
        self.decoder = nn.Linear(size, task.inputs)

    @property
    def phases(self) -> Sequence[Phase]:
        return [Phase("reconstruction", self.reconstruction_loss, [self.encoder, self.decoder])]

    def reconstruction_loss(self, batch: Batch, noise: None) -> Tensor:
        assert batch.lengths is not None
        made = self.decoder(self.encoder.states(batch.x, batch.lengths))
        return summed_squared_error(batch.x, made, mask(batch.lengths, batch.x.shape[1]))

    def codes(self, batch: Batch) -> Tensor:
        """(B, T, F) frames -> (B, K), a code an utterance."""
        assert batch.lengths is not None
        return self.encoder(batch.x, batch.lengths)

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Frames cannot be had of what stands for all of them.

        Raises:
            UserError: always.
        """
        raise UserError("an utterance's code is of all its frames, which it does not tell apart")

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Its codes have no distribution.

        Raises:
            UserError: always.
        """
        raise UserError("a recurrent autoencoder has no prior to draw codes from; a VAE has")
