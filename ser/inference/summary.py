"""What is printed of evaluations of several runs, or under several conditions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ser.arguments import program
from ser.console import (
    console,
    format_score,
    print_remarks,
    relative_path,
    score_names,
    system,
)

Records = Sequence[Mapping[str, Any]]  # content of `evaluation.json`, or `result.json`, of runs


def print_range(run: Path, evaluations: Records) -> None:
    """Print the mean and range of the scores of several runs on another corpus.

    Args:
        run: Folder of the runs.
        evaluations: One of each run.
    """
    score = score_names(evaluations[0]["test"])[0]
    values = _scores(evaluations, score)
    unit = "%" if score == "UA" else ""
    mean, low, high = (
        format_score(score, each) + unit for each in (_mean(values), min(values), max(values))
    )
    print(
        f"{len(evaluations)} runs on {evaluations[0]['corpus']}: mean {score} {mean}, "
        f"from {low} to {high}\n"
        f"{program()} report {run} shows them beside the runs' own tests"
    )


def print_robustness(run: Path, evaluations: Mapping[str, Records]) -> None:
    """Print the mean scores of runs on corrupted audio.

    Args:
        run: Folder of the runs.
        evaluations: By the name of the condition; the first one is without corruption.
    """
    clean, *_ = evaluations.values()
    first = clean[0]
    count = "" if len(clean) == 1 else f", mean of {len(clean)} runs"
    score, *others = [name for name in score_names(first["test"]) if name != "F1"]
    table = Table(box=None, header_style="bold")
    table.add_column("test %" if score == "UA" else "test")
    for head in (score, "change", *others, "unlike the training data"):
        table.add_column(head, justify="right")
    for name, each in evaluations.items():
        change = _mean(_scores(each, score)) - _mean(_scores(clean, score))
        unlike = [record.get("unlike_training") for record in each]
        table.add_row(
            name,
            format_score(score, _mean(_scores(each, score))),
            format_score(score, change, "+") if each is not clean else "",
            *(format_score(other, _mean(_scores(each, other))) for other in others),
            "" if None in unlike else f"{100 * _mean(unlike):.1f}",
        )
    console.print(f"\n{system(first)}{count}")
    console.print(table)
    print_remarks(evaluations[list(evaluations)[-1]][0]["remarks"])
    console.print(f"\n{program()} report {relative_path(run)} writes a table with all runs")


def _scores(records: Records, name: str) -> list[float]:
    """Return a score of each record; NaN where it is not defined."""
    scores = (record["test"][name.lower()] for record in records)
    return [math.nan if score is None else float(score) for score in scores]


def _mean(values: Iterable[Any]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
