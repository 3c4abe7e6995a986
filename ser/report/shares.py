"""Predictions against the shares of raters, reduced to sums that add up over folds and speakers.

Sums are (SUMS,): the number of utterances, the sums of KL divergence and Jensen-Shannon distance,
and the counts of `metrics.distribution_reliability`. Utterances without majority count, too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics
from ser.report.scoring import Score
from ser.results import PREDICTIONS, TASK, ResultFolder

SUMS = 3 + 3 * metrics.BINS
SCORES = (
    Score("kl", "KL", in_percent=False),
    Score("js", "JS", in_percent=False),
    Score("ece_distribution", "calibration error", in_percent=False),
)
# Sums by split and speaker, "" if the speaker is unknown.
BySpeaker = Mapping[str, Mapping[str, np.ndarray]]


def read(
    folder: ResultFolder, result: Mapping[str, Any], task: str | None, classes: Sequence[str]
) -> BySpeaker:
    """Return the sums of a run and task; empty if it is not scored against shares.

    Raises:
        ValueError: The predictions do not give the recorded scores.
    """
    recorded = {part: recorded_scores(result, part, task) for part in ("val", "test")}
    parts = [part for part, scores in recorded.items() if "kl" in scores]
    if not parts:
        return {}
    table = rows_of(folder, task)
    table = table.assign(speaker=_speakers(folder, table["utterance"]))
    by_part = {
        part: {
            str(name): sums(group, classes)
            for name, group in table[table["part"] == part].groupby("speaker")
        }
        for part in parts
    }
    for part, by_speaker in by_part.items():
        for name, value in scores(sum(by_speaker.values(), np.zeros(SUMS))).items():
            if not math.isclose(value, recorded[part][name], abs_tol=1e-6):
                raise ValueError(f"{PREDICTIONS} gives another {name} of {part}")
    return by_part


def rows_of(folder: ResultFolder, task: str | None) -> pd.DataFrame:
    """Return the rows of `predictions.csv`, of one task if there are several."""
    table = folder.read_predictions()
    return table if task is None else table[table[TASK] == task]


def sums(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the sums of rows of `predictions.csv`, (SUMS,)."""
    t, p = (table[[f"{kind}_{name}" for name in classes]].to_numpy(float) for kind in "tp")
    divergences = metrics.kl_divergence(t, np.maximum(p, metrics.SMALLEST)).sum()
    distances = metrics.jensen_shannon_distance(t, p).sum()
    bins = metrics.distribution_reliability(t, p)
    return np.concatenate([[len(t), divergences, distances], bins.ravel()])


def scores(summed: np.ndarray) -> dict[str, Any]:
    """Return the scores of sums (..., SUMS) by name, (...); NaN without utterances."""
    count = np.where(summed[..., 0] > 0, summed[..., 0], np.nan)
    bins = summed[..., 3:].reshape(*summed.shape[:-1], metrics.BINS, 3)
    errors = np.abs(bins[..., 2] - bins[..., 1]).sum(axis=-1)
    values = (summed[..., 1], summed[..., 2], errors)
    return {score.name: value / count for score, value in zip(SCORES, values, strict=True)}


def recorded_scores(result: Mapping[str, Any], part: str, task: str | None) -> Mapping[str, Any]:
    """Return the recorded scores of a split, and task if there are several; empty without any."""
    of_part = result.get(part) or {}
    return of_part if task is None else of_part.get("tasks", {}).get(task, {})


def _speakers(folder: ResultFolder, ids: pd.Series) -> np.ndarray:
    """Return the speaker of each utterance; "" where it is unknown."""
    known = folder.read_utterances() if folder.utterances_file.exists() else None
    if known is None or "speaker" not in known:
        return np.full(len(ids), "")
    by_utterance = known.drop_duplicates("utterance").set_index("utterance")["speaker"]
    return by_utterance.reindex(ids).fillna("").to_numpy(str)
