"""Representations small enough to be fitted in a test."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import PCA
from small import training

from ser.models.aae import AAE, coder
from ser.models.priors import GaussianMixture
from ser.networks.mlp import Discriminator, MLPDecoder, MLPEncoder
from ser.representations import Fitting
from ser.representations.learned import Learned
from ser.representations.projection import Projection
from ser.training.stopping import Converged

CLASSES = 4


def classes_in(dimensions: int, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Separated Gaussian classes, (count, dimensions), at a scale of their own."""
    means = np.random.default_rng(7).normal(0, 3, (CLASSES, dimensions))
    rng = np.random.default_rng(seed)
    y = rng.permutation(count) % CLASSES
    x = 100 + 10 * (means[y] + rng.normal(size=(count, dimensions)))
    return x.astype(np.float32), y


def fitting(root: Path, **options: Any) -> Fitting:
    return Fitting(training(**options), 0, CLASSES, root, {"a": 1})


def aae(root: Path, *, epochs: int = 3, width: int = 16, **options: Any) -> Learned:
    hidden = [width, width]
    module: Callable[..., AAE] = partial(
        coder,
        prior=GaussianMixture(5.0, 1.0, None),
        condition="label",
        encoder=partial(MLPEncoder, hidden=hidden, dropout=0.1, batch_norm=False),
        decoder=partial(MLPDecoder, hidden=hidden, dropout=0.1, batch_norm=False),
        discriminator=partial(Discriminator, hidden=hidden, dropout=0.0),
        discriminator_rate=1.0,
        discriminator_moves_encoder=False,
        batch_norm=False,
        phases=["reconstruction", "discriminator", "generator"],
        optimiser=partial(torch.optim.Adam, lr=1e-3),
    )
    stopping = partial(
        Converged,
        phases=["discriminator", "generator"],
        window=20,
        tolerance=0.05,
        below=None,
        max_epochs=epochs,
    )
    defaults: dict[str, Any] = {"module": module, "size": 2, "clip": 10, "batch_size": 32}
    return Learned(fitting(root), **{**defaults, "stopping": stopping, **options})


def pca(root: Path, size: int | list[int] = 2) -> Projection:
    return Projection(fitting(root), transform=PCA, size=size, clip=None)
