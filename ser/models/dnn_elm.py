"""A network on segments, and an extreme learning machine on its outputs for an utterance.

Han et al. 2014, "Speech emotion recognition using deep neural network and extreme learning machine"
(sections 3.2 and 3.3), a baseline of ghosh2016 (table 2).
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
    """A classifier of segments, and a second classifier on statistics of their probabilities.

    The network is trained as any classifier of segments. The statistics of an utterance are, for
    each class, the maximum, minimum and mean of the probabilities of its segments, and the share of
    segments above a threshold. An extreme learning machine, a layer of random sigmoid units and a
    linear layer fitted by least squares on the training split, classifies them.

    Args:
        task: Inputs and classes of the model.
        encoder: Partial of a network that encodes (B, D).
        optimiser: Partial of a torch optimiser.
        units: Number of random sigmoid units.
        threshold: Threshold of the probability, between 0 and 1.
        ridge: Added to the diagonal of the normal matrix of the least squares.

    Raises:
        UserError: `threshold` is not between 0 and 1.
    """

    takes_values = False
    takes_shares = False
    output: Tensor
    is_fitted: Tensor

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
            raise UserError(f"model.threshold={threshold}: must be between 0 and 1")
        self.threshold, self.ridge = threshold, ridge
        self.random = nn.Linear(4 * task.classes, units)
        for parameter in self.random.parameters():
            nn.init.uniform_(parameter.requires_grad_(False), -1, 1)
        self.register_buffer("output", torch.zeros(units, task.classes))
        self.register_buffer("is_fitted", torch.tensor(False))

    def statistics(self, batch: Batch) -> Tensor:
        """(B, D) segments of U utterances -> (U, 4 C) statistics."""
        assert batch.windows is not None
        p = self(batch).softmax(dim=1)
        # The segments of an utterance are consecutive.
        counts = torch.bincount(batch.windows, minlength=len(batch.y))
        return torch.stack([self._utterance_statistics(each) for each in p.split(counts.tolist())])

    def _utterance_statistics(self, p: Tensor) -> Tensor:
        """(S, C) probabilities of one utterance's segments -> (4 C,) statistics."""
        above = (p > self.threshold).to(p.dtype)
        return torch.cat([p.amax(0), p.amin(0), p.mean(0), above.mean(0)])

    def fit_closed_form(self, batches: Iterable[Batch]) -> None:
        statistics, labels = [], []
        for batch in batches:
            known = batch.y != UNLABELLED
            statistics.append(self.statistics(batch)[known])
            labels.append(batch.y[known])
        hidden = self._hidden(torch.cat(statistics)).double()
        targets = nn.functional.one_hot(torch.cat(labels), self.output.shape[1]).double()
        normal = hidden.T @ hidden + self.ridge * torch.eye(hidden.shape[1], dtype=torch.float64)
        self.output.copy_(torch.linalg.solve(normal, hidden.T @ targets))
        self.is_fitted.fill_(True)

    def predictions(self, batch: Batch) -> Tensor:
        """Return (U, C) of utterances; before `fit_closed_form`, the means over segments."""
        if not self.is_fitted:
            return super().predictions(batch)
        # The outputs are fitted to 0 and 1, so the softmax is not calibrated; the order is right.
        scores = self._hidden(self.statistics(batch)) @ self.output
        return scores.softmax(dim=1)

    def _hidden(self, statistics: Tensor) -> Tensor:
        return self.random(statistics).sigmoid()
