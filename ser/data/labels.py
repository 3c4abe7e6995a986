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
            where a training label is withheld.
    """

    target: Target
    known: pd.Series

    @classmethod
    def of(cls, target: Target, fold: Fold) -> "Labels":
        """Return the labels of a fold.

        Raises:
            UserError: A class has no training utterance, or all values are equal.
        """
        target.require_training_classes(fold.index, fold.train)
        known = target.labels.astype(float) if target.is_value else target.codes
        known.loc[target.withheld(fold.train)] = np.nan if target.is_value else UNLABELLED
        if not fold.copies.empty:
            known = pd.concat([known, known.loc[fold.copies].set_axis(fold.copies.index)])
        return cls(target, known)

    def labelled(self, ids: pd.Index) -> pd.Index:
        """Return those utterances whose label may be used."""
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
        """Return the labels as batches have them: (N,) class indices, or (N, 1) float values."""
        column = torch.tensor(self.column(ids))
        return column[:, None].float() if self.target.is_value else column

    def heads(self, train: pd.Index) -> tuple[Head, ...]:
        """Return what a model predicts instead of the classes; empty: it predicts classes.

        Args:
            train: Training utterances whose label may be used.
        """
        if not self.target.is_value:
            return ()
        return (Head(self.target.name, 0, values=self.batched(train)[:, 0]),)
