"""The labels of a fold for several tasks: a column for each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from ser.data.batches import UNLABELLED, Head
from ser.data.folds import Fold
from ser.data.labels import Labels, balanced_weights, soft_labels
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
            where there is none, a training label is withheld, or raters have no majority.
        soft: By task and utterance id, shares of the classes (N, C) that a model learns instead,
            each row times the weight of the utterance; NaN where there is none. Tasks whose labels
            are learned are absent.
    """

    target: Target
    known: pd.DataFrame
    soft: Mapping[str, pd.DataFrame]

    @classmethod
    def of(cls, target: Target, fold: Fold) -> "TaskLabels":
        """Return the labels of a fold.

        Raises:
            UserError: For one of the tasks, a class has no training utterance, or all values are
                equal.
        """
        columns = {task.name: task.labels if task.is_value else task.codes for task in target.tasks}
        known = pd.DataFrame(columns, dtype=float).reindex(target.labels.index)
        withheld = target.withheld(fold.train)
        known.loc[withheld] = np.nan
        soft: dict[str, pd.DataFrame] = {}
        for task in target.tasks:
            train = fold.train.intersection(known.index[known[task.name].notna()])
            task.require_training_classes(fold.index, train)
            known.loc[task.tied, task.name] = np.nan
            shares = soft_labels(task, train)
            if shares is not None:
                soft[task.name] = shares.drop(shares.index.intersection(withheld)).reindex(
                    known.index
                )
        copies = fold.copies
        if not copies.empty:
            known = _with_copies(known, copies)
            soft = {name: _with_copies(shares, copies) for name, shares in soft.items()}
        return cls(target, known, soft)

    def labelled(self, ids: pd.Index) -> pd.Index:
        """Return those utterances of which any label may be used."""
        return ids[(~self.batched(ids).isnan()).any(dim=1).numpy()]

    def classes_of(self, ids: pd.Index) -> np.ndarray:
        """Return `UNLABELLED`, (N,): there is no single class."""
        return np.full(len(ids), UNLABELLED)

    def column(self, ids: pd.Index) -> np.ndarray:
        """Return class indices or values of all tasks, (N, Y)."""
        return self.known.loc[ids].to_numpy()

    def batched(self, ids: pd.Index) -> torch.Tensor:
        """Return the labels as batches have them.

        Returns:
            (N, Y) with a column of class indices or values for each task, followed by its shares of
            the classes, if any; NaN where there is none.
        """
        columns = []
        for task in self.target.tasks:
            columns.append(self.known.loc[ids, [task.name]].to_numpy())
            if task.name in self.soft:
                columns.append(self.soft[task.name].loc[ids].to_numpy())
        return torch.tensor(np.concatenate(columns, axis=1)).float()

    def heads(self, train: pd.Index, *, balanced: bool) -> tuple[Head, ...]:
        """Return what a model predicts of each task.

        Args:
            train: Training utterances of which any label may be used.
            balanced: Weight classes inversely to their frequency, by task.
        """
        return tuple(
            self._head(task, self.known.loc[train, task.name], balanced)
            for task in self.target.tasks
        )

    def _head(self, task: Target, labels: pd.Series, balanced: bool) -> Head:
        known = labels.dropna().to_numpy()
        if task.is_value:
            values = torch.tensor(known).float()
            return Head(task.name, 0, weight=task.loss_weight, values=values)
        classes = len(task.classes)
        weights = balanced_weights(known.astype(int), classes) if balanced else None
        soft = task.name in self.soft
        return Head(task.name, classes, soft, weight=task.loss_weight, class_weights=weights)


def _with_copies(table: pd.DataFrame, copies: pd.Series) -> pd.DataFrame:
    """Return a table with rows of copies of utterances; each has the row of its utterance."""
    return pd.concat([table, table.loc[copies].set_axis(copies.index)])
