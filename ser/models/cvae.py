"""A variational autoencoder that is told the class (latif2017, section III.A.1; latif2018, 3.1).

The papers do not say which class an item of the test part is given, and its true one nobody knows
at test time. Here no label of validation or test reaches a code, unless an experiment asks for that
leak by name.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED, Batch, Task
from ser.errors import UserError
from ser.models.vae import VAE
from ser.networks import Encoder
from ser.training.phased import Optimiser


class CVAE(VAE):
    """A VAE whose encoder and decoder are told the class (latif2017, section III.A.1).

    The class stands beside the features and beside the code, one-hot; zeros where there is none.
    `codes_under` asks what the code would be if the item were of this class or that.

    Args:
        task, size, encoder, decoder, noise, annealing_epochs, free_bits, code, optimiser: as of
            `VAE`; the networks are made wider by C.
        reading: under which class codes are made. "marginal": under each in turn, the codes side
            by side; what reads them averages over them. None: under none. Neither reads a label.
            "oracle": under the true one, which leaks it, to show what that does to a score.
        condition_dropout: how often, in training, an item's class is withheld; at 0 codes under
            none put to the encoder what it has only seen of unlabelled items.

    Attributes:
        width: of what represents an item: `variants` times K or 2 K.
        variants: how many codes of an item stand side by side.
        reads_labels: whether `codes` asks for the true classes.

    Raises:
        UserError: a probability that is none.
    """

    def __init__(
        self,
        task: Task,
        size: int,
        *,
        encoder: Callable[[int], Encoder],
        decoder: Callable[[int, int], nn.Module],
        noise: float,
        annealing_epochs: int,
        free_bits: float,
        code: Literal["mean", "mean_and_variance"],
        reading: Literal["marginal", "oracle"] | None,
        condition_dropout: float,
        optimiser: Optimiser,
    ) -> None:
        super().__init__(
            task,
            size,
            encoder=lambda inputs: encoder(inputs + task.classes),
            decoder=lambda codes, outputs: decoder(codes + task.classes, outputs),
            noise=noise,
            annealing_epochs=annealing_epochs,
            free_bits=free_bits,
            code=code,
            optimiser=optimiser,
        )
        if not 0 <= condition_dropout <= 1:
            raise UserError(f"condition_dropout={condition_dropout}: a probability is in [0, 1]")
        self.classes, self.condition_dropout = task.classes, condition_dropout
        self.reading = reading
        self.reads_labels = reading == "oracle"
        self.variants = task.classes if reading == "marginal" else 1
        self.width *= self.variants

    def condition(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, C) one-hot, zeros where `UNLABELLED`."""
        # One more class for the unlabelled, and then none.
        hot = nn.functional.one_hot(labels + 1, self.classes + 1)[:, 1:]
        return hot.to(self.mean.weight)

    def draw_condition(self, batch: Batch) -> Tensor:
        if not self.training:
            return self.condition(torch.full_like(batch.y, UNLABELLED))
        withheld = torch.rand(len(batch.y), device=batch.y.device) < self.condition_dropout
        return self.condition(batch.y.masked_fill(withheld, UNLABELLED))

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, `width`); reads `batch.y` if `reads_labels`, or else not."""
        if self.reading == "marginal":
            each = [self.codes_under(batch, label) for label in range(self.classes)]
            return torch.cat(each, dim=1)
        return self.codes_under(batch, batch.y if self.reads_labels else UNLABELLED)

    def codes_under(self, batch: Batch, label: int | Tensor) -> Tensor:
        """(B, D) features -> (B, `width / variants`), as if every item were of one class.

        Args:
            batch: whose own labels are not read.
            label: a class index, or `UNLABELLED`; or (B,) of them, one for each item.
        """
        labels = torch.as_tensor(label, device=batch.x.device).expand(batch.x.shape[0])
        return self._represented(batch.x, self.condition(labels))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes and (B,) labels -> (B, D) features."""
        return self._decoded(codes, self.condition(labels))
