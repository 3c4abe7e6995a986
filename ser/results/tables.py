"""The tables of a run: predictions and utterances as data frames, and scores computed from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics

TASK = "task"  # column of `predictions.csv`, if there are several tasks
# Columns of a corpus that are copied to `utterances.csv`, where the corpus has them.
DESCRIBED = (
    *("speaker", "gender", "age", "session", "style", "emotion", "activation", "valence"),
    *("corpus", "language", "split"),
)


def predictions(
    split: str,
    truth: pd.Series,
    predicted: np.ndarray,
    classes: Sequence[str],
    shares: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the rows of `predictions.csv` for one split.

    Args:
        split: "val" or "test".
        truth: Class name or value by utterance id, N of them; missing without a majority of raters.
        predicted: (N, C) probabilities, or (N, 1) values.
        classes: C names; none: values.
        shares: Share of the raters for each class, (N, C) and more; None: they are not scored.

    Returns:
        Columns `utterance, part, truth, prediction`, `p_<class>` for each class, and `t_<class>`
        with the shares.
    """
    table = pd.DataFrame({"utterance": truth.index, "part": split, "truth": truth.to_numpy()})
    if not classes:
        table["prediction"] = predicted[:, 0].astype(float)
        return table
    table["prediction"] = np.asarray(classes)[predicted.argmax(axis=1)]
    table = table.join(pd.DataFrame(predicted, columns=[f"p_{name}" for name in classes]))
    if shares is None:
        return table
    return table.join(shares.loc[truth.index].add_prefix("t_").reset_index(drop=True))


