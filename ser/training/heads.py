"""What the outputs of a recogniser mean, and how they are scored on validation."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from ser import metrics
from ser.data.batches import UNLABELLED, Head, Task
from ser.training import ranks


class Output(nn.Module, ABC):
    """Outputs of one task.

    Args:
        head: The task.
        width: Number of outputs.

    Attributes:
        SCORE: Name of the first score, by which epochs are selected.
    """

    SCORE: str

    def __init__(self, head: Head, width: int) -> None:
        super().__init__()
        self.name, self.weight, self.width = head.name, head.weight, width

    @abstractmethod
    def predict(self, outputs: Tensor) -> Tensor:
        """(B, width) outputs -> (B, width) probabilities or values."""

    @abstractmethod
    def labels(self, y: Tensor) -> Tensor:
        """(B,) classes or (B, Y) columns of a batch -> (B,) or (B, 1 + C) labels of the task."""

    @abstractmethod
    def reset(self) -> None:
        """Begin to score."""

    @abstractmethod
    def update(self, predicted: Tensor, labels: Tensor) -> None:
        """Score (U, width) predictions of utterances with their (U,) labels."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """Return `loss` and the scores of all predictions since `reset`, of all ranks."""


class ClassOutput(Output):
    """Logits of classes.

    Args:
        head: The task.
        column: Column of `Batch.y`; None: it has class indices.
    """

    SCORE = "ua"

    class_weights: Tensor | None

    def __init__(self, head: Head, column: int | None) -> None:
        super().__init__(head, head.classes)
        self.column = column
        self.register_buffer("class_weights", head.class_weights, persistent=False)
        self._confusion = MulticlassConfusionMatrix(head.classes, validate_args=False)

    def predict(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(dim=-1)

    def labels(self, y: Tensor) -> Tensor:
        if self.column is None:
            return y
        return y[:, self.column].nan_to_num(UNLABELLED).long()

    def reset(self) -> None:
        self._confusion.reset()
        self._loss = torch.zeros((), device=self._confusion.device)

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        known = labels != UNLABELLED
        predicted, labels = predicted[known], labels[known]
        likelihood = predicted.gather(1, labels[:, None])
        self._loss -= likelihood.clamp(min=torch.finfo(predicted.dtype).tiny).log().sum()
        self._confusion.update(predicted.argmax(dim=1), labels)

    def scores(self) -> dict[str, float]:
        confusion = self._confusion.compute().cpu().numpy()
        loss = float(ranks.total(self._loss)) / int(confusion.sum())
        validation = metrics.scores(confusion)
        return {"loss": loss, **{name: validation[name] for name in ("ua", "wa", "f1")}}


class SharesOutput(ClassOutput):
    """Logits of classes that learn the shares of raters; scored by the class of most raters.

    Args:
        head: The task.
        column: First of 1 + C columns of `Batch.y`: the class index, NaN without majority, and the
            shares.
    """

    def __init__(self, head: Head, column: int) -> None:
        super().__init__(head, column)
        self.first = column

    def labels(self, y: Tensor) -> Tensor:
        """(B, Y) columns of a batch -> (B, 1 + C) class index and shares."""
        return y[:, self.first : self.first + 1 + self.width]

    def reset(self) -> None:
        super().reset()
        self._rated = torch.zeros_like(self._loss)

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        classes, shares = labels[:, 0].nan_to_num(UNLABELLED).long(), labels[:, 1:]
        known, rated = classes != UNLABELLED, ~shares.isnan().any(dim=1)
        likelihood = predicted[rated].clamp(min=torch.finfo(predicted.dtype).tiny)
        self._loss -= (shares[rated] * likelihood.log()).sum()
        self._rated += rated.sum()
        self._confusion.update(predicted[known].argmax(dim=1), classes[known])

    def scores(self) -> dict[str, float]:
        loss = float(ranks.total(self._loss)) / float(ranks.total(self._rated))
        return {**super().scores(), "loss": loss}


class ValueOutput(Output):
    """A value, which the network predicts in standard deviations from the training mean.

    Args:
        head: The task.
        column: Column of `Batch.y`.

    Attributes:
        ratings: (N,) standardised values of the training utterances; None: unknown.
    """

    SCORE = "ccc"

    mean: Tensor
    spread: Tensor

    def __init__(self, head: Head, column: int) -> None:
        super().__init__(head, 1)
        self.column = column
        # Saved with the weights, because predictions need them.
        values = torch.tensor([0.0, 1.0]) if head.values is None else head.values.double()
        self.register_buffer("mean", values.mean().float())
        self.register_buffer("spread", values.std(correction=0).float())
        self.ratings = None if head.values is None else self.standardised(head.values)

    def standardised(self, values: Tensor) -> Tensor:
        """(B,) values -> (B,) standard deviations from the training mean."""
        return (values - self.mean) / self.spread

    def predict(self, outputs: Tensor) -> Tensor:
        return self.mean + self.spread * outputs

    def labels(self, y: Tensor) -> Tensor:
        return y[:, self.column]

    def reset(self) -> None:
        self._moments = torch.zeros(metrics.MOMENTS, dtype=torch.float64, device=self.mean.device)

    def update(self, predicted: Tensor, labels: Tensor) -> None:
        known = ~labels.isnan()
        t, p = labels[known].double(), predicted[known, 0].double()
        sums = (torch.ones_like(t), t, p, t * t, p * p, t * p, (t - p).abs())
        self._moments += torch.stack([each.sum() for each in sums])

    def scores(self) -> dict[str, float]:
        moments = ranks.total(self._moments).cpu().numpy()
        scores = metrics.value_scores(moments)
        # Where all true and predicted values are equal, there is nothing to agree on.
        agreement = 0.0 if math.isnan(scores["ccc"]) else scores["ccc"]
        return {"loss": scores["rmse"] ** 2, "ccc": agreement, "rmse": scores["rmse"]}


class Outputs(nn.ModuleList):
    """Outputs of one task or of several, side by side.

    Args:
        task: What a model is built for.
    """

    def __init__(self, task: Task) -> None:
        if task.heads:
            starts = accumulate((head.columns for head in task.heads), initial=0)
            parts = [_output(head, first) for head, first in zip(task.heads, starts, strict=False)]
        else:
            parts = [ClassOutput(Head("", task.classes), None)]
        super().__init__(parts)

    @property
    def parts(self) -> Sequence[Output]:
        return list(self)  # type: ignore[arg-type]

    @property
    def width(self) -> int:
        """Number of outputs of all tasks."""
        return sum(each.width for each in self.parts)

    def split(self, outputs: Tensor) -> list[tuple[Output, Tensor]]:
        """(B, width) -> each task with its outputs (B, its width)."""
        parts = self.parts
        return list(zip(parts, outputs.split([each.width for each in parts], dim=1), strict=True))

    def predict(self, outputs: Tensor) -> Tensor:
        """(B, width) outputs -> (B, width) probabilities and values."""
        if len(self) == 1:
            return self.parts[0].predict(outputs)
        return torch.cat([each.predict(own) for each, own in self.split(outputs)], dim=1)

    def reset(self) -> None:
        for each in self.parts:
            each.reset()

    def update(self, predicted: Tensor, y: Tensor) -> None:
        """Score (U, width) predictions of utterances, whose labels are as in a batch."""
        for each, own in self.split(predicted):
            each.update(own, each.labels(y))

    @property
    def score(self) -> str:
        """Name of the score by which epochs are selected; of several tasks, their mean."""
        return "score" if len(self) > 1 else self.parts[0].SCORE

    def scores(self) -> dict[str, float]:
        """Return the scores of all ranks: `ua`, ...; of several tasks `<task>/ua`, ..., `score`."""
        if len(self) == 1:
            return self.parts[0].scores()
        scores = {each.name: each.scores() for each in self.parts}
        flat = {f"{task}/{name}": x for task, own in scores.items() for name, x in own.items()}
        mean = sum(scores[each.name][each.SCORE] for each in self.parts) / len(self)
        return {**flat, "score": mean}


def _output(head: Head, column: int) -> Output:
    """Return the output of a task whose labels begin at a column of `Batch.y`."""
    if not head.classes:
        return ValueOutput(head, column)
    return SharesOutput(head, column) if head.soft else ClassOutput(head, column)
