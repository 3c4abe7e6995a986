"""Conditional variational autoencoder (latif2017, section III.A.1; latif2018, section 3.1).

The papers do not say on which class the code of a test item is conditioned; its true class is not
known at test time. Here no label of validation or test is used for a code, unless an experiment
requests this leak by name.
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
    """A VAE whose encoder and decoder are conditioned on the class.

    The one-hot class, or zeros for an unlabelled item, is concatenated with the features and with
    the code. `codes_under` returns the codes for any given class.

    Args:
        task, size, encoder, decoder, noise, annealing_epochs, free_bits, code, optimiser: As in
            `VAE`; the input of both networks is wider by C.
        reading: Class on which codes are conditioned. "marginal": each class in turn; the codes
            are concatenated, and a model averages over them. None: no class. Neither uses a label.
            "oracle": the true class, which leaks it, to show the effect on a score.
        condition_dropout: Probability in training that the class of an item is replaced by zeros;
            at 0 the encoder has seen this condition for unlabelled items only.

    Attributes:
        width: Width of the representation of an item: `variants` times K or 2 K.
        variants: Number of concatenated codes of an item.
        reads_labels: Whether `codes` uses the true classes.

    Raises:
        UserError: `condition_dropout` is no probability.
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
            raise UserError(f"condition_dropout={condition_dropout}: must be a probability")
        self.classes, self.condition_dropout = task.classes, condition_dropout
        self.reading = reading
        self.reads_labels = reading == "oracle"
        self.variants = task.classes if reading == "marginal" else 1
        self.width *= self.variants

    def condition(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, C) one-hot, zeros where `UNLABELLED`."""
        # `UNLABELLED` is encoded as an additional class, whose column is then removed.
        one_hot = nn.functional.one_hot(labels + 1, self.classes + 1)[:, 1:]
        return one_hot.to(self.mean.weight)

    def draw_condition(self, batch: Batch) -> Tensor:
        """Return the conditions, (B, C): with dropout in training, zeros in evaluation."""
        if not self.training:
            return self.condition(torch.full_like(batch.y, UNLABELLED))
        withheld = torch.rand(len(batch.y), device=batch.y.device) < self.condition_dropout
        return self.condition(batch.y.masked_fill(withheld, UNLABELLED))

    def true_condition(self, batch: Batch) -> Tensor:
        """Return the class of each item, (B, C) one-hot, zeros where `UNLABELLED`."""
        return self.condition(batch.y)

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, `width`) codes; uses `batch.y` only if `reads_labels`."""
        if self.reading == "marginal":
            each = [self.codes_under(batch, label) for label in range(self.classes)]
            return torch.cat(each, dim=1)
        return self.codes_under(batch, batch.y if self.reads_labels else UNLABELLED)

    def codes_under(self, batch: Batch, label: int | Tensor) -> Tensor:
        """(B, D) features -> (B, `width / variants`) codes, conditioned on given classes.

        Args:
            batch: Features; its labels are not used.
            label: A class index or `UNLABELLED`, or (B,) of them.
        """
        labels = torch.as_tensor(label, device=batch.x.device).expand(batch.x.shape[0])
        return self._represented(batch.x, self.condition(labels))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes and (B,) labels -> (B, D) features."""
        return self._decoded(codes, self.condition(labels))
