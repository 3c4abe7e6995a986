"""Recogniser of an encoder and a linear layer: parthasarathy2019's baselines (5.1 and 5.3)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED, Batch, Task
from ser.models.losses import (
    ValueLoss,
    labelled,
    mixed_cross_entropy,
    pack_cross_entropy,
    supervised_loss,
)
from ser.networks import Encoder
from ser.networks.layer_sum import built
from ser.training.phased import Optimiser, Phase, PhasedModel


class Classifier(PhasedModel):
    """Recogniser trained in one phase, by cross-entropy or by a loss of values.

    `model=mlp`, `cnn` and `lstm` differ in their encoder. Several tasks share the encoder. If an
    item has several codes, one under each class, its probabilities are the average over its codes,
    weighted as in `Task.variants`, both in training and in testing.

    Args:
        task: Inputs and classes of the model.
        encoder: Partial of a network that encodes (B, D) or (B, T, F).
        loss: Loss of values; "ccc", as in configurations before there was a choice.
        optimiser: Partial of a torch optimiser.
    """

    takes_values = True
    takes_shares = True
    takes_variants = True
    takes_mixtures = True
    takes_packs = True
    takes_graphs = True
    variants: Tensor | None

    def __init__(
        self,
        task: Task,
        *,
        encoder: Callable[[int], Encoder],
        loss: ValueLoss = "ccc",
        optimiser: Optimiser,
    ) -> None:
        super().__init__(task, optimiser)
        self.encoder = built(encoder, task.inputs, task.layers)
        self.head = nn.Linear(self.encoder.outputs, self.outputs.width)
        self.loss = loss
        self.cross_entropy = nn.CrossEntropyLoss(task.class_weights, ignore_index=UNLABELLED)
        self.register_buffer("variants", task.variants, persistent=False)

    @property
    def phases(self) -> Sequence[Phase]:
        modules = [self.encoder, self.head]
        known = partial(labelled, class_weights=self.cross_entropy.weight)
        return [Phase("classification", self.classification_loss, modules, items=known)]

    def forward(self, batch: Batch) -> Tensor:
        """(B, D) or (B, T, F) features, or (B, T, V * F) with V variants -> (B, C) outputs."""
        if self.variants is None:
            return self.head(self.encoder(batch.x, batch.lengths))
        count = len(self.variants)
        lengths = None if batch.lengths is None else batch.lengths.repeat(count)
        x = torch.cat(batch.x.chunk(count, dim=-1))
        each = self.head(self.encoder(x, lengths)).log_softmax(dim=1).unflatten(0, (count, -1))
        # Log-probabilities are logits: their softmax returns the probabilities.
        return (each + self.variants.log()[:, None, None]).logsumexp(dim=0)

    def classification_loss(self, batch: Batch, noise: None) -> Tensor:
        if batch.weights is not None:
            return pack_cross_entropy(self(batch), batch, self.cross_entropy.weight)
        if batch.y.ndim == 2:
            return supervised_loss(self.outputs, self(batch), batch, self.loss)
        if batch.partners is None:
            return self.cross_entropy(self(batch), batch.y)
        return mixed_cross_entropy(self(batch), batch, self.cross_entropy.weight)
