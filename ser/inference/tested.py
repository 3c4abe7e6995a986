"""The labels that predictions of a run are compared with, of one task or of several."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ser.data.fingerprint import soft_facts
from ser.data.raters import agreement
from ser.data.targets import Target
from ser.inference.kinds import Kind, OneTask
from ser.results import TASK, predictions, split_scores, task_predictions, task_scores


@dataclass(frozen=True)
class Tested:
    """Labels of utterances that a run is tested on, and scores of its predictions.

    Attributes:
        kind: What the run predicts.
        labels: Class name or value by utterance id, by task; without a majority of raters, the
            first class of the tie. Tasks that the corpus lacks are absent.
        target: Labels of the corpus.
    """

    kind: Kind
    labels: Mapping[OneTask, pd.Series]
    target: Target

    @classmethod
    def of(cls, kind: Kind, corpus: str, target: Target, predicted: pd.DataFrame) -> "Tested":
        """Return the labels of a corpus that can be compared with predictions of a run.

        Args:
            kind: What the run predicts.
            corpus: Name of the corpus.
            target: Labels of the corpus.
            predicted: Table of `predictions.csv` of the run.

        Raises:
            UserError: Of a task there are none.
        """
        labels = {
            task: task.testable(corpus, own, rows_of(predicted, kind, task)["truth"])
            for task, own in matched(kind, target)
        }
        return cls(kind, labels, target)

    @property
    def is_several(self) -> bool:
        """Whether the run predicts several tasks, of which one or more are tested."""
        return not isinstance(self.kind, OneTask)

    @property
    def ids(self) -> pd.Index:
        """Utterances with a label of any task, in the order of the corpus."""
        first, *others = self.labels.values()
        if not others:
            return first.index
        known = set(first.index).union(*(each.index for each in others))
        every = self.target.labels.index
        return every[every.isin(known)]

    @property
    def truth(self) -> dict[OneTask, pd.Series]:
        """The labels by task; missing where raters have no majority."""
        return {
            task: self.labels[task].mask(self.labels[task].index.isin(own.tied))
            for task, own in self._matched
        }

    @property
    def classes(self) -> dict[str, list[str]]:
        """Classes of each tested task; none: a value."""
        return {task.target: list(task.names) for task in self.labels}

    @property
    def facts(self) -> dict[str, Any]:
        """Entries of `evaluation.json` about tasks, besides scores."""
        return {"tasks": self.classes} if self.is_several else {}

    @property
    def columns(self) -> list[pd.Series]:
        """Labels of all utterances by task, None where a task has none."""
        if len(self.labels) == 1:
            return list(self.labels.values())
        ids = self.ids
        wide = [each.astype(object).reindex(ids) for each in self.labels.values()]
        return [each.where(each.notna(), None) for each in wide]

    @property
    def _matched(self) -> list[tuple[OneTask, Target]]:
        return matched(self.kind, self.target)

    def counts(self) -> dict[str, int]:
        """Return the number of scored labels by class; empty of values and of several tasks."""
        if self.is_several:
            return {}
        ((task, labels),) = self.truth.items()
        return task.counts(labels)

    def raters(self) -> dict[str, Any] | None:
        """Return how well raters agree on the labels, by task if there are several; or None."""
        known = {
            task.target: agreement(own.ratings.of(self.labels[task].index))
            for task, own in self._matched
            if own.ratings is not None
        }
        if not known:
            return None
        return {"tasks": known} if self.is_several else next(iter(known.values()))

    def soft_facts(self) -> dict[str, Any]:
        """Return the shares of raters by task, for the key of an evaluation; empty without any."""
        known = {
            task.target: list(soft_facts(own, self.labels[task].index).values())
            for task, own in self._matched
            if own.shares is not None
        }
        return {"shares": known} if known else {}

    def table(self, rows: np.ndarray) -> pd.DataFrame:
        """Return `predictions.csv` of the predictions (N, width) of `ids`."""
        parts = [(task, own) for task, own in self.kind.split(rows) if task in self.labels]
        if not self.is_several:
            ((task, own),) = parts
            return predictions("test", self.truth[task], own, task.names, self.target.shares)
        truth = {task.target: labels for task, labels in self.truth.items()}
        shares = {task.target: own.shares for task, own in self._matched}
        wide = np.concatenate([own for _, own in parts], axis=1)
        return task_predictions("test", self.ids, truth, wide, self.classes, shares)

    def scores(self, table: pd.DataFrame) -> dict[str, Any] | None:
        """Return the scores of the result of `table`."""
        if self.is_several:
            return task_scores(table, "test", self.classes)
        (task,) = self.labels
        return split_scores(table, "test", task.names)

    def remarks(self, corpus: str) -> Iterator[str]:
        """Yield remarks on a test on another corpus."""
        for task, own in self._matched:
            about = f"{task.target}: " if self.is_several else ""
            for remark in task.remarks(corpus, own, self.truth[task]):
                yield about + remark
        if untested := [each.target for each in self.kind.tasks if each not in self.labels]:
            yield f"not tested on {corpus}: {', '.join(untested)}"


def matched(kind: Kind, target: Target) -> list[tuple[OneTask, Target]]:
    """Return the tasks of a run with their labels in a corpus, without those that it lacks."""
    if isinstance(kind, OneTask):
        return [(kind, target)]
    by_name = {each.name: each for each in target.tasks or (target,)}
    return [(task, by_name[task.target]) for task in kind.tasks if task.target in by_name]


def rows_of(table: pd.DataFrame, kind: Kind, task: OneTask) -> pd.DataFrame:
    """Return the rows of one task in a table of `predictions.csv`."""
    return table if isinstance(kind, OneTask) else table[table[TASK] == task.target]


def own_labels(kind: Kind, target: Target, predicted: pd.DataFrame) -> Target | None:
    """Return the labels of predicted utterances; None if they are not those in the table.

    Args:
        kind: What the run predicts.
        target: Labels of its corpus.
        predicted: Rows of `predictions.csv` of the run.
    """
    only = target.only(pd.Index(predicted["utterance"].unique()))
    if isinstance(kind, OneTask):
        return _with_truth(only, predicted)
    names = [task.target for task in kind.tasks]
    if [each.name for each in only.tasks] != names:
        return None
    tasks = [_with_truth(own, rows_of(predicted, kind, task)) for task, own in matched(kind, only)]
    known = tuple(each for each in tasks if each is not None)
    return replace(only, tasks=known) if len(known) == len(tasks) else None


def _with_truth(target: Target, predicted: pd.DataFrame) -> Target | None:
    """Return a target whose labels are the truth of a table; None if it has others."""
    truth = predicted.set_index("utterance")["truth"]
    known = target.truth.reindex(truth.index)
    if target.is_value:  # rounded in the file
        same = np.allclose(known, truth.astype(float))
    else:
        same = list(known.fillna("")) == list(truth)
    labels = target.labels.reindex(truth.index)
    return replace(target.only(truth.index), labels=labels) if same else None
