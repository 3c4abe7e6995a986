"""Several tasks as one target: attributes, and emotions beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd

from ser.corpora import Corpus
from ser.data.targets.emotions import emotion
from ser.data.targets.target import Target
from ser.data.targets.values import Bins, attribute
from ser.errors import UserError

TaskName = Literal["activation", "valence", "dominance", "emotion"]
NAMES = ("emotion", "activation", "valence", "dominance")


def attributes(
    corpus: Corpus,
    *,
    names: Sequence[TaskName],
    bins: Bins | None,
    classes: Sequence[str] | None,
    merge: Mapping[str, str] | None,
    loss_weights: Mapping[str, float],
    styles: Sequence[str] | None,
    labelled_fraction: float,
    labelled_seed: int,
    labels: Literal["majority", "distribution"] | None = None,
    weights: Literal["agreement"] | None = None,
) -> Target:
    """Select utterances by several attributes, and by emotion, which a model predicts together.

    An utterance needs a label of one task only. Without a label of another one, it has no part in
    the loss and in the scores of that task.

    Args:
        corpus: Corpus with the labels.
        names: Tasks in the order of every table: "activation", "valence", "dominance", "emotion".
            Of a single one, the target is the same as `attribute` or `emotion` returns.
        bins: As of `attribute`, for all attributes.
        classes, merge: As of `emotion`, if it is one of the tasks.
        loss_weights: Weights of the losses by name.
        styles, labelled_fraction, labelled_seed: As of `attribute`. Labels are withheld by
            utterance.
        labels, weights: As of `attribute` and `emotion`, for all tasks of classes. None, as in
            configurations before there was a choice: each has its default.

    Raises:
        UserError: The corpus lacks a task or the given styles, a class is empty, or values have
            another scale than `bins`.
    """

    def task(name: TaskName) -> Target:
        if name == "emotion":
            target = emotion(
                corpus,
                classes=classes,
                merge=merge,
                styles=styles,
                min_agreement=0,
                labelled_fraction=labelled_fraction,
                labelled_seed=labelled_seed,
                labels=labels or "corpus",
                weights=weights,
            )
        else:
            target = attribute(
                corpus,
                name=name,
                bins=bins,
                styles=styles,
                labelled_fraction=labelled_fraction,
                labelled_seed=labelled_seed,
                # A value has neither classes nor shares.
                labels=labels or "mean" if bins is not None else "mean",
                weights=weights if bins is not None else None,
            )
        return replace(target, loss_weight=loss_weights[name])

    if len(names) > 1:
        _require_columns(corpus, names)
    tasks = tuple(task(name) for name in names)
    if len(tasks) == 1:
        return tasks[0]
    return joined(corpus, tasks)


def joined(corpus: Corpus, tasks: Sequence[Target]) -> Target:
    """Return several tasks of a corpus as one target."""
    strata = pd.concat([each.strata.astype(str) for each in tasks])
    strata = strata[~strata.index.duplicated()]  # that of the first task
    return Target(
        "attributes",
        (),
        # In the order of the corpus, as labels of one task are.
        strata.loc[corpus.table.index.intersection(strata.index)].rename("label"),
        tasks[0].labelled_fraction,
        tasks[0].labelled_seed,
        remarks=_remarks(tasks),
        tasks=tuple(tasks),
    )


def _require_columns(corpus: Corpus, names: Sequence[str]) -> None:
    """Raise a UserError that names the tasks of a corpus, unless it has all of several."""
    known = [name for name in NAMES if name in corpus.table and corpus.table[name].notna().any()]
    absent = [name for name in names if name not in known]
    if absent and len(absent) < len(names):
        left = ",".join(name for name in names if name in known)
        raise UserError(
            f"corpus {corpus.name} has no {', '.join(absent)}; its targets are "
            f"{', '.join(known)}: target.names=[{left}]"
        )


def _remarks(tasks: Sequence[Target]) -> tuple[str, ...]:
    """Return the remarks of all tasks, each once, with the names of its tasks."""
    names: dict[str, list[str]] = {}
    for task in tasks:
        for remark in task.remarks:
            names.setdefault(remark, []).append(task.name)
    return tuple(f"{', '.join(of_remark)}: {remark}" for remark, of_remark in names.items())
