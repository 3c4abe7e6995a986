"""Every phase's loss is a pure function of the modules, the batch and what the phases share."""

import copy
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ser.data.batches import Batch, Task
from ser.models.aae import AAE, coder
from ser.models.classifier import Classifier
from ser.models.cvae import CVAE
from ser.models.denoising import Deep, Stacked
from ser.models.priors import Categorical, Gaussian, GaussianMixture
from ser.models.recurrent import RecurrentAutoencoder
from ser.models.vae import VAE, Autoencoder
from ser.networks.mlp import Discriminator, MLPDecoder, MLPEncoder
from ser.networks.recurrent import LSTMEncoder
from ser.training.phased import PhasedModel

TASK = Task(6, 3, None, {})
ADAM = partial(torch.optim.Adam, lr=1e-3)
ENCODER = partial(MLPEncoder, hidden=[16, 8], dropout=0.5, batch_norm=True)
NETWORKS: dict[str, Any] = {
    "encoder": ENCODER,
    "decoder": partial(MLPDecoder, hidden=[8, 16], dropout=0.5, batch_norm=True),
    "optimiser": ADAM,
}
ADVERSARIAL: dict[str, Any] = {
    **NETWORKS,
    "discriminator": partial(Discriminator, hidden=[8], dropout=0.5),
    "discriminator_rate": 0.1,
    "batch_norm": True,
}
VARIATIONAL: dict[str, Any] = {
    **NETWORKS,
    "noise": 0.5,
    "annealing_epochs": 0,
    "free_bits": 0.1,
    "code": "mean",
}
REGULARISED = ["reconstruction", "discriminator", "generator"]
LATENTS = {
    "y": {"size": None, "prior": Categorical(), "condition": None},
    "z": {"size": 4, "prior": Gaussian(), "condition": None},
}
LSTM = partial(
    LSTMEncoder,
    layers=2,
    width=2,
    bidirectional=True,
    forget_bias=1.0,
    pooling="mean",
    hidden=[],
    dropout=0.5,
)


def aae(moves: bool) -> AAE:
    return AAE(
        TASK,
        latents=LATENTS,
        classifier="y",
        phases=[*REGULARISED, "classification"],  # type: ignore[list-item]
        discriminator_moves_encoder=moves,
        **ADVERSARIAL,
    )


def conditioned(moves: bool) -> AAE:
    return coder(
        TASK,
        2,
        prior=GaussianMixture(5.0, 1.0, None),
        condition="label",
        phases=REGULARISED,
        discriminator_moves_encoder=moves,
        **ADVERSARIAL,
    )


MODELS: dict[str, Callable[[], PhasedModel]] = {
    "aae": partial(aae, False),
    "aae, the discriminator phase updates the encoder": partial(aae, True),
    "conditioned coder": partial(conditioned, False),
    "conditioned coder, the discriminator phase updates the encoder": partial(conditioned, True),
    "classifier": partial(Classifier, TASK, encoder=ENCODER, optimiser=ADAM),
    "autoencoder": partial(Autoencoder, TASK, 4, **NETWORKS),
    "vae": partial(VAE, TASK, 4, **VARIATIONAL),
    "cvae": partial(CVAE, TASK, 4, reading=None, condition_dropout=0.5, **VARIATIONAL),
    "deep": partial(Deep, TASK, 4, hidden=[5], corruption=0.2, optimiser=ADAM),
    "stacked": partial(
        Stacked, TASK, 4, hidden=[5], corruption=0.2, tied=True, epochs_each=1, optimiser=ADAM
    ),
    "recurrent": partial(
        RecurrentAutoencoder, TASK, 4, encoder=LSTM, reduction="sum", optimiser=ADAM
    ),
}


def batch(kind: str) -> Batch:
    torch.manual_seed(1)
    y = torch.arange(12) % 4 - 1  # every fourth has no label
    if kind != "recurrent":
        return Batch(torch.randn(12, 6), y)
    lengths = torch.arange(12) + 1
    return Batch(
        torch.randn(12, 12, 6) * (torch.arange(12) < lengths[:, None])[..., None], y, lengths
    )


def tensors(value: Any) -> list[Tensor]:
    """Every tensor inside dataclasses, tuples and dictionaries, in order."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for each in value for t in tensors(each)] if isinstance(value, list | tuple) else []


def state(model: PhasedModel) -> tuple[list[Tensor], dict[str, Any]]:
    """Weights, buffers but for batch normalisation's running statistics, and plain attributes."""
    running = ("running_mean", "running_var", "num_batches_tracked")
    held = [v.clone() for k, v in model.state_dict().items() if not k.endswith(running)]
    plain = {k: v for k, v in vars(model).items() if isinstance(v, int | float | str | list | set)}
    return held, copy.deepcopy(plain)


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))


@pytest.mark.parametrize("kind", MODELS)
def test_loss_is_pure(kind: str) -> None:
    """Computed twice with the same random state it is the same, and it changes nothing."""
    torch.manual_seed(0)
    model, data = MODELS[kind]().train(), batch(kind)
    shared, before = model.draw(data), state(model)
    for phase in model.phases:
        inputs = [tensor.detach().clone() for tensor in tensors((data, shared))]
        random = torch.get_rng_state()
        loss, after = phase.compute(data, shared)
        torch.set_rng_state(random)
        again, _ = phase.compute(data, shared)
        assert torch.equal(loss, again)
        assert loss.requires_grad
        assert equal(inputs, tensors((data, shared)))
        shared = after
    (weights, attributes), (held, plain) = before, state(model)
    assert equal(weights, held)
    assert attributes == plain
    assert all(parameter.grad is None for parameter in model.parameters())
