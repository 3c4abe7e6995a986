"""What all targets have in common: classes, a value, or several tasks."""

from dataclasses import dataclass, field, replace
from difflib import get_close_matches

import numpy as np
import pandas as pd

from ser.corpora import Corpus
from ser.data.raters import Ratings
from ser.errors import UserError


@dataclass(frozen=True)
class Target:
    """The labels of the utterances that a target selects: classes, or values.

    Attributes:
        name: E.g. "emotion".
        classes: Class names, in the order of every table, matrix and probability column; none if
            the target is a value, or has several tasks.
        labels: Class name or value by utterance id, of the selected utterances only. Of several
            tasks, the class, or level of a value, of the first task that labels the utterance.
        labelled_fraction: Fraction of the training labels that may be used. Validation and test
            keep all labels, for scoring.
        labelled_seed: Seed of the draw of these labels.
        remarks: Rules that the corpus does not allow; printed with the scores.
        levels: Class by utterance id of a target that is a value, by which folds and draws are
            balanced; None if the target has classes.
        ratings: Single ratings of the utterances and of others; None: the corpus has none.
        shares: Share of the raters of each utterance for each class, (N, C), which a model learns
            and is scored against; None: it learns the label.
        weights: Weight of each utterance in training; None: all weigh the same.
        tied: Utterances that have shares, but no label by majority. `labels` has the first class
            of the tie, for folds and counts; they are left out of the scores of classes.
        tasks: Targets that are predicted together, each with the utterances that it labels itself;
            none if there is one task, which is the target itself.
        loss_weight: Weight of the loss of a task among those of other tasks.
    """

    name: str
    classes: tuple[str, ...]
    labels: pd.Series
    labelled_fraction: float = 1.0
    labelled_seed: int = 0
    remarks: tuple[str, ...] = ()
    levels: pd.Series | None = None
    ratings: Ratings | None = None
    shares: pd.DataFrame | None = None
    weights: pd.Series | None = None
    tied: pd.Index = field(default_factory=lambda: pd.Index([]))
    tasks: tuple["Target", ...] = ()
    loss_weight: float = 1.0

    def withheld(self, train: pd.Index) -> pd.Index:
        """Return the training utterances whose labels may not be used.

        They are drawn per class, or level of a value. At least one utterance of each keeps its
        label. Of several tasks, an utterance keeps all of its labels or none.

        Args:
            train: Utterance ids of the training split.
        """
        if self.labelled_fraction == 1.0:
            return train[:0]
        rng = np.random.default_rng(self.labelled_seed)
        labelled: list[str] = []
        strata = self.strata.loc[train]
        for _, group in strata.groupby(strata):
            count = max(1, round(self.labelled_fraction * len(group)))
            labelled += list(rng.choice(group.index.sort_values().to_numpy(), count, replace=False))
        return train.difference(pd.Index(labelled))

    def require_training_classes(self, fold: int, train: pd.Index) -> None:
        """Check that the training split of a fold has utterances of every class, or two values.

        Raises:
            UserError: A class of any task has none, or all values are equal.
        """
        for task in self.tasks:
            task.require_training_classes(fold, train.intersection(task.labels.index))
        if self.tasks:
            return
        if self.is_value and self.labels.loc[train].nunique() < 2:
            raise UserError(
                f"fold {fold}: the training utterances have less than two values of {self.name}: "
                "choose another fold"
            )
        present = set(self.labels.loc[train])
        if absent := [name for name in self.classes if name not in present]:
            raise UserError(
                f"fold {fold}: no training utterance has class {absent[0]} of {self.name}; "
                "leave the class out of target.classes, or choose another fold"
            )

    def require_validation_labels(self, fold: int, val: pd.Index) -> None:
        """Check that the validation split of a fold has labels of every task.

        Raises:
            UserError: Of one task it has none.
        """
        for task in self.tasks:
            if val.intersection(task.labels.index).empty:
                raise UserError(
                    f"fold {fold}: no validation utterance has a label of {task.name}: leave it "
                    "out of target.names, or choose another fold"
                )

    def only(self, utterances: pd.Index) -> "Target":
        """Return the same target, restricted to some utterances."""
        # By id, because labels may be those of fewer utterances than the rest.
        kept = self.labels.index[self.labels.index.isin(utterances)]
        parts = {
            name: None if each is None else each.loc[kept]
            for name, each in (
                ("labels", self.labels),
                ("levels", self.levels),
                ("shares", self.shares),
                ("weights", self.weights),
            )
        }
        tasks = tuple(task.only(utterances) for task in self.tasks)
        return replace(self, tasks=tasks, **parts)  # type: ignore[arg-type]

    @property
    def is_value(self) -> bool:
        return not self.classes and not self.tasks

    @property
    def truth(self) -> pd.Series:
        """Label by utterance id against which predictions are scored; missing after a tie."""
        if self.tied.empty:
            return self.labels
        return self.labels.mask(self.labels.index.isin(self.tied))

    @property
    def strata(self) -> pd.Series:
        """Class by utterance id by which folds are balanced: of a value, its level.

        Of several tasks, that of the first task that labels the utterance.
        """
        return self.labels if self.levels is None else self.levels

    @property
    def codes(self) -> pd.Series:
        """Class index by utterance id."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return self.labels.map(numbers).astype(np.int64)


def require_fraction(labelled_fraction: float) -> None:
    if not 0 < labelled_fraction <= 1:
        raise UserError(
            f"target.labelled_fraction={labelled_fraction} must be above 0 and at most 1"
        )


def require_all_classes(corpus: Corpus, target: Target, labels: pd.Series) -> None:
    counts = labels.value_counts()
    for name in target.classes:
        if counts.get(name, 0) == 0:
            close = get_close_matches(name, [str(c) for c in counts.index], n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            listing = ", ".join(f"{label} {count}" for label, count in counts.items())
            raise UserError(
                f"target {target.name}: no utterance of corpus {corpus.name} has class "
                f"{name}{hint}; its classes: {listing or 'none'}"
            )
    if len(target.classes) < 2:
        raise UserError(f"target {target.name} needs at least two classes, not {target.classes}")
