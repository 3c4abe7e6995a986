"""The table of scores against the shares of raters, with intervals over speakers."""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ser.report import shares, statistics
from ser.report.cells import Cell
from ser.report.contrasts import DRAWS, stacked
from ser.report.data import ReportData
from ser.report.scores import sample_sd
from ser.report.tables import Table

TITLE = "Against the shares of raters"
LIMITS = (0.0, float("inf"))
NOTES = (
    "KL: mean Kullback-Leibler divergence of the predicted probabilities from the share of the "
    "raters for each class, in nats. JS: mean Jensen-Shannon distance, from 0 to 0.833. "
    "Calibration error: difference between confidence and the share of raters who chose the "
    "predicted class, over 15 bins. 0 is best of each. Folds pooled, mean ± standard deviation "
    "over seeds; 95%: bootstrap over the tested speakers. Utterances without a majority of raters "
    "are among them, which have no part in UA.",
)


def table(data: ReportData) -> Table | None:
    """Return a row per system that has learned or is scored by shares; None if there is none."""
    rows = []
    for cell, sums in _measured(data):
        texts = []
        for score in shares.SCORES:
            values = shares.scores(sums.sum(axis=1))[score.name]
            texts.append(score.spread(float(values.mean()), sample_sd(values)))
            texts.append(score.interval(_interval(sums, score.name)))
        rows.append((data.column_name(cell.column), cell.system, *texts))
    if not rows:
        return None
    heads = [head for score in shares.SCORES for head in (score.title, "95%")]
    return Table(TITLE, ("target", "system", *heads), tuple(rows), 2, notes=NOTES)


def frame(data: ReportData) -> pd.DataFrame:
    """Return the numbers of `table`: mean, standard deviation and interval of each score."""
    rows = []
    for cell, sums in _measured(data):
        row: dict[str, Any] = {
            **{"system": cell.system, "corpus": cell.corpus, "target": cell.target},
            **{"part": cell.part, "seeds": len(sums), "speakers": sums.shape[1]},
            "utterances": int(sums[0, :, 0].sum()),
        }
        for score in shares.SCORES:
            values = shares.scores(sums.sum(axis=1))[score.name]
            low, high = _interval(sums, score.name) or (np.nan, np.nan)
            row |= {score.name: values.mean(), f"{score.name}_sd": sample_sd(values)}
            row |= {f"{score.name}_low": low, f"{score.name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _measured(data: ReportData) -> Iterator[tuple[Cell, np.ndarray]]:
    """Yield cells with sums by seed and speaker, (S, K, SUMS), target by target."""
    for column in data.columns:
        for cell in data.cells:
            runs = cell.complete_runs
            if cell.column == column and runs and all(cell.part in run.shares for run in runs):
                yield cell, _by_speaker(cell)


def _by_speaker(cell: Cell) -> np.ndarray:
    numbers = {seed: number for number, seed in enumerate(cell.seeds)}
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((len(numbers), shares.SUMS)))
    for run in cell.complete_runs:
        for speaker, of_speaker in run.shares[cell.part].items():
            sums[speaker][numbers[run.planned.seed]] += of_speaker
    return stacked(sums)


def _interval(sums: np.ndarray, name: str) -> tuple[float, float] | None:
    drawn = statistics.weights(sums.shape[1], DRAWS)
    return statistics.speaker_interval(sums, drawn, partial(_resampled, name=name), LIMITS)


def _resampled(sums: np.ndarray, drawn: np.ndarray, name: str) -> np.ndarray:
    """Return a score of resampled speakers, mean over seeds, (B,)."""
    return shares.scores(np.einsum("bk,skd->bsd", drawn, sums))[name].mean(axis=1)
