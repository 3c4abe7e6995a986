"""Shares of raters as scikit-learn learns them: each utterance once per class, with weights."""

from dataclasses import dataclass

import numpy as np

from ser.data.batches import UNLABELLED


@dataclass(frozen=True)
class Repeated:
    """Utterances, each repeated for every class that any of its raters chose.

    The sum over items of weight times loss is the loss against the shares: of logistic regression,
    the cross-entropy with them.

    Attributes:
        rows: (M,) number of the utterance of each item.
        classes: (M,) class index of each item.
        weights: (M,) share of the raters who chose the class, times the weight of the utterance.
        first: (M,) bool, one item of each utterance: that of its label. Steps before the classifier
            are fitted on these, so that no utterance counts more than others.
        tied: (M,) bool, items of utterances without majority, whose label is not scored.
    """

    rows: np.ndarray
    classes: np.ndarray
    weights: np.ndarray
    first: np.ndarray
    tied: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray, shares: np.ndarray) -> "Repeated":
        """Repeat N utterances.

        Args:
            labels: (N,) class indices; `UNLABELLED` without majority.
            shares: (N, C) shares of the raters, times the weight of each utterance.
        """
        label = np.where(labels == UNLABELLED, shares.argmax(axis=1), labels)
        items = shares > 0
        items[np.arange(len(label)), label] = True  # also if no rater chose it
        rows, classes = np.nonzero(items)
        return cls(
            rows,
            classes,
            shares[rows, classes],
            classes == label[rows],
            (labels == UNLABELLED)[rows],
        )

    def flagged(self, x: np.ndarray) -> np.ndarray:
        """(N, D) -> (M, D + 1) items, with `first` as the last column (see `GramPipeline`)."""
        return np.column_stack([x[self.rows], self.first.astype(x.dtype)])
