"""Autoencoders that make codes: plain and variational; `ser.models.cvae` has another.

latif2017 (equation 3) and latif2018 (equation 2) minimise |x − x̂|² + KL[q(z|x) || N(0, I)] of each
item. As a likelihood this is a decoder of N(x̂, σ² I) with σ² = 1/2: −log p(x|z) is
|x − x̂|² / 2σ² + D/2 log 2πσ², of which the second term, a constant, is left out. `noise` is σ².
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ser.data.batches import Batch, Task
from ser.errors import UserError
from ser.models.losses import kl_to_standard_normal, summed_squared_error
from ser.networks import Encoder
from ser.training.phased import Optimiser, Phase, PhasedModel

log = logging.getLogger(__name__)

# A unit is active if its posterior mean varies more than this over the data (Burda et al. 2016,
# section 5.2).
ACTIVE = 0.01
COLLAPSED_FOR = 3  # epochs before it is told


class Autoencoder(PhasedModel):
    """The architecture of the variational one, with a dense layer in place of the Gaussian one.

    latif2017 (section IV.C), latif2018 (section 4.3).

    Args:
        task: what the module is made for.
        size: K.
        encoder: partial of a network that encodes (B, D).
        decoder: partial of a network that decodes (B, K).
        optimiser: partial of a torch optimiser.

    Attributes:
        width: K.
    """

    uses_unlabelled = True

    def __init__(
        self,
        task: Task,
        size: int,
        *,
        encoder: Callable[[int], Encoder],
        decoder: Callable[[int, int], nn.Module],
        optimiser: Optimiser,
    ) -> None:
        super().__init__(task, optimiser)
        self.width = size
        self.encoder = encoder(task.inputs)
        self.head = nn.Linear(self.encoder.outputs, size)
        self.decoder = decoder(size, task.inputs)

    @property
    def phases(self) -> Sequence[Phase]:
        modules = [self.encoder, self.head, self.decoder]
        return [Phase("reconstruction", self.reconstruction_loss, modules)]

    def reconstruction_loss(self, batch: Batch, noise: None) -> Tensor:
        return summed_squared_error(batch.x, self.decoder(self.codes(batch)))

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, K) codes."""
        return self.head(self.encoder(batch.x))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes, whose (B,) labels change nothing -> (B, D) features."""
        return self.decoder(codes)

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Its codes have no distribution.

        Raises:
            UserError: always.
        """
        raise UserError("an autoencoder has no prior to draw codes from; a variational one has")


@dataclass(frozen=True)
class Draws:
    """Random draws for one batch.

    Attributes:
        epsilon: (B, K) samples of N(0, I).
        condition: (B, C) one-hot classes, or zeros; (B, 0) where nothing conditions.
        kl_weight: Weight of the KL term in this epoch.
    """

    epsilon: Tensor
    condition: Tensor
    kl_weight: float


@dataclass(frozen=True)
class Autoencoded:
    """Outputs of one forward pass.

    Attributes:
        mean: (B, K) means of the posterior.
        kl: (B, K) divergences of the posterior from N(0, I), in nats.
        error: Squared error of the reconstruction, averaged over items.
        kl_weight: As of `Draws`.
    """

    mean: Tensor
    kl: Tensor
    error: Tensor
    kl_weight: float