def task_predictions(
    split: str,
    ids: pd.Index,
    truth: Mapping[str, pd.Series],
    predicted: np.ndarray,
    tasks: Mapping[str, Sequence[str]],
    shares: Mapping[str, pd.DataFrame | None] = {},
) -> pd.DataFrame:
    """Return the rows of `predictions.csv` for one split and several tasks.

    Args:
        split: "val" or "test".
        ids: N utterance ids.
        truth: By task, class name or value by utterance id, of those that have a label; missing
            without a majority of raters.
        predicted: (N, W) probabilities and values, side by side in the order of the tasks.
        tasks: Classes of each task; none: a value.
        shares: By task, share of the raters for each class, (N, C) and more; None, or no entry:
            they are not scored.

    Returns:
        A row per labelled utterance and task: `utterance, part, task, truth, prediction`, and
        `p_<class>` for the classes of all tasks, NaN where the class is of another task; likewise
        `t_<class>` with the shares.
    """
    ends = np.cumsum([len(classes) or 1 for classes in tasks.values()])
    parts = []
    for (task, classes), own in zip(
        tasks.items(), np.split(predicted, ends[:-1], axis=1), strict=True
    ):
        known = ids.isin(truth[task].index)
        of_task = shares.get(task)
        rows = predictions(split, truth[task].loc[ids[known]], own[known], classes, of_task)
        rows.insert(2, TASK, task)
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def utterances(splits: Mapping[str, pd.Index], corpus: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `utterances.csv`, by which reports slice scores and colour codes.

    Args:
        splits: Utterance ids of each split.
        corpus: Table of a corpus.

    Returns:
        One row per utterance with `utterance, part` and the columns of `DESCRIBED` that the corpus
        has. Where the corpus has texts and there is a training split, `text` is "seen" if a
        training utterance has the same text, else "new".
    """
    ids = pd.Index(np.concatenate(list(splits.values())))
    table = corpus.loc[ids, [name for name in DESCRIBED if name in corpus]]
    table = table.rename_axis("utterance")
    table.insert(0, "part", np.repeat(list(splits), [len(each) for each in splits.values()]))
    if "text" in corpus and "train" in splits:
        texts = corpus["text"]
        seen = texts.loc[ids].isin(texts.loc[splits["train"]].dropna())
        table["text"] = np.where(seen, "seen", "new")
    return table.reset_index()


def confusion(table: pd.DataFrame, split: str, classes: Sequence[str]) -> np.ndarray:
    """Return the confusion matrix of one split of `predictions.csv`, (C, C).

    Utterances without a majority of raters are left out.
    """
    rows = table[(table["part"] == split) & table["truth"].isin(classes)]
    numbers = {name: number for number, name in enumerate(classes)}
    truth, prediction = (rows[c].map(numbers).to_numpy() for c in ("truth", "prediction"))
    return metrics.confusion_matrix(truth, prediction, len(classes))


def split_moments(table: pd.DataFrame, split: str) -> np.ndarray:
    """Return the moments (7,) of one split of a table of values (see `ser.metrics.moments`)."""
    rows = table[table["part"] == split]
    return metrics.moments(*(rows[c].to_numpy(float) for c in ("truth", "prediction")))


def split_scores(table: pd.DataFrame, split: str, classes: Sequence[str]) -> dict[str, Any] | None:
    """Return the scores of one split.

    Args:
        table: Table of `predictions.csv`.
        split: "val" or "test".
        classes: C names; none: values.

    Returns:
        Of classes scores, calibration error, recalls and confusion matrix, and with shares of
        raters KL, JS and calibration against them; of values CCC, Pearson's
        correlation (None if it is not defined), RMSE and MAE. None if the split is empty.
    """
    if not classes:
        moments = split_moments(table, split)
        scores = metrics.value_scores(moments)
        known = {name: None if np.isnan(value) else value for name, value in scores.items()}
        return known if moments[0] else None
    matrix = confusion(table, split, classes)
    if not matrix.any():
        return None
    recalls = metrics.recalls(matrix)
    whole = table[table["part"] == split]
    rows = whole[whole["truth"].isin(classes)]
    confidence = rows[[f"p_{name}" for name in classes]].max(axis=1).to_numpy()
    correct = (rows["prediction"] == rows["truth"]).to_numpy()
    return {
        **metrics.scores(matrix),
        "ece": metrics.expected_calibration_error(metrics.reliability(confidence, correct)),
        **_distribution_scores(whole, classes),
        "recall": {
            name: None if np.isnan(recall) else float(recall)
            for name, recall in zip(classes, recalls, strict=True)
        },
        "confusion": matrix.tolist(),
    }


def _distribution_scores(rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, float]:
    """Return KL, JS and calibration against the shares of raters; nothing if there are none."""
    shares = [f"t_{name}" for name in classes]
    # Of several tasks, others may have shares of classes of the same names.
    if not set(shares) <= set(rows) or rows[shares].isna().any(axis=None):
        return {}
    predicted = rows[[f"p_{name}" for name in classes]].to_numpy(float)
    return metrics.distribution_scores(rows[shares].to_numpy(float), predicted)


def task_scores(
    table: pd.DataFrame, split: str, tasks: Mapping[str, Sequence[str]]
) -> dict[str, Any] | None:
    """Return the scores of one split by task.

    Args:
        table: Table of `predictions.csv`.
        split: "val" or "test".
        tasks: Classes of each task; none: a value.

    Returns:
        {"tasks": scores by name}, without tasks of which no utterance has a label; None if the
        split is empty.
    """
    each = {
        name: split_scores(table[table[TASK] == name], split, classes)
        for name, classes in tasks.items()
    }
    known = {name: scores for name, scores in each.items() if scores is not None}
    return {"tasks": known} if known else None


def first_score(scores: Mapping[str, Any]) -> float:
    """Return the score of a split by which systems are compared: UA of classes, CCC of values.

    Of several tasks, it is the mean of their scores.

    Args:
        scores: Result of `split_scores` or `task_scores`.
    """
    if "tasks" in scores:
        return float(np.mean([first_score(of_task) for of_task in scores["tasks"].values()]))
    return scores["ua" if "ua" in scores else "ccc"] or 0.0
