"""Plain and variational autoencoders; `ser.models.cvae` has a conditional one.

latif2017 (equation 3) and latif2018 (equation 2) minimise |x − x̂|² + KL[q(z|x) || N(0, I)] per
item. As a likelihood, this is a decoder of N(x̂, σ² I) with σ² = 1/2: −log p(x|z) is
|x − x̂|² / 2σ² + D/2 log 2πσ², where the second term, a constant, is left out. `noise` is σ².
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

# A unit is active if the variance of its posterior mean over the data is larger (Burda et al.
# 2016, section 5.2).
ACTIVE = 0.01
COLLAPSED_FOR = 3  # epochs before a warning


class Autoencoder(PhasedModel):
    """Autoencoder with the architecture of `VAE`, its code being a dense layer.

    latif2017 (section IV.C), latif2018 (section 4.3).

    Args:
        task: Inputs and classes of the model.
        size: K.
        encoder: Partial of a network that encodes (B, D).
        decoder: Partial of a network that decodes (B, K).
        optimiser: Partial of a torch optimiser.

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
        """(B, K) codes -> (B, D) features; the (B,) labels are not used."""
        return self.decoder(codes)

    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, D) reconstructed features."""
        return self.decoder(self.codes(batch))

    def draw_codes(self, labels: Tensor) -> Tensor:
        """Raise an error: the codes have no distribution.

        Raises:
            UserError: Always.
        """
        raise UserError(
            "an autoencoder has no prior to sample codes from; representation=vae has one"
        )


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
    """Variational autoencoder: the code of an item is a Gaussian, matched to N(0, I).

    Args:
        task: Inputs and classes of the model.
        size: K.
        encoder: Partial of a network that encodes (B, D).
        decoder: Partial of a network that decodes (B, K).
        noise: σ² of the decoder; the squared error is weighted by 1 / 2σ². 0.5 in the papers.
        annealing_epochs: Number of epochs over which the weight of the KL term rises linearly from
            0 to 1; 0: it is always 1.
        free_bits: Lower bound of the KL term per dimension, in nats, averaged over a batch (Kingma
            et al. 2016, section C.8); 0: no bound.
        code: Representation of an item: the mean of the posterior, or its mean and variance
            (latif2018, section 5.3).
        optimiser: Partial of a torch optimiser.

    Attributes:
        width: Width of the representation of an item: K or 2 K.

    Raises:
        UserError: `noise` is not positive.
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
            raise UserError(f"noise={noise}: must be a variance above 0")
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
        """Weight of the KL term in the present epoch."""
        if self.annealing_epochs == 0:
            return 1.0
        return min(1.0, self.current_epoch / self.annealing_epochs)

    # ---- forward passes

    def draw_condition(self, batch: Batch) -> Tensor:
        """Return the condition of each item: none, (B, 0)."""
        return batch.x.new_zeros(batch.x.shape[0], 0)

    def true_condition(self, batch: Batch) -> Tensor:
        """Return the condition of each item if its class is known: none, (B, 0)."""
        return batch.x.new_zeros(batch.x.shape[0], 0)

    def posterior(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) features and (B, C) conditions -> means and log-variances, (B, K) each."""
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
        """(B, D) features -> (B, `width`) codes, without sampling."""
        return self._represented(batch.x, batch.x.new_zeros(batch.x.shape[0], 0))

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes -> (B, D) features; the (B,) labels are not used."""
        return self.decoder(codes)

    def reconstruct(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, D) reconstructions of the posterior means, under its class."""
        condition = self.true_condition(batch)
        mean, _ = self.posterior(batch.x, condition)
        return self._decoded(mean, condition)

    def draw_codes(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, K) samples of N(0, I); the values of the labels are not used."""
        return torch.randn(len(labels), self.size, device=labels.device)

    # ---- diagnostics, recorded once per epoch

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
        variance = means["code/square"] - means["code/mean"].square()
        active = int((variance > ACTIVE).sum())
        self._warn_of_collapse(active)
        return {"train/active_units": active}

    def _warn_of_collapse(self, active: int) -> None:
        few = self.size // 50
        # A code is used only after some steps, which may take several epochs of a small corpus.
        before = [row["train/active_units"] for row in self.record[1 - COLLAPSED_FOR :]]
        lasting = len(before) == COLLAPSED_FOR - 1 and max(*before, active) <= few
        if lasting and not self._warned:
            self._warned = True
            log.warning(
                "epoch %d: posterior collapse: %d of %d units of the code are active, so the "
                "decoder hardly uses it. annealing_epochs, free_bits or less noise may help",
                self.current_epoch,
                active,
                self.size,
            )
