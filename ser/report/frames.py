"""The numbers of a report as CSV files; scores are shares, not percent."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics
from ser.report.cells import PARTS, Cell
from ser.report.contrasts import Contrast
from ser.report.data import ReportData
from ser.report.gather import costs
from ser.report.scores import ALL_SCORES, JOINS, sample_sd, summary
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
            "utterances": int(run.parts[part].confusion.sum()),
            **metrics.scores(run.parts[part].confusion),
            "ece": metrics.expected_calibration_error(run.parts[part].reliability),
        }
        for cell in data.cells
        for (seed, fold), run in cell.runs.items()
        for part in PARTS
        if part in run.parts
    ]
    names = ("system", "corpus", "target", "seed", "fold", "part", "counted", "utterances")
    return pd.DataFrame(rows, columns=[*names, *ALL_SCORES, "ece"])


def scores(data: ReportData) -> pd.DataFrame:
    """Return one row per cell, split and join: mean and standard deviation over complete seeds.

    `utterances` counts distinct ones, `predictions` those of one seed: more if folds overlap.
    """
    rows = [row for index in range(len(data.cells)) for row in _scores(data, index)]
    names = ["system", "corpus", "target", "part", "joined", "shown", "seeds", "seeds_planned"]
    names += ["folds", "utterances", "predictions", "classes", "ua", "ua_sd", "ua_low", "ua_high"]
    names += ["chance_ua", "p_chance"]
    names += ["wa", "wa_sd", "majority_wa", "f1", "f1_sd", "ece", "ece_sd"]
    names += ["fold_ua_sd", "fold_ua_min", "fold_ua_max"]
    return pd.DataFrame(rows, columns=names)


def _scores(data: ReportData, index: int) -> Iterator[dict[str, Any]]:
    cell, interval = data.cells[index], data.intervals[index]
    for part in PARTS:
        summed = data.summaries[index] if part == cell.part else summary(cell, part)
        for joined in JOINS if summed else ():
            assert summed is not None
            values = summed.seeds[joined]
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
            }
            for name in ("ua", "wa", "f1", "ece"):
                row |= {name: values[name].mean(), f"{name}_sd": sample_sd(values[name])}
            for name in ("chance_ua", "majority_wa"):
                row[name] = values[name].mean()
            folds = summed.folds
            row |= {"fold_ua_sd": sample_sd(folds)}
            row |= {"fold_ua_min": folds.min(), "fold_ua_max": folds.max()}
            if joined == "pooled" and not summed.overlap:
                row["p_chance"] = f"{summed.p_chance:.6g}"
            has_interval = interval is not None and (part, joined) == (cell.part, "pooled")
            low, high = interval if interval and has_interval else (None, None)
            yield row | {"ua_low": low, "ua_high": high, "classes": _classes(cell, summed.support)}


def tests(data: ReportData) -> pd.DataFrame:
    """Return one row per test: difference of shares, p, and p with Holm's correction."""
    names = ["kind", "system", "reference", "corpus", "target", "part", "joined", "n", "difference"]
    names += ["low", "high", "effect", "p", "p_holm", "verdict"]
    return pd.DataFrame([_test(test) for test in data.tests], columns=names)


def _test(test: Contrast) -> list[Any]:
    cell, result = test.cell, test.result
    head = [test.kind, cell.system, test.reference.system, cell.corpus, cell.target, cell.part]
    # These kinds join folds in one way, whatever the paper reports.
    joined = {"folds": "fold_mean", "speakers": "pooled"}.get(test.kind, cell.joined)
    numbers: list[Any] = [None] * 6
    if result is not None:
        numbers = [result.difference, result.low, result.high, result.effect]
        # p may be small and has more digits.
        numbers += [f"{result.p:.6g}", f"{test.p_holm:.6g}"]
    return [*head, joined, test.n, *numbers, test.verdict]


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
    names += ["utterances", "classes", "seeds", "ua", "wa"]
    rows = [
        [
            *_names(each.cell).values(),
            each.cell.part,
            each.column,
            each.value,
            each.utterances,
            each.classes,
            len(each.cell.seeds),
            each.ua,
            each.wa,
        ]
        for each in data.slices
    ]
    return pd.DataFrame(rows, columns=names)


def cost(data: ReportData) -> pd.DataFrame:
    """Return one row per finished run: what depends on machine and date."""
    names = [
        {**_names(cell), "seed": seed, "fold": fold}
        for cell in data.cells
        for seed, fold in cell.runs
    ]
    return pd.DataFrame(names).join(
        costs([run for cell in data.cells for run in cell.runs.values()])
    )


def csv(frame: pd.DataFrame) -> str:
    return csv_text(frame, DIGITS)


def _names(cell: Cell) -> dict[str, Any]:
    return {"system": cell.system, "corpus": cell.corpus, "target": cell.target}


def _classes(cell: Cell, support: np.ndarray) -> str:
    counts = zip(cell.classes, support, strict=True)
    return " ".join(f"{name}:{count}" for name, count in counts)
