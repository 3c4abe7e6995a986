"""The numbers of a report as CSV files; scores are shares, not percent."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser.report import testing
from ser.report.cells import PARTS, Cell
from ser.report.contrasts import Contrast
from ser.report.counts import Counts
from ser.report.data import ReportData
from ser.report.gaps import Gap
from ser.report.gather import Run, costs
from ser.report.scores import JOINS, Summary, sample_sd, summary
from ser.results import csv_text

DIGITS = "%.6f"  # of shares: one of 10,039 utterances changes the fourth


def runs(data: ReportData) -> pd.DataFrame:
    """Return one row per finished run and split; `counted`: whether its seed is complete."""
    rows = [
        {
            **_names(cell),
            "seed": seed,
            "fold": fold,
            "part": part,
            "counted": seed in cell.seeds,
            "utterances": int(cell.scoring.count(run.parts[part].sums)),
            **_scored(cell, run.parts[part]),
        }
        for cell in data.cells
        for (seed, fold), run in cell.runs.items()
        for part in PARTS
        if part in run.parts
    ]
    names = ("system", "corpus", "target", "seed", "fold", "part", "counted", "utterances")
    own = [name for scoring in data.scorings for name in scoring.run_columns]
    return pd.DataFrame(rows, columns=[*names, *own])


def _scored(cell: Cell, counts: Counts) -> dict[str, float]:
    scores = cell.scoring.of(counts.sums, counts.details)
    return {name: float(value) for name, value in scores.items()}


def scores(data: ReportData) -> pd.DataFrame:
    """Return one row per cell, split and join: mean and standard deviation over complete seeds.

    `utterances` counts distinct ones, `predictions` those of one seed: more if folds overlap.
    """
    rows = [row for index in range(len(data.cells)) for row in _scores(data, index)]
    names = ["system", "corpus", "target", "part", "joined", "shown", "seeds", "seeds_planned"]
    names += ["folds", "utterances", "predictions"]
    names += [name for scoring in data.scorings for name in scoring.score_columns]
    names += ["ceiling"] if data.has_ceiling else []
    return pd.DataFrame(rows, columns=names)


def _scores(data: ReportData, index: int) -> Iterator[dict[str, Any]]:
    cell, interval = data.cells[index], data.intervals[index]
    for part in PARTS:
        summed = data.summaries[index] if part == cell.part else summary(cell, part)
        for joined in JOINS if summed else ():
            assert summed is not None
            row = {
                **_names(cell),
                "part": part,
                "joined": joined,
                "shown": (part, joined) == (cell.part, cell.joined),
                "seeds": len(cell.seeds),
                "seeds_planned": cell.planned,
                "folds": len(cell.folds),
                "utterances": summed.utterances,
                "predictions": summed.predictions,
                "ceiling": cell.ceiling,
                **cell.scoring.described(summed.truth),
                **_means(summed, joined),
            }
            name = cell.scoring.primary.name
            if interval is not None and (part, joined) == (cell.part, "pooled"):
                row |= {f"{name}_low": interval[0], f"{name}_high": interval[1]}
            yield row


def _means(summed: Summary, joined: str) -> dict[str, Any]:
    """Return means over seeds, and standard deviations."""
    values, scoring, folds = summed.seeds[joined], summed.scoring, summed.folds
    row: dict[str, Any] = {}
    for score in (*scoring.scores, *scoring.more):
        row |= {score.name: values[score.name].mean()}
        row |= {f"{score.name}_sd": sample_sd(values[score.name])}
        row |= {name: values[name].mean() for name in score.own_chance}
    name = scoring.primary.name
    row |= {f"fold_{name}_sd": sample_sd(folds)}
    row |= {f"fold_{name}_min": folds.min(), f"fold_{name}_max": folds.max()}
    if joined == "pooled" and scoring.has_proportions and not summed.overlap:
        row["p_chance"] = f"{summed.p_chance:.6g}"
    return row


def tests(data: ReportData) -> pd.DataFrame:
    """Return one row per test: difference of a score, p, and p with Holm's correction.

    `score` is what the difference is of: UA as a share, or CCC. `needed` is the number of speakers
    or sessions with which 80% of further experiments would show it.
    """
    names = ["kind", "main", "system", "reference", "corpus", "target", "part", "joined", "score"]
    names += ["n", "difference", "low", "high", "effect", "p", "p_holm", "needed", "verdict"]
    return pd.DataFrame([_test(test) for test in data.tests], columns=names)


def _test(test: Contrast) -> list[Any]:
    cell, result = test.cell, test.result
    head = [test.kind, test.is_main, cell.system, test.reference.system, *cell.column, cell.part]
    # These kinds join folds in one way, whatever the paper reports.
    joined = {"folds": "fold_mean", "speakers": "pooled", "sessions": "pooled"}
    head += [joined.get(test.kind, cell.joined), cell.scoring.primary.name, test.n]
    numbers: list[Any] = [None] * 6
    if result is not None:
        numbers = [result.difference, result.low, result.high, result.effect]
        # p may be small and has more digits.
        numbers += [f"{result.p:.6g}", f"{test.p_holm:.6g}"]
    needed = None if test.needed is None else testing.needed(test)
    return [*head, *numbers, needed, test.verdict]


def recalls(data: ReportData) -> pd.DataFrame:
    """Return one row per cell, join and class, on the split that the main table shows."""
    names = ["system", "corpus", "target", "part", "joined", "class"]
    rows = [
        [
            *_names(cell).values(),
            cell.part,
            joined,
            name,
            int(summed.support[number]),
            float(np.mean(summed.recalls[joined][:, number])),
            sample_sd(summed.recalls[joined][:, number]),
        ]
        for cell, summed in data.scored
        for joined in JOINS
        for number, name in enumerate(cell.classes)
    ]
    return pd.DataFrame(rows, columns=[*names, "utterances", "recall", "recall_sd"])


def slices(data: ReportData) -> pd.DataFrame:
    """Return one row per cell, column of `utterances.csv` and value."""
    names = ["system", "corpus", "target", "part", "by", "value"]
    names += ["utterances", "classes", "seeds"]
    names += [s.name for each in data.scorings for s in (each.primary, each.second)]
    rows = [
        {
            **_names(each.cell),
            "part": each.cell.part,
            "by": each.column,
            "value": each.value,
            "utterances": each.utterances,
            "classes": each.classes,
            "seeds": len(each.cell.seeds),
            **each.scores,
        }
        for each in data.slices
    ]
    return pd.DataFrame(rows, columns=names)


def gaps(data: ReportData) -> pd.DataFrame:
    """Return one row per cell and pair of groups of speakers."""
    names = ["system", "corpus", "target", "part", "score", "by", "group", "other"]
    names += ["speakers", "speakers_other", "value", "value_other"]
    names += ["gap", "low", "high", "p", "p_holm", "verdict"]
    return pd.DataFrame([_gap(gap) for gap in data.gaps], columns=names)


def _gap(gap: Gap) -> list[Any]:
    cell, result = gap.cell, gap.result
    head = [*_names(cell).values(), cell.part, cell.scoring.primary.name, gap.by, *gap.groups]
    numbers: list[Any] = [None] * 4
    if result is not None:
        numbers = [result.low, result.high, f"{result.p:.6g}", f"{gap.p_holm:.6g}"]
    difference = gap.scores[0] - gap.scores[1]
    return [*head, *gap.speakers, *gap.scores, difference, *numbers, gap.verdict]


def cost(data: ReportData) -> pd.DataFrame:
    """Return one row per finished run: what depends on machine and date.

    A run of several tasks has one row, that of its first task.
    """
    first: dict[Path, tuple[dict[str, Any], Run]] = {}
    for cell in data.cells:
        for (seed, fold), run in cell.runs.items():
            row = {**_names(cell), "seed": seed, "fold": fold}
            first.setdefault(run.planned.folder, (row, run))
    rows, runs = zip(*first.values(), strict=True)
    return pd.DataFrame(rows).join(costs(runs))


def csv(frame: pd.DataFrame) -> str:
    return csv_text(frame, DIGITS)


def _names(cell: Cell) -> dict[str, Any]:
    return {"system": cell.system, "corpus": cell.corpus, "target": cell.target}
