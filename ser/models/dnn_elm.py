"""A network on segments, and an extreme learning machine on what it says of an utterance.

Han et al. 2014, "Speech emotion recognition using deep neural network and extreme learning machine"
(sections 3.2 and 3.3), with which ghosh2016 (table 2) compares.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from ser.data.batches import UNLABELLED, Batch, Task
from ser.errors import UserError
from ser.models.classifier import Classifier
from ser.networks import Encoder
from ser.training.phased import Optimiser


class DNNELM(Classifier):
    """Class probabilities of segments; of an utterance, a second classifier on their statistics.

    The network is trained as any classifier of segments is. Then, on the training part, the
    statistics of an utterance's segments (of each class the largest probability, the smallest, the
    mean, and the share of segments that are above a threshold) go through a layer of random
    sigmoids, and from there to the classes by least squares.

    Args:
        task: what the model is made for.
        encoder: partial of a network that encodes (B, D).
        optimiser: partial of a torch optimiser.
        units: random sigmoids.
        threshold: from 0 to 1.
        ridge: added to the diagonal of the least squares' normal matrix.

    Raises:
        UserError: a threshold that is no probability.
    """

    output: Tensor
    concluded: Tensor

    def __init__(
        self,
        task: Task,
        *,
        encoder: Callable[[int], Encoder],
        optimiser: Optimiser,
        units: int,
        threshold: float,
        ridge: float,
    ) -> None:
        super().__init__(task, encoder=encoder, optimiser=optimiser)
        if not 0 < threshold < 1:
            raise UserError(f"model.threshold={threshold}: between 0 and 1")
        self.threshold, self.ridge = threshold, ridge
        self.random = nn.Linear(4 * task.classes, units)
        for parameter in self.random.parameters():
            nn.init.uniform_(parameter.requires_grad_(False), -1, 1)
        self.register_buffer("output", torch.zeros(units, task.classes))
        self.register_buffer("concluded", torch.tensor(False))

    def statistics(self, batch: Batch) -> Tensor:
        """(B, D) segments of U utterances -> (U, 4 C)."""
        assert batch.windows is not None
        found = self(batch).softmax(dim=1)
        # An utterance's segments stand together.
        counts = torch.bincount(batch.windows, minlength=len(batch.y))
        return torch.stack([self._of_one(each) for each in found.split(counts.tolist())])

    def _of_one(self, found: Tensor) -> Tensor:
        above = (found > self.threshold).to(found.dtype)
        return torch.cat([found.amax(0), found.amin(0), found.mean(0), above.mean(0)])

    def conclude(self, batches: Iterable[Batch]) -> None:
        statistics, labels = [], []
        for batch in batches:
            known = batch.y != UNLABELLED
            statistics.append(self.statistics(batch)[known])
            labels.append(batch.y[known])
        hidden = self._hidden(torch.cat(statistics)).double()
        wanted = nn.functional.one_hot(torch.cat(labels), self.output.shape[1]).double()
        normal = hidden.T @ hidden + self.ridge * torch.eye(hidden.shape[1], dtype=torch.float64)
        self.output.copy_(torch.linalg.solve(normal, hidden.T @ wanted))
        self.concluded.fill_(True)

    def probabilities(self, batch: Batch) -> Tensor:
        """Of utterances, (U, C); until `conclude`, means of the segments'."""
        if not self.concluded:
            return super().probabilities(batch)
        # Least squares aim at 0 and 1, which are no logits: what they tell is an order.
        scores = self._hidden(self.statistics(batch)) @ self.output
        return scores.softmax(dim=1)

    def _hidden(self, statistics: Tensor) -> Tensor:
        return self.random(statistics).sigmoid()
