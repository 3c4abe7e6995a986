"""What is printed of evaluations of several runs, or under several conditions."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ser.arguments import program
from ser.console import (
    DISTRIBUTION_SCORES,
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
    for task, each in by_task(evaluations):
        _print_task_range(task, each)
    print(f"{program()} report {run} shows them beside the runs' own tests")


def _print_task_range(task: str, evaluations: Records) -> None:
    """Print the mean and range of the scores of one task; its name is empty if there is one."""
    score = score_names(evaluations[0]["test"])[0]
    values = _scores(evaluations, score)
    unit = "%" if score == "UA" else ""
    mean, low, high = (
        format_score(score, each) + unit for each in (_mean(values), min(values), max(values))
    )
    print(
        f"{len(evaluations)} runs on {evaluations[0]['corpus']}{', ' if task else ''}{task}: "
        f"mean {score} {mean}, from {low} to {high}"
    )
    if names := _of_shares(evaluations):
        means = (f"{name} {_mean(_scores(evaluations, name)):.3f}" for name in names)
        print(f"  against the shares of raters: mean {', '.join(means)}")


def print_robustness(run: Path, evaluations: Mapping[str, Records]) -> None:
    """Print the mean scores of runs on corrupted audio.

    Args:
        run: Folder of the runs.
        evaluations: By the name of the condition; the first one is without corruption.
    """
    clean, *_ = evaluations.values()
    count = "" if len(clean) == 1 else f", mean of {len(clean)} runs"
    console.print(f"\n{system(clean[0])}{count}")
    for task, _ in by_task(clean):
        console.print(_robustness_table(task, {n: _of(e, task) for n, e in evaluations.items()}))
    print_remarks(evaluations[list(evaluations)[-1]][0]["remarks"])
    console.print(f"\n{program()} report {relative_path(run)} writes a table with all runs")


def _robustness_table(task: str, evaluations: Mapping[str, Records]) -> Table:
    """Return a row of mean scores by condition, of one task."""
    clean, *_ = evaluations.values()
    first = clean[0]
    score, *others = [name for name in score_names(first["test"]) if name != "F1"]
    others += _of_shares([record for each in evaluations.values() for record in each])
    table = Table(box=None, header_style="bold")
    table.add_column(f"{task or 'test'} %" if score == "UA" else task or "test")
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
    return table


def by_task(records: Records) -> list[tuple[str, Records]]:
    """Return the records with the scores of each task alone, by its name; "" if there is one."""
    tasks = records[0]["test"].get("tasks")
    return [("", records)] if tasks is None else [(name, _of(records, name)) for name in tasks]


def _of(records: Records, task: str) -> Records:
    """Return the records with the scores of one task alone; of "" as they are."""
    if not task:
        return records
    return [{**each, "test": each["test"]["tasks"][task]} for each in records]


def _of_shares(records: Records) -> list[str]:
    """Return the names of the scores against the shares of raters, if all records have them."""
    has_them = all("kl" in record["test"] for record in records)
    return list(DISTRIBUTION_SCORES) if has_them else []


def _scores(records: Records, name: str) -> list[float]:
    """Return a score of each record; NaN where it is not defined."""
    key = DISTRIBUTION_SCORES.get(name, name.lower())
    scores = (record["test"][key] for record in records)
    return [math.nan if score is None else float(score) for score in scores]


def _mean(values: Iterable[Any]) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers)
