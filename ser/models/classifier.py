"""An encoder and a linear layer: the baselines of parthasarathy2019 (sections 5.1 and 5.3)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ser.batches import UNLABELLED, Batch, Task
from ser.models.phased import Optimiser, Phase, PhasedModel
from ser.networks import Encoder


class Classifier(PhasedModel):
    """Trained by cross-entropy in one phase. `mlp` and `cnn` differ in their encoder.

    Args:
        task: what the model is made for.
        encoder: partial of a network that encodes (B, D) or (B, T, F).
        optimiser: partial of a torch optimiser.
    """

    def __init__(
        self, task: Task, *, encoder: Callable[[int], Encoder], optimiser: Optimiser
    ) -> None:
        super().__init__(task, optimiser)
        self.encoder = encoder(task.inputs)
        self.head = nn.Linear(self.encoder.outputs, task.classes)
        self.cross_entropy = nn.CrossEntropyLoss(task.class_weights, ignore_index=UNLABELLED)

    @property
    def phases(self) -> Sequence[Phase]:
        return [Phase("classification", self.classification_loss, [self.encoder, self.head])]

    def forward(self, batch: Batch) -> Tensor:
        """(B, D) or (B, T, F) features -> (B, C) logits."""
        return self.head(self.encoder(batch.x, batch.lengths))

    def classification_loss(self, batch: Batch, noise: None) -> Tensor:
        return self.cross_entropy(self(batch), batch.y)
