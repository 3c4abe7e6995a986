"""The labels of a fold for several tasks: a column for each."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ser.data.batches import UNLABELLED, Head
from ser.data.folds import Fold
from ser.data.labels import Labels
from ser.data.targets import Target


def labels_of(target: Target, fold: Fold) -> "Labels | TaskLabels":
    """Return the labels of a fold.

    Raises:
        UserError: A class has no training utterance, or all values are equal.
    """
    return TaskLabels.of(target, fold) if target.tasks else Labels.of(target, fold)


@dataclass(frozen=True)
class TaskLabels:
    """Labels of several tasks by utterance, with the methods of `Labels` that networks need.

    Args:
        target: Target of the run.
        known: By utterance id, copies included, and task: class indices or values as float64; NaN
            where there is none, or a training label is withheld.
    """

    target: Target
    known: pd.DataFrame

    @classmethod
    def of(cls, target: Target, fold: Fold) -> "TaskLabels":
        """Return the labels of a fold.

        Raises:
            UserError: For one of the tasks, a class has no training utterance, or all values are
                equal.
        """
        columns = {task.name: task.labels if task.is_value else task.codes for task in target.tasks}
        known = pd.DataFrame(columns, dtype=float).reindex(target.labels.index)
        known.loc[target.withheld(fold.train)] = np.nan
        for task in target.tasks:
            of_task = known.index[known[task.name].notna()]
            task.require_training_classes(fold.index, fold.train.intersection(of_task))
        if not fold.copies.empty:
            known = pd.concat([known, known.loc[fold.copies].set_axis(fold.copies.index)])
        return cls(target, known)

    def labelled(self, ids: pd.Index) -> pd.Index:
        """Return those utterances of which any label may be used."""
        return ids[self.known.loc[ids].notna().any(axis=1).to_numpy()]

    def classes_of(self, ids: pd.Index) -> np.ndarray:
        """Return `UNLABELLED`, (N,): there is no single class."""
        return np.full(len(ids), UNLABELLED)

    def column(self, ids: pd.Index) -> np.ndarray:
        """Return class indices or values of all tasks, (N, Y)."""
        return self.known.loc[ids].to_numpy()

    def batched(self, ids: pd.Index) -> torch.Tensor:
        """Return the labels as batches have them: (N, Y) class indices and values, or NaN."""
        return torch.tensor(self.column(ids)).float()

    def heads(self, train: pd.Index) -> tuple[Head, ...]:
        """Return what a model predicts of each task.

        Args:
            train: Training utterances of which any label may be used.
        """
        columns = self.batched(train).T
        return tuple(
            Head(
                task.name,
                len(task.classes),
                weight=task.loss_weight,
                values=column[~column.isnan()] if task.is_value else None,
            )
            for task, column in zip(self.target.tasks, columns, strict=True)
        )
