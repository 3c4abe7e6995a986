"""Adversarial autoencoders: one encoder, several latents, each drawn towards its prior.

parthasarathy2019 (section 4.1) has two latents: y, categorical, which is also the classifier, and
z, Gaussian, for whatever else makes speech what it is.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ser.batches import UNLABELLED, Batch, Task
from ser.errors import UserError
from ser.losses import discriminator_loss, generator_loss, reconstruction_loss
from ser.models.phased import Optimiser, Phase, PhasedModel
from ser.networks import Encoder
from ser.priors import Categorical, Gaussian

log = logging.getLogger(__name__)

Prior = Categorical | Gaussian


class Latent(nn.Module):
    """A part of the code: its head on the encoder, its prior and its discriminator.

    Args:
        inputs: width of what the encoder gives.
        size: K of this latent.
        prior: what its codes are drawn towards.
        discriminator: partial of a network (B, K) -> (B,) logits of being real.
        batch_norm: normalise the head.
    """

    def __init__(
        self,
        inputs: int,
        size: int,
        prior: Prior,
        discriminator: Callable[[int], nn.Module],
        *,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.size, self.prior = size, prior
        layers: list[nn.Module] = [nn.Linear(inputs, size)]
        if batch_norm:
            layers.append(nn.BatchNorm1d(size))
        self.head = nn.Sequential(*layers)
        self.discriminator = discriminator(size)


@dataclass
class Game:
    """One batch of the adversarial game, by latent.

    Attributes:
        real: (B, K) samples of each prior.
        fake: (B, K) codes of one forward pass, which discriminator and generator phase share.
        told_real, told_fake: (B,) logits that the discriminator gave them.
    """

    real: dict[str, Tensor]
    fake: dict[str, Tensor] = field(default_factory=dict)
    told_real: dict[str, Tensor] = field(default_factory=dict)
    told_fake: dict[str, Tensor] = field(default_factory=dict)


class AAE(PhasedModel):
    """Reconstruction, regularisation (discriminators, then the encoder against them), labels.

    Args:
        task: what the model is made for.
        encoder: partial of a network that encodes (B, D) or (B, T, F).
        decoder: partial of a network that decodes (B, K) codes.
        latents: by name, `size` (None: one a class) and `prior`.
        classifier: the latent whose head gives the class logits.
        discriminator: partial of a network (B, K) -> (B,).
        discriminator_rate: their learning rate, times the others' (0.1: a "strengthened"
            generator, section 5.2).
        batch_norm: normalise the latents' heads.
        phases: which phases there are, in order.
        optimiser: partial of a torch optimiser.

    Raises:
        UserError: a classifier that is no latent, or a generator without the discriminator phase,
            whose codes it shares, before it.
    """

    uses_unlabelled = True

    def __init__(
        self,
        task: Task,
        *,
        encoder: Callable[[int], Encoder],
        decoder: Callable[[int, int], nn.Module],
        latents: Mapping[str, Mapping[str, Any]],
        classifier: str,
        discriminator: Callable[[int], nn.Module],
        discriminator_rate: float,
        batch_norm: bool,
        phases: Sequence[Literal["reconstruction", "discriminator", "generator", "classification"]],
        optimiser: Optimiser,
    ) -> None:
        super().__init__(task, optimiser)
        if classifier not in latents:
            raise UserError(f"model.classifier={classifier}: one of {', '.join(latents)}")
        if (
            "generator" in phases
            and "discriminator" not in phases[: list(phases).index("generator")]
        ):
            raise UserError(f"model.phases={list(phases)}: generator needs discriminator before it")
        self.encoder = encoder(task.inputs)
        self.latents: Mapping[str, Latent] = nn.ModuleDict(  # type: ignore[assignment]
            {
                name: Latent(
                    self.encoder.outputs,
                    task.classes if latent["size"] is None else latent["size"],
                    latent["prior"],
                    discriminator,
                    batch_norm=batch_norm,
                )
                for name, latent in latents.items()
            }
        )
        sizes = [latent.size for latent in self.latents.values()]
        self.decoder = decoder(sum(sizes), task.inputs)
        self.classifier = classifier
        self.discriminator_rate = discriminator_rate
        self.phase_names = list(phases)
        self.cross_entropy = nn.CrossEntropyLoss(task.class_weights, ignore_index=UNLABELLED)
        self.groups = task.groups
        self._warned: set[str] = set()

    @property
    def phases(self) -> Sequence[Phase]:
        latents = self.latents.values()
        heads = [latent.head for latent in latents]
        discriminators = [latent.discriminator for latent in latents]
        label_head = self.latents[self.classifier].head
        every = (
            Phase("reconstruction", self.reconstruction_loss, [self.encoder, *heads, self.decoder]),
            Phase(
                "discriminator", self.discriminator_loss, discriminators, self.discriminator_rate
            ),
            Phase("generator", self.generator_loss, [self.encoder, *heads]),
            Phase("classification", self.classification_loss, [self.encoder, label_head]),
        )
        by_name = {phase.name: phase for phase in every}
        return [by_name[name] for name in self.phase_names]

    # ---- the phases, in the paper's order

    def reconstruction_loss(self, batch: Batch, game: Game) -> Tensor:
        return reconstruction_loss(batch.x, self.reconstruct(batch), batch.lengths)

    def discriminator_loss(self, batch: Batch, game: Game) -> Tensor:
        game.fake = self.encode(batch)
        losses = []
        for name, latent in self.latents.items():
            both = torch.cat([game.real[name], game.fake[name].detach()])
            game.told_real[name], game.told_fake[name] = latent.discriminator(both).chunk(2)
            losses.append(discriminator_loss(game.told_real[name], game.told_fake[name]))
        return torch.stack(losses).sum()

    def generator_loss(self, batch: Batch, game: Game) -> Tensor:
        told = [latent.discriminator(game.fake[name]) for name, latent in self.latents.items()]
        return torch.stack([generator_loss(fake) for fake in told]).sum()

    def classification_loss(self, batch: Batch, game: Game) -> Tensor:
        logits = self(batch)
        if (batch.y == UNLABELLED).all():  # whose mean cross-entropy would be NaN
            return 0.0 * logits.sum()
        return self.cross_entropy(logits, batch.y)

    # ---- what they are made of

    def draw(self, batch: Batch) -> Game:
        size = len(batch.x)
        return Game(
            {
                name: latent.prior.sample(size, latent.size, batch.x.device)
                for name, latent in self.latents.items()
            }
        )

    def forward(self, batch: Batch) -> Tensor:
        """(B, D) or (B, T, F) features -> (B, C) logits."""
        return self.latents[self.classifier].head(self.encoder(batch.x, batch.lengths))

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Features -> (B, K) codes by latent."""
        encoded = self.encoder(batch.x, batch.lengths)
        return {
            name: latent.prior.code(latent.head(encoded)) for name, latent in self.latents.items()
        }

    def reconstruct(self, batch: Batch) -> Tensor:
        """Features -> features of the same shape, by way of the codes."""
        codes = torch.cat(list(self.encode(batch).values()), dim=1)
        made = self.decoder(codes, batch.lengths)
        if batch.lengths is None:
            return made
        # As far as the batch is padded, which may be beyond its longest utterance.
        return nn.functional.pad(made, (0, 0, 0, batch.x.shape[1] - made.shape[1]))

    # ---- the health of the game, recorded by epoch

    def observe(self, batch: Batch, game: Game) -> dict[str, Tensor]:
        sums = {}
        for name, fake in game.fake.items():
            sums[f"{name}/mean"] = fake.sum(dim=0)
            if isinstance(self.latents[name].prior, Gaussian):
                sums[f"{name}/second_moment"] = fake.T @ fake
            sums[f"train/{name}_real_accuracy"] = (game.told_real[name] > 0).sum()
            sums[f"train/{name}_fake_accuracy"] = (game.told_fake[name] < 0).sum()
        return sums

    def summary(self, means: dict[str, Tensor]) -> dict[str, float]:
        row: dict[str, float] = {}
        for name in self.latents:
            if f"{name}/mean" not in means:
                continue
            mean = means[f"{name}/mean"]
            if f"{name}/second_moment" in means:
                row |= _against_normal(name, mean, means[f"{name}/second_moment"])
            else:
                entropy = (
                    -(mean * mean.clamp(min=1e-12).log()).sum() / torch.tensor(len(mean)).log()
                )
                row[f"{name}/uniformity"] = float(entropy)
                row[f"{name}/largest"] = float(mean.max())
        row |= self._explained()
        self._warn({**{name: float(m) for name, m in means.items() if m.ndim == 0}, **row})
        return row

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        x = batch.x.flatten(0, -2)
        errors = (self.reconstruct(batch) - batch.x).flatten(0, -2)
        count = torch.tensor(len(x) if batch.lengths is None else int(batch.lengths.sum()))
        moments = [errors.square().sum(0), x.sum(0), x.square().sum(0)]
        self._val_sums.append(torch.stack([*moments, count.to(x).expand(x.shape[1])]))

    def _explained(self) -> dict[str, float]:
        """R² of the reconstruction on validation, by kind of feature; 1 is perfect."""
        error, total, square, count = torch.stack(self._val_sums).sum(0).double()
        spread = square - total.square() / count
        kinds = {"val/r2": list(range(len(error)))}
        kinds |= {f"val/r2_{name}": columns for name, columns in self.groups.items()}
        return {
            name: float(1 - error[columns].sum() / spread[columns].sum())
            for name, columns in kinds.items()
            # Nothing is to be explained of what does not vary.
            if spread[columns].sum() > 1e-6 * count[0]
        }

    def _warn(self, row: dict[str, float]) -> None:
        """Says in plain words, once, when the game is lost."""
        for name, latent in self.latents.items():
            told = [row.get(f"train/{name}_{side}_accuracy", 0.0) for side in ("real", "fake")]
            if min(told) > 0.99:
                self._warn_once(
                    f"{name} discriminator won",
                    f"the discriminator of {name} tells real from fake in {min(told):.1%} of "
                    "cases: the encoder learns nothing from it. A lower "
                    "model.discriminator_rate or more dropout in model.discriminator may help",
                )
            if row.get(f"{name}/largest", 0.0) > 0.95 and latent.size > 1:
                self._warn_once(
                    f"{name} collapsed",
                    f"latent {name} has collapsed: {row[f'{name}/largest']:.1%} of its mass is "
                    "on one class",
                )
            if row.get(f"{name}/variance", 1.0) < 0.01:
                self._warn_once(
                    f"{name} collapsed",
                    f"latent {name} has collapsed: its variance is {row[f'{name}/variance']:.4f}",
                )

    def _warn_once(self, key: str, text: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            log.warning("epoch %d: %s", self.current_epoch, text)


def _against_normal(name: str, mean: Tensor, second_moment: Tensor) -> dict[str, float]:
    """How far a latent's codes are from N(0, I): 0, 1 and 0 would be equal to it."""
    covariance = second_moment - torch.outer(mean, mean)
    off_diagonal = covariance - covariance.diag().diag()
    size = len(mean)
    return {
        f"{name}/mean_rms": float(mean.square().mean().sqrt()),
        f"{name}/variance": float(covariance.diag().mean()),
        f"{name}/covariance_rms": float(
            (off_diagonal.square().sum() / max(1, size * (size - 1))).sqrt()
        ),
    }
