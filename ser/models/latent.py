"""Latents of adversarial autoencoders: parts of the code that are matched to a prior."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED
from ser.errors import UserError
from ser.models import diagnostics
from ser.models.priors import Categorical, Ratings
from ser.networks.noise import NOISE, Noise
from ser.training.heads import Outputs, ValueOutput


class Latent(nn.Module):
    """A part of the code: a head on the encoder, a prior and a discriminator.

    Args:
        inputs: Width of the encoder's output.
        classes: C.
        size: K of this latent; None: one per class.
        prior: Distribution that the codes are matched to.
        condition: "label": the discriminator is conditioned on the class, one-hot, or zeros for
            unlabelled items (Makhzani et al. 2015, section 2.3), and real samples are of the
            classes of the batch.
        discriminator: Partial of a network (B, K) or (B, K + C) -> (B,) logits of being real.
        batch_norm: Normalise the head.

    Raises:
        UserError: There are no classes to be conditioned on.
    """

    def __init__(
        self,
        inputs: int,
        classes: int,
        *,
        size: int | None,
        prior: diagnostics.Prior,
        condition: Literal["label"] | None,
        discriminator: Callable[[int], nn.Module],
        batch_norm: bool,
    ) -> None:
        super().__init__()
        if condition == "label" and not classes:
            raise UserError("latents: condition=label is for one target with classes: null")
        size = classes if size is None else size
        self.size, self.prior, self.classes = size, prior, classes
        self.is_conditioned = condition == "label"
        layers: list[nn.Module] = [nn.Linear(inputs, size)]
        if batch_norm:
            layers.append(nn.BatchNorm1d(size))
        self.head = nn.Sequential(*layers)
        self.discriminator = discriminator(size + classes * self.is_conditioned)

    def sample_prior(self, labels: Tensor, noise: Noise = NOISE) -> Tensor:
        """(B,) labels -> (B, K) samples of the prior, of these classes if it is conditioned."""
        labels = labels if self.is_conditioned else torch.full_like(labels, UNLABELLED)
        return self.prior.sample(labels, self.size, self.classes, noise)

    def discriminate(self, codes: Tensor, labels: Tensor) -> Tensor:
        """(B, K) codes and their (B,) labels -> (B,) logits of being real."""
        if self.is_conditioned:
            # `UNLABELLED` is encoded as an additional class, whose column is then removed.
            one_hot = nn.functional.one_hot(labels + 1, self.classes + 1)[..., 1:]
            codes = torch.cat([codes, one_hot.to(codes)], dim=-1)
        return self.discriminator(codes)


def of_tasks(
    latents: Mapping[str, Mapping[str, Any]], classifier: str | None, outputs: Outputs
) -> dict[str, Mapping[str, Any]]:
    """Return the options of all latents, those that predict adapted to what they predict.

    Args:
        latents: `size`, `prior` and `condition` of a `Latent`, by name.
        classifier: Latent that predicts; None: there is none.
        outputs: What the model predicts.
    """
    own = {name: latent for name, latent in latents.items() if name != classifier}
    if classifier is None:
        return own
    predicting: dict[str, Mapping[str, Any]] = {}
    for name, output in zip(of_each(classifier, outputs), outputs.parts, strict=True):
        options = dict(latents[classifier])
        if isinstance(output, ValueOutput):
            options["size"] = 1
            if isinstance(options["prior"], Categorical):
                options["prior"] = Ratings(output.ratings)
        elif len(outputs) > 1:
            options["size"] = output.width
        predicting[name] = options
    # In the order of the configuration, on which the initial weights depend.
    places = {name: predicting if name == classifier else {name: own[name]} for name in latents}
    return {name: options for each in places.values() for name, options in each.items()}


def of_each(classifier: str, outputs: Outputs) -> list[str]:
    """Return the name of the latent of each task, `<classifier>_<task>` if there are several."""
    if len(outputs) == 1:
        return [classifier]
    return [f"{classifier}_{each.name}" for each in outputs.parts]
