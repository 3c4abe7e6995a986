"""The report's numbers as they are, for whoever reckons on: scores are shares, not percent."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics
from ser.report.comparisons import Contrast
from ser.report.findings import Findings
from ser.report.gather import Run, costs
from ser.report.scores import ALL_SCORES, JOINS, PARTS, Cell, sample_sd, summary

DIGITS = "%.6f"  # of shares: 10,039 utterances move the fourth


def runs(found: Findings) -> pd.DataFrame:
    """One row a finished run and part; `counted`: its seed has every fold."""
    rows = [
        {
            **_named(cell),
            "seed": seed,
            "fold": fold,
            "part": part,
            "counted": seed in cell.seeds,
            "utterances": int(counts.confusion.sum()),
            **metrics.scores(counts.confusion),
            "ece": metrics.expected_calibration_error(counts.reliability),
        }
        for cell in found.cells
        for (seed, fold), run in cell.runs.items()
        for part, counts in _parts(run)
    ]
    names = ("system", "corpus", "target", "seed", "fold", "part", "counted", "utterances")
    return pd.DataFrame(rows, columns=[*names, *ALL_SCORES, "ece"])


def scores(found: Findings) -> pd.DataFrame:
    """One row a cell, part and join: mean and standard deviation over complete seeds."""
    rows = [row for index in range(len(found.cells)) for row in _scores(found, index)]
    names = ["system", "corpus", "target", "part", "joined", "shown", "seeds", "seeds_planned"]
    names += ["folds", "utterances", "classes", "ua", "ua_sd", "ua_low", "ua_high"]
    names += ["chance_ua", "p_guessing"]
    names += ["wa", "wa_sd", "majority_wa", "f1", "f1_sd", "ece", "ece_sd"]
    names += ["fold_ua_sd", "fold_ua_min", "fold_ua_max"]
    return pd.DataFrame(rows, columns=names)


def _scores(found: Findings, index: int) -> Iterator[dict[str, Any]]:
    cell, interval = found.cells[index], found.intervals[index]
    for part in PARTS:
        told = found.summaries[index] if part == cell.part else summary(cell, part)
        for joined in JOINS if told else ():
            assert told is not None
            values = told.seeds[joined]
            row = {
                **_named(cell),
                "part": part,
                "joined": joined,
                "shown": (part, joined) == (cell.part, cell.joined),
                "seeds": len(cell.seeds),
                "seeds_planned": cell.planned,
                "folds": len(cell.folds),
                "utterances": told.utterances,
            }
            for name in ("ua", "wa", "f1", "ece"):
                row |= {name: values[name].mean(), f"{name}_sd": sample_sd(values[name])}
            for name in ("chance_ua", "majority_wa"):
                row[name] = values[name].mean()
            folds = told.folds
            row |= {"fold_ua_sd": sample_sd(folds)}
            row |= {"fold_ua_min": folds.min(), "fold_ua_max": folds.max()}
            if joined == "pooled":
                row["p_guessing"] = f"{told.p_guessing:.6g}"
            is_drawn = interval is not None and (part, joined) == (cell.part, "pooled")
            low, high = interval if interval and is_drawn else (None, None)
            yield row | {"ua_low": low, "ua_high": high, "classes": _classes(cell, told.support)}


def tests(found: Findings) -> pd.DataFrame:
    """One row a test: differences in shares, p as it is and corrected (Holm)."""
    names = ["kind", "system", "baseline", "corpus", "target", "part", "joined", "n", "difference"]
    names += ["low", "high", "effect", "p", "p_holm", "verdict"]
    return pd.DataFrame([_test(test) for test in found.tests], columns=names)


def _test(test: Contrast) -> list[Any]:
    cell, told = test.cell, test.found
    head = [test.kind, cell.system, test.baseline.system, cell.corpus, cell.target, cell.part]
    # Each of these has one way of joining folds, whatever the paper's.
    joined = {"folds": "fold_mean", "speakers": "pooled"}.get(test.kind, cell.joined)
    numbers: list[Any] = [None] * 6
    if told is not None:
        numbers = [told.difference, told.low, told.high, told.effect]
        # More digits than the rest: p may be small.
        numbers += [f"{told.p:.6g}", f"{test.p_holm:.6g}"]
    return [*head, joined, test.n, *numbers, test.verdict]


def recalls(found: Findings) -> pd.DataFrame:
    """One row a cell, join and class, on the part that the main table shows."""
    names = ["system", "corpus", "target", "part", "joined", "class"]
    rows = [
        [
            *_named(cell).values(),
            cell.part,
            joined,
            name,
            int(summed.support[number]),
            float(np.mean(summed.recalls[joined][:, number])),
            sample_sd(summed.recalls[joined][:, number]),
        ]
        for cell, summed in found.scored
        for joined in JOINS
        for number, name in enumerate(cell.classes)
    ]
    return pd.DataFrame(rows, columns=[*names, "utterances", "recall", "recall_sd"])


def slices(found: Findings) -> pd.DataFrame:
    """One row a cell, column of `utterances.csv` and value."""
    names = ["system", "corpus", "target", "part", "by", "value"]
    names += ["utterances", "classes", "seeds", "ua", "wa"]
    rows = [
        [
            *_named(each.cell).values(),
            each.cell.part,
            each.column,
            each.value,
            each.utterances,
            each.classes,
            len(each.cell.seeds),
            each.ua,
            each.wa,
        ]
        for each in found.slices
    ]
    return pd.DataFrame(rows, columns=names)


def cost(found: Findings) -> pd.DataFrame:
    """One row a finished run: what differs from machine to machine and day to day."""
    made = [run for cell in found.cells for run in cell.runs.values()]
    names = [
        {**_named(cell), "seed": seed, "fold": fold}
        for cell in found.cells
        for seed, fold in cell.runs
    ]
    return pd.DataFrame(names).join(costs(made))


def csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, float_format=DIGITS, lineterminator="\n")


def _named(cell: Cell) -> dict[str, Any]:
    return {"system": cell.system, "corpus": cell.corpus, "target": cell.target}


def _parts(run: Run) -> Iterator[tuple[str, Any]]:
    return ((part, run.parts[part]) for part in PARTS if part in run.parts)


def _classes(cell: Cell, support: Any) -> str:
    counts = zip(cell.classes, support, strict=True)
    return " ".join(f"{name}:{count}" for name, count in counts)
