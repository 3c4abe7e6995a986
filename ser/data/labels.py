"""The labels of a fold as arrays, without those of training utterances that are withheld."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ser.data.batches import UNLABELLED, Head
from ser.data.folds import Fold
from ser.data.targets import Target


@dataclass(frozen=True)
class Labels:
    """Labels by utterance, copies of training utterances included.

    Args:
        target: Target of the run.
        known: By utterance id, class indices (int64), or values (float64); `UNLABELLED` or NaN
            where a training label is withheld, or raters have no majority.
        soft: By utterance id, shares of the classes (N, C) that a model learns instead of `known`,
            each row times the weight of the utterance; NaN where a label is withheld. None: it
            learns `known`.
    """

    target: Target
    known: pd.Series
    soft: pd.DataFrame | None = None

    @classmethod
    def of(cls, target: Target, fold: Fold) -> "Labels":
        """Return the labels of a fold.

        Raises:
            UserError: A class has no training utterance, or all values are equal.
        """
        target.require_training_classes(fold.index, fold.train)
        known = target.labels.astype(float) if target.is_value else target.codes
        withheld = target.withheld(fold.train)
        known.loc[withheld.union(target.tied)] = np.nan if target.is_value else UNLABELLED
        soft = soft_labels(target, fold.train.difference(withheld))
        if soft is not None:
            soft.loc[withheld] = np.nan
        if not fold.copies.empty:
            known = pd.concat([known, known.loc[fold.copies].set_axis(fold.copies.index)])
            if soft is not None:
                soft = pd.concat([soft, soft.loc[fold.copies].set_axis(fold.copies.index)])
        return cls(target, known, soft)

    def labelled(self, ids: pd.Index) -> pd.Index:
        """Return those utterances whose label may be used."""
        if self.soft is not None:
            return ids[self.soft.loc[ids].notna().all(axis=1).to_numpy()]
        known = self.known.loc[ids]
        return ids[(known.notna() if self.target.is_value else known != UNLABELLED).to_numpy()]

    def classes_of(self, ids: pd.Index) -> np.ndarray:
        """Return class indices, (N,); `UNLABELLED` without label, and if the target is a value."""
        if self.target.is_value:
            return np.full(len(ids), UNLABELLED)
        return self.known.reindex(ids, fill_value=UNLABELLED).to_numpy()

    def column(self, ids: pd.Index) -> np.ndarray:
        """Return class indices or values, (N,), of utterances that the target selects."""
        return self.known.loc[ids].to_numpy()

    def batched(self, ids: pd.Index) -> torch.Tensor:
        """Return the labels as batches have them.

        Returns:
            (N,) class indices; (N, 1) float values; or (N, 1 + C) class indices and shares.
        """
        column = torch.tensor(self.column(ids))
        if self.soft is not None:
            known = column.float().masked_fill(column == UNLABELLED, float("nan"))
            shares = torch.tensor(self.soft.loc[ids].to_numpy(np.float32))
            return torch.cat([known[:, None], shares], dim=1)
        return column[:, None].float() if self.target.is_value else column

    def heads(self, train: pd.Index, *, balanced: bool) -> tuple[Head, ...]:
        """Return what a model predicts instead of the classes; empty: it predicts classes.

        Args:
            train: Training utterances whose label may be used.
            balanced: Weight shares of classes inversely to the frequency of the classes.
        """
        if self.soft is not None:
            classes = len(self.target.classes)
            weights = balanced_weights(self.classes_of(train), classes) if balanced else None
            return (Head(self.target.name, classes, soft=True, class_weights=weights),)
        if not self.target.is_value:
            return ()
        return (Head(self.target.name, 0, values=self.batched(train)[:, 0]),)


def soft_labels(target: Target, train: pd.Index) -> pd.DataFrame | None:
    """Return the shares that a target has, or whose labels have weights; None: neither.

    Args:
        target: Target of the run.
        train: Training utterances whose label may be used. Their mean weight becomes 1.
    """
    if target.shares is None and target.weights is None:
        return None
    shares = target.shares
    if shares is None:
        one_hot = np.eye(len(target.classes))[target.codes]
        shares = pd.DataFrame(one_hot, target.labels.index, list(target.classes))
    if target.weights is None:
        return shares.copy()
    return shares.mul(target.weights / target.weights.loc[train].mean(), axis=0)


def balanced_weights(numbers: np.ndarray, classes: int) -> torch.Tensor:
    """Return weights (C,) that make all classes count the same.

    Args:
        numbers: (N,) class indices of training utterances; `UNLABELLED` ones do not count.
        classes: C.
    """
    counts = np.bincount(numbers[numbers != UNLABELLED], minlength=classes)
    return torch.tensor(counts.sum() / (classes * counts), dtype=torch.float32)
