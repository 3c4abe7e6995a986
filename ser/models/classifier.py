"""An encoder and a linear layer: the baselines of parthasarathy2019 (sections 5.1 and 5.3)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED, Batch, Task
from ser.networks import Encoder
from ser.training.phased import Optimiser, Phase, PhasedModel


class Classifier(PhasedModel):
    """Trained by cross-entropy in one phase. `mlp`, `cnn` and `lstm` differ in their encoder.

    Where several codes of an item stand side by side, one under each class, its probabilities are
    those of the codes, averaged by the task's weights, in training as in testing.

    Args:
        task: what the model is made for.
        encoder: partial of a network that encodes (B, D) or (B, T, F).
        optimiser: partial of a torch optimiser.
    """

    takes_variants = True
    variants: Tensor | None

    def __init__(
        self, task: Task, *, encoder: Callable[[int], Encoder], optimiser: Optimiser
    ) -> None:
        super().__init__(task, optimiser)
        self.encoder = encoder(task.inputs)
        self.head = nn.Linear(self.encoder.outputs, task.classes)
        self.cross_entropy = nn.CrossEntropyLoss(task.class_weights, ignore_index=UNLABELLED)
        self.register_buffer("variants", task.variants, persistent=False)

    @property
    def phases(self) -> Sequence[Phase]:
        return [Phase("classification", self.classification_loss, [self.encoder, self.head])]

    def forward(self, batch: Batch) -> Tensor:
        """(B, D) or (B, T, F) features -> (B, C) logits; variants (B, T, V * F) side by side."""
        if self.variants is None:
            return self.head(self.encoder(batch.x, batch.lengths))
        count = len(self.variants)
        lengths = None if batch.lengths is None else batch.lengths.repeat(count)
        x = torch.cat(batch.x.chunk(count, dim=-1))
        each = self.head(self.encoder(x, lengths)).log_softmax(dim=1).unflatten(0, (count, -1))
        # Logarithms of probabilities are logits whose softmax is these.
        return (each + self.variants.log()[:, None, None]).logsumexp(dim=0)

    def classification_loss(self, batch: Batch, noise: None) -> Tensor:
        return self.cross_entropy(self(batch), batch.y)