class VAE(PhasedModel):
    """A code that is a Gaussian of each item, drawn towards N(0, I).

    Args:
        task: what the module is made for.
        size: K.
        encoder: partial of a network that encodes (B, D).
        decoder: partial of a network that decodes (B, K).
        noise: σ² of the decoder, the squared error's share being 1 / 2σ²; 0.5 is the papers'.
        annealing_epochs: over so many the weight of the KL term rises linearly from 0 to 1; 0: it
            is 1 from the beginning.
        free_bits: nats of each dimension, on the average of a batch, that cost nothing to have: the
            term is never less (Kingma et al. 2016, section C.8); 0: off.
        code: what represents an item: the posterior's mean, or its mean and variance side by side
            (latif2018, section 5.3).
        optimiser: partial of a torch optimiser.

    Attributes:
        width: of what represents an item: K or 2 K.

    Raises:
        UserError: noise that is not positive.
    """

    uses_unlabelled = True

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
        optimiser: Optimiser,
    ) -> None:
        super().__init__(task, optimiser)
        if noise <= 0:
            raise UserError(f"noise={noise}: a variance is above 0")
        self.size = size
        self.with_variance = code == "mean_and_variance"
        self.width = 2 * size if self.with_variance else size
        self.encoder = encoder(task.inputs)
        self.mean = nn.Linear(self.encoder.outputs, size)
        self.log_variance = nn.Linear(self.encoder.outputs, size)
        self.decoder = decoder(size, task.inputs)
        self.noise, self.annealing_epochs, self.free_bits = noise, annealing_epochs, free_bits
        self._warned = False

    @property
    def phases(self) -> Sequence[Phase]:
        modules = [self.encoder, self.mean, self.log_variance, self.decoder]
        return [Phase("elbo", self.elbo_loss, modules, forward=self.autoencode)]

    # ---- the negative evidence lower bound, up to a constant

    def draw(self, batch: Batch) -> Draws:
        epsilon = torch.randn(len(batch.x), self.size, dtype=batch.x.dtype, device=batch.x.device)
        return Draws(epsilon, self.draw_condition(batch), self.kl_weight)

    def autoencode(self, batch: Batch, draws: Draws) -> Autoencoded:
        """Encode the batch, sample its posterior, and decode the samples."""
        mean, log_variance = self.posterior(batch.x, draws.condition)
        codes = mean + (0.5 * log_variance).exp() * draws.epsilon
        error = summed_squared_error(batch.x, self._decoded(codes, draws.condition))
        kl = kl_to_standard_normal(mean, log_variance)
        return Autoencoded(mean, kl, error, draws.kl_weight)

    def elbo_loss(self, batch: Batch, outputs: Autoencoded) -> Tensor:
        return outputs.error / (2 * self.noise) + outputs.kl_weight * self._kl_term(outputs.kl)

    def _kl_term(self, kl: Tensor) -> Tensor:
        if self.free_bits == 0:
            return kl.sum(dim=1).mean()
        return kl.mean(dim=0).clamp(min=self.free_bits).sum()

    @property
    def kl_weight(self) -> float:
        """Of the present epoch."""
        if self.annealing_epochs == 0:
            return 1.0
        return min(1.0, self.current_epoch / self.annealing_epochs)

    # ---- what it is made of

    def draw_condition(self, batch: Batch) -> Tensor:
        """What the batch is conditioned on: nothing, (B, 0)."""
        return batch.x.new_zeros(batch.x.shape[0], 0)

    def posterior(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) features and their (B, C) condition -> means and log-variances, (B, K) each."""
        encoded = self.encoder(torch.cat([x, condition], dim=1))
        return self.mean(encoded), self.log_variance(encoded)

    def _decoded(self, codes: Tensor, condition: Tensor) -> Tensor:
        return self.decoder(torch.cat([codes, condition], dim=1))

    def _represented(self, x: Tensor, condition: Tensor) -> Tensor:
        mean, log_variance = self.posterior(x, condition)
        if not self.with_variance:
            return mean
        return torch.cat([mean, log_variance.exp()], dim=1)

    # ---- as a representation

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, `width`), nothing drawn."""
        return self._represented(batch.x, batch.x.new_zeros(batch.x.shape[0], 0))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes, whose (B,) labels change nothing -> (B, D) features."""
        return self.decoder(codes)

    def draw_codes(self, labels: Tensor) -> Tensor:
        """(B,) labels, which change nothing -> (B, K) samples of N(0, I)."""
        return torch.randn(len(labels), self.size, device=labels.device)

    # ---- the health of the code, recorded by epoch

    def observe(self, batch: Batch, outputs: Autoencoded) -> dict[str, Tensor]:
        # In double precision, because the variance is computed as a difference of these sums.
        mean = outputs.mean.double()
        return {
            "train/reconstruction_loss": outputs.error * len(mean),
            "train/kl": outputs.kl.sum(),
            "code/mean": mean.sum(dim=0),
            "code/square": mean.square().sum(dim=0),
        }

    def summary(self, means: dict[str, Tensor]) -> dict[str, float]:
        spread = means["code/square"] - means["code/mean"].square()
        active = int((spread > ACTIVE).sum())
        self._warn_of_collapse(active)
        return {"train/active_units": active}

    def _warn_of_collapse(self, active: int) -> None:
        few = self.size // 50
        # A code takes some steps to come into use, which may be more than a small corpus' epoch.
        before = [row["train/active_units"] for row in self.record[1 - COLLAPSED_FOR :]]
        lasting = len(before) == COLLAPSED_FOR - 1 and max(*before, active) <= few
        if lasting and not self._warned:
            self._warned = True
            log.warning(
                "epoch %d: the posterior has collapsed: %d of %d values of the code tell items "
                "apart, so that the decoder hardly reads it. annealing_epochs, free_bits or less "
                "noise may help",
                self.current_epoch,
                active,
                self.size,
            )
