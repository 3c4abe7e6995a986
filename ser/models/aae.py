"""Adversarial autoencoders: one encoder and several latents, each matched to a prior.

parthasarathy2019 (section 4.1) has two latents: y is categorical and also the classifier; z is
Gaussian and encodes everything else. The paper matches y to the distribution of what it predicts,
which is classes; where a target is a value, y is one number, matched to the distribution of the
training ratings, and classification becomes regression. Of several tasks, each has a latent y.
sahu2017 (section 3.3.1) has one latent, matched to a mixture of one Gaussian per class, and no
classifier: the model is a representation.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED, Batch, Task
from ser.errors import UserError
from ser.models import diagnostics
from ser.models.latent import Latent, of_each, of_tasks
from ser.models.losses import (
    ValueLoss,
    cross_entropy,
    discriminator_loss,
    frames,
    generator_loss,
    labelled,
    pack_cross_entropy,
    reconstruction_loss,
    supervised_loss,
)
from ser.models.priors import GaussianMixture
from ser.networks import Encoder
from ser.networks.conv import as_products
from ser.networks.layer_sum import built
from ser.training.phased import Optimiser, Phase, PhasedModel

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdversarialBatch:
    """Real and fake codes of one batch, by latent, and the discriminators' outputs.

    All but `real` is empty before the discriminator phase.

    Attributes:
        real: (B, K) samples of each prior.
        fake: (B, K) codes of one forward pass of the encoder.
        real_logits: (B,) outputs of the discriminators for `real`.
        fake_logits: (B,) outputs of the discriminators for `fake`.
    """

    real: Mapping[str, Tensor]
    fake: Mapping[str, Tensor] = field(default_factory=dict)
    real_logits: Mapping[str, Tensor] = field(default_factory=dict)
    fake_logits: Mapping[str, Tensor] = field(default_factory=dict)

    def inside(self, items: Tensor) -> "AdversarialBatch":
        """Return codes and logits of a pack with zeros for padding; items (R, B) are True."""
        fake = {name: codes * items[..., None] for name, codes in self.fake.items()}
        real_logits = {name: logits * items for name, logits in self.real_logits.items()}
        fake_logits = {name: logits * items for name, logits in self.fake_logits.items()}
        return replace(self, fake=fake, real_logits=real_logits, fake_logits=fake_logits)


class AAE(PhasedModel):
    """Adversarial autoencoder with up to four phases.

    Reconstruction, discriminator, generator and classification, in the order of the paper.

    Args:
        task: Inputs and classes of the model.
        encoder: Partial of a network that encodes (B, D) or (B, T, F).
        decoder: Partial of a network that decodes (B, K) codes.
        latents: `size`, `prior` and `condition` of a `Latent`, by name.
        classifier: Latent whose head returns the class logits, or a value; None: there is none. Of
            several tasks, there is one such latent for each, called `<classifier>_<task>`.
        discriminator: Partial of a network (B, K) -> (B,).
        discriminator_rate: Learning rate of the discriminators relative to the other phases (0.1:
            a "strengthened" generator, section 5.2).
        discriminator_moves_encoder: The discriminator phase also updates the encoder, as sahu2017
            (section 3.3.1) literally says; the discriminator then tends to dominate.
        batch_norm: Normalise the heads of the latents.
        phases: Phases, in order.
        loss: Loss of values; "ccc", as in configurations before there was a choice.
        optimiser: Partial of a torch optimiser.

    Attributes:
        predicting: Names of the latents that predict, one for each task.

    Raises:
        UserError: The classifier is no latent, the classification phase has no classifier, or the
            generator phase has no discriminator phase before it, whose codes it shares.
    """

    uses_unlabelled = True
    takes_values = True
    takes_shares = True
    takes_packs = True
    takes_graphs = True

    def __init__(
        self,
        task: Task,
        *,
        encoder: Callable[[int], Encoder],
        decoder: Callable[[int, int], nn.Module],
        latents: Mapping[str, Mapping[str, Any]],
        classifier: str | None,
        discriminator: Callable[[int], nn.Module],
        discriminator_rate: float,
        discriminator_moves_encoder: bool,
        batch_norm: bool,
        phases: Sequence[Literal["reconstruction", "discriminator", "generator", "classification"]],
        loss: ValueLoss = "ccc",
        optimiser: Optimiser,
    ) -> None:
        super().__init__(task, optimiser)
        if classifier is not None and classifier not in latents:
            raise UserError(f"classifier={classifier}: one of {', '.join(latents)}, or null")
        if classifier is None and "classification" in phases:
            raise UserError(f"phases={list(phases)}: classification needs a classifier")
        if (
            "generator" in phases
            and "discriminator" not in phases[: list(phases).index("generator")]
        ):
            raise UserError(f"phases={list(phases)}: generator needs discriminator before it")
        self.encoder = built(encoder, task.inputs, task.layers)
        self.latents: Mapping[str, Latent] = nn.ModuleDict(  # type: ignore[assignment]
            {
                name: Latent(
                    self.encoder.outputs,
                    task.classes,
                    discriminator=discriminator,
                    batch_norm=batch_norm,
                    **latent,
                )
                for name, latent in of_tasks(latents, classifier, self.outputs).items()
            }
        )
        self.predicting = [] if classifier is None else of_each(classifier, self.outputs)
        self.decoder = decoder(self.width, task.inputs)
        self.classifier, self.loss = classifier, loss
        self.discriminator_rate = discriminator_rate
        self.discriminator_moves_encoder = discriminator_moves_encoder
        self.phase_names = list(phases)
        self.cross_entropy = nn.CrossEntropyLoss(task.class_weights, ignore_index=UNLABELLED)
        self.groups = task.groups
        self._warned: set[str] = set()

    @property
    def classifiers(self) -> list[Latent]:
        """Latents that predict, one for each task; empty if there is no classifier."""
        return [self.latents[name] for name in self.predicting]

    @property
    def phases(self) -> Sequence[Phase]:
        latents = self.latents.values()
        heads = [latent.head for latent in latents]
        encoder = [self.encoder, *heads]
        discriminators = [latent.discriminator for latent in latents]
        discriminators += encoder if self.discriminator_moves_encoder else []
        label_heads = [latent.head for latent in self.classifiers]
        autoencoder, classifier = [*encoder, self.decoder], [self.encoder, *label_heads]
        known = partial(labelled, class_weights=self.cross_entropy.weight)
        every = (
            Phase("reconstruction", self.reconstruction_loss, autoencoder, items=frames),
            Phase(
                "discriminator",
                self.discriminator_loss,
                discriminators,
                rate=self.discriminator_rate,
                forward=self.discriminate,
            ),
            Phase("generator", self.generator_loss, encoder),
            Phase("classification", self.classification_loss, classifier, items=known),
        )
        by_name = {phase.name: phase for phase in every}
        return [by_name[name] for name in self.phase_names]

    # ---- phases, in the paper's order

    def reconstruction_loss(self, batch: Batch, adversarial: AdversarialBatch) -> Tensor:
        return reconstruction_loss(batch.x, self.reconstruct(batch), batch.lengths, batch.weights)

    def discriminate(self, batch: Batch, adversarial: AdversarialBatch) -> AdversarialBatch:
        """Encode the batch, and let the discriminators judge real and fake codes."""
        fake = self.encode(batch)
        real_logits, fake_logits = {}, {}
        for name, latent in self.latents.items():
            # Without `detach` the phase would update the encoder, too.
            seen = fake[name] if self.discriminator_moves_encoder else fake[name].detach()
            both = torch.cat([adversarial.real[name], seen], dim=-2)
            logits = latent.discriminate(both, torch.cat([batch.classes] * 2, dim=-1))
            real_logits[name], fake_logits[name] = logits.chunk(2, dim=-1)
        return replace(adversarial, fake=fake, real_logits=real_logits, fake_logits=fake_logits)

    def discriminator_loss(self, batch: Batch, adversarial: AdversarialBatch) -> Tensor:
        real, fake = adversarial.real_logits, adversarial.fake_logits
        losses = [discriminator_loss(real[name], fake[name], batch.weights) for name in real]
        return torch.stack(losses).sum(dim=0)

    def generator_loss(self, batch: Batch, adversarial: AdversarialBatch) -> Tensor:
        # The discriminator phase's codes are up to date unless it has updated the encoder.
        fake = self.encode(batch) if self.discriminator_moves_encoder else adversarial.fake
        logits = [
            latent.discriminate(fake[name], batch.classes) for name, latent in self.latents.items()
        ]
        return torch.stack([generator_loss(each, batch.weights) for each in logits]).sum(dim=0)

    def classification_loss(self, batch: Batch, adversarial: AdversarialBatch) -> Tensor:
        logits = self(batch)
        if batch.weights is not None:
            return pack_cross_entropy(logits, batch, self.cross_entropy.weight)
        if batch.y.ndim == 2:
            return supervised_loss(self.outputs, logits, batch, self.loss)
        if batch.y.is_cuda:
            return cross_entropy(logits, batch.y, self.cross_entropy.weight)
        if (batch.y == UNLABELLED).all():  # the mean cross-entropy would be NaN
            return 0.0 * logits.sum()
        return self.cross_entropy(logits, batch.y)

    # ---- forward passes

    def draw(self, batch: Batch) -> AdversarialBatch:
        """Return samples of the priors, for the classes of the batch where conditioned."""
        y, latents = batch.classes, self.latents.items()
        return AdversarialBatch({name: each.sample_prior(y, self.source) for name, each in latents})

    def forward(self, batch: Batch) -> Tensor:
        """(B, D) or (B, T, F) features -> (B, C) logits, or standardised values."""
        encoded = self.encoder(batch.x, batch.lengths)
        return torch.cat([latent.head(encoded) for latent in self.classifiers], dim=-1)

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Features -> (B, K) codes of each latent, by name."""
        encoded = self.encoder(batch.x, batch.lengths)
        return {
            name: latent.prior.code(latent.head(encoded)) for name, latent in self.latents.items()
        }

    def reconstruct(self, batch: Batch) -> Tensor:
        """Features -> reconstructed features of the same shape."""
        if batch.lengths is None:
            return self.decoder(self.codes(batch))
        frames = batch.x.shape[-2]
        # On a GPU the length of the batch, because it would have to be asked for the longest.
        size = frames if as_products(batch.x) else int(batch.lengths.max())
        reconstruction = self.decoder(self.codes(batch), batch.lengths, size)
        # A batch may be padded beyond its longest utterance.
        return nn.functional.pad(reconstruction, (0, 0, 0, frames - reconstruction.shape[-2]))

    # ---- as a representation

    @property
    def width(self) -> int:
        """K of all latents together."""
        return sum(latent.size for latent in self.latents.values())

    @property
    def components(self) -> tuple[Tensor, float] | None:
        """Means (C, K) and standard deviation of the mixture; None: the prior is no mixture."""
        first, *others = self.latents.values()
        if others or not isinstance(first.prior, GaussianMixture):
            return None
        return first.prior.centres(first.size, first.classes), first.prior.spread

    def codes(self, batch: Batch) -> Tensor:
        """(B, D) features -> (B, K) codes of all latents."""
        return torch.cat(list(self.encode(batch).values()), dim=-1)

    def decode(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes -> (B, D) features; the (B,) labels are not used."""
        return self.decoder(codes)

    def draw_codes(self, labels: Tensor) -> Tensor:
        """(B,) labels -> (B, K) samples of the priors, of these classes if conditioned."""
        return torch.cat([latent.sample_prior(labels) for latent in self.latents.values()], dim=1)

    # ---- diagnostics, recorded once per epoch

    def observe(self, batch: Batch, adversarial: AdversarialBatch) -> dict[str, Tensor]:
        if batch.weights is not None:
            adversarial = adversarial.inside(batch.weights > 0)
        sums: dict[str, Tensor] = {}
        for name, fake in adversarial.fake.items():
            latent = self.latents[name]
            sums |= diagnostics.code_sums(name, latent.prior, latent.classes, fake, batch.classes)
            real_logits, fake_logits = adversarial.real_logits[name], adversarial.fake_logits[name]
            sums[f"train/{name}_real_accuracy"] = (real_logits > 0).sum(dim=-1)
            sums[f"train/{name}_fake_accuracy"] = (fake_logits < 0).sum(dim=-1)
        return sums

    def summary(self, means: dict[str, Tensor]) -> dict[str, float]:
        row: dict[str, float] = {}
        for name in self.latents:
            row |= diagnostics.code_statistics(name, means)
        if self._val_sums:
            row |= diagnostics.r2(self._val_sums, self.groups)
        scalars = {name: float(mean) for name, mean in means.items() if mean.ndim == 0}
        self._warn({**scalars, **row})
        return row

    def _warn(self, row: Mapping[str, float]) -> None:
        """Log each problem in a row of the record, once per training."""
        for name, latent in self.latents.items():
            for key, message in diagnostics.problems(name, latent.size, row).items():
                if key not in self._warned:
                    self._warned.add(key)
                    log.warning("epoch %d: %s", len(self.record), message)

    def validation_sums(self, batch: Batch) -> Tensor:
        reconstruction = self.reconstruct(batch)
        if batch.weights is not None:
            return diagnostics.pack_sums(batch, reconstruction)
        return diagnostics.reconstruction_sums(batch.x, reconstruction, batch.lengths)


def coder(
    task: Task,
    size: int,
    *,
    prior: diagnostics.Prior,
    condition: Literal["label"] | None,
    **options: Any,
) -> AAE:
    """Return an AAE with one latent and no classifier: a representation.

    Args:
        task: Inputs and classes of the model.
        size: K of the code.
        prior: Prior of the code.
        condition: "label": the discriminator is conditioned on the class.
        options: Further arguments of `AAE`.
    """
    latents = {"code": {"size": size, "prior": prior, "condition": condition}}
    return AAE(task, latents=latents, classifier=None, **options)
