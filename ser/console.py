"""Terminal output of runs and evaluations."""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ser.arguments import program, train_program
from ser.errors import last_line

log = logging.getLogger(__name__)
CLASS_SCORES, VALUE_SCORES = ("UA", "WA", "F1"), ("CCC", "Pearson", "RMSE", "MAE")
ONE_RATER = "one rater, against the others"
DISTRIBUTION_SCORES = {"KL": "kl", "JS": "js", "calibration error": "ece_distribution"}
console = Console(highlight=False, soft_wrap=True)


@contextmanager
def quiet(brief: bool) -> Iterator[None]:
    """Print warnings only, if `brief`; `train.log` in the run's folder has all messages."""
    handlers = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]
    levels = [handler.level for handler in handlers]
    was_quiet = console.quiet
    if brief:
        console.quiet = True
        for handler in handlers:
            handler.setLevel(logging.WARNING)
    try:
        yield
    finally:
        console.quiet = was_quiet
        for handler, level in zip(handlers, levels, strict=True):
            handler.setLevel(level)


def report(folder: Path, result: Mapping[str, Any], seconds: float, experiment: str | None) -> None:
    """Print a run's scores on the test split, or on validation if there is no test split.

    Args:
        folder: Folder of the run.
        result: Content of `result.json`.
        seconds: Time that the run took.
        experiment: Name of one of many runs, because those of a paper may differ in options alone;
            None: the name of its model.
    """
    split = "test" if result["test"] else "val"
    scores = result[split]
    if console.quiet:
        name = system(result, experiment)
        print(f"{name}: {split} {first_score(scores)}, {seconds:.0f} s", flush=True)
        return
    console.print()
    if "tasks" in scores:
        sets = {split: scores, **({"validation": result["val"]} if split == "test" else {})}
        _print_tasks(system(result), result, sets | result.get("test_sets", {}))
    else:
        table = _scores(split, system(result), scores)
        if split == "test":
            table.add_row("on validation", *_cells(result["val"]), style="dim")
        if raters := result.get("raters"):
            table.add_row(ONE_RATER, *_raters(raters.get(split, raters), scores))
        for name, of_set in result.get("test_sets", {}).items():
            table.add_row(name, *_cells(of_set))
        console.print(table)
        console.print()
        _print_classes(split, result["classes"], scores)
    _print_shares(scores)
    print_remarks(result["remarks"])
    console.print(f"\nResults: {relative_path(folder)}")
    _print_next(relative_path(folder), result["system"]["corpus"])


def _print_tasks(
    name_of_run: str, result: Mapping[str, Any], sets: Mapping[str, Mapping[str, Any] | None]
) -> None:
    """Print the scores of several tasks: a table of values, one of classes, and confusions.

    Args:
        name_of_run: What is written above the tables.
        result: Content of `result.json` or `evaluation.json`.
        sets: Scores by name of the utterances, those with confusions first.
    """
    first, tested = next(iter(sets.items()))
    assert tested is not None
    rows = [
        (name, on, scores["tasks"][name])
        for name in result["tasks"]
        for on, scores in sets.items()
        if scores and name in scores["tasks"]
    ]
    raters = (result.get("raters") or {}).get("tasks") or {}
    for heads in (VALUE_SCORES, CLASS_SCORES):
        is_value = heads == VALUE_SCORES
        table = Table("task", "" if is_value else "%", box=None, header_style="bold")
        for head in (*heads, f"chance {heads[0]}", "one rater"):
            table.add_column(head, justify="right")
        for name, on, scores in rows:
            if is_value == ("ccc" in scores):
                chance = "0.000" if is_value else f"{100 * scores['chance_ua']:.1f}"
                style = "dim" if on == "validation" else None
                of_task = raters.get(name)
                ceiling = _raters(of_task.get(on, of_task), scores) if of_task else []
                table.add_row(name, on, *_cells(scores), chance, *ceiling, style=style)
        if table.row_count:
            console.print(f"{name_of_run}\n")
            console.print(table)
            console.print()
    for name, scores in tested["tasks"].items():
        _print_classes(f"{first} of {name}", result["tasks"][name], scores)


def _print_classes(where: str, classes: list[str], scores: Mapping[str, Any]) -> None:
    """Print the confusions of the classes of a task, and a warning about classes without any."""
    if classes:
        console.print(_confusion(classes, scores))
    if absent := _absent(scores):
        log.warning("%s: absent from %s, and left out of UA and F1", ", ".join(absent), where)


def _print_shares(scores: Mapping[str, Any]) -> None:
    """Print the scores against the shares of raters, of each task that has any."""
    for name, of_task in scores.get("tasks", {"": scores}).items():
        if "kl" in of_task:
            numbers = (f"{title} {of_task[key]:.3f}" for title, key in DISTRIBUTION_SCORES.items())
            task = f", {name}" if name else ""
            console.print(f"\nshares of raters{task}: {', '.join(numbers)}")


def _print_next(folder: Path, corpus: str) -> None:
    """Print the commands that are useful after a first run."""
    console.print("\nNext")
    console.print(f"  {program()} predict {folder} recording.wav", markup=False)
    if corpus == "demo":
        train = train_program()
        console.print(f"  {train} model=aae")
        console.print(f"  {train} grid=demo && {program()} report grid=demo")


def one_of_many(result: Mapping[str, Any], command: str) -> None:
    """Print how much of the corpus one fold has tested, and the command that trains all folds.

    Args:
        result: Content of `result.json`.
        command: The command that trains all folds.
    """
    if result["fold_count"] == 1:
        return
    speakers = result["speakers"]
    everyone = {name for names in speakers.values() for name in names}
    console.print(
        f"\nOne fold says little about the corpus: this is one of {result['fold_count']} and tests "
        f"{len(speakers['test'])} of {len(everyone)} speakers. All folds, pooled:\n  {command}",
        markup=False,
    )


def evaluated(folder: Path, evaluation: Mapping[str, Any], *, brief: bool) -> None:
    """Print the scores of a run on a corpus that it was not trained on.

    Args:
        folder: Folder of the evaluation.
        evaluation: Content of `evaluation.json`.
        brief: Print one line.
    """
    name = f"{system(evaluation)}, trained on {evaluation['system']['corpus']}"
    corpus, scores = evaluation["corpus"], evaluation["test"]
    unlike = evaluation.get("unlike_training")  # unknown of earlier runs
    if brief:
        share = "" if unlike is None else f", {100 * unlike:.0f}% unlike the training data"
        print(f"{name}: {corpus} {first_score(scores)}{share}", flush=True)
        return
    console.print()
    if "tasks" in scores:
        _print_tasks(name, evaluation, {corpus: scores})
    else:
        table = _scores(corpus, name, scores)
        if raters := evaluation.get("raters"):
            table.add_row(ONE_RATER, *_raters(raters, scores))
        console.print(table)
        console.print()
    # A row for each class that the corpus has, a column for each that the run predicts.
    if evaluation["classes"]:
        console.print(_confusion(evaluation["classes"], scores, leave_out=_absent(scores)))
    _print_shares(scores)
    if unlike is not None:
        silent = f"contain no speech: {100 * evaluation['no_speech']:.1f}%"
        console.print(f"unlike the training data: {100 * unlike:.1f}%; {silent}")
    print_remarks(evaluation["remarks"])
    console.print(f"\nResults: {relative_path(folder)}")


def _scores(head: str, name: str, scores: Mapping[str, Any]) -> Table:
    """Return a table with a row of scores, and one of the chance level."""
    is_value = "ccc" in scores
    table = Table(box=None, header_style="bold")
    table.add_column(head if is_value else f"{head} %")
    for score in score_names(scores):
        table.add_column(score, justify="right")
    table.add_row(name, *_cells(scores))
    if is_value:
        table.add_row("chance (CCC)", "0.000", "", "", "")
    else:
        chance = (f"{100 * scores[key]:.1f}" for key in ("chance_ua", "majority_wa"))
        table.add_row("chance (UA), largest class (WA)", *chance, "")
    return table


def _cells(scores: Mapping[str, Any]) -> list[str]:
    """Return the cells of a row of scores."""
    return [format_score(name, scores[name.lower()]) for name in score_names(scores)]


def score_names(scores: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the scores of a split, the one by which systems are compared first."""
    return VALUE_SCORES if "ccc" in scores else CLASS_SCORES


def format_score(score: str, value: float | None, sign: str = "") -> str:
    """Format a score: of classes in percent, of values as it is; None: it is not defined."""
    if value is None or math.isnan(value):
        return "-"
    return f"{100 * value:{sign}.1f}" if score in CLASS_SCORES else f"{value:{sign}.3f}"


def _raters(agreement: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    """Return the cells of a row with the score of one rater, in the first column."""
    value = agreement["ceiling"].get("ccc" if "ccc" in scores else "ua")
    if value is None:
        return ["-"]
    return [f"{value:.3f}" if "ccc" in scores else f"{100 * value:.1f}"]


def first_score(scores: Mapping[str, Any]) -> str:
    """Return the score by which systems are compared, e.g. "UA 61.9%" or "CCC 0.614".

    Of several tasks, it is a list: "activation CCC 0.614, valence CCC 0.308".
    """
    if "tasks" in scores:
        return ", ".join(f"{name} {first_score(each)}" for name, each in scores["tasks"].items())
    cell = _cells(scores)[0]
    return f"CCC {cell}" if "ccc" in scores else f"UA {cell}%"


def _absent(scores: Mapping[str, Any]) -> list[str]:
    return [name for name, recall in scores.get("recall", {}).items() if recall is None]


def failed(folder: Path, error: Exception) -> None:
    """Print which of many runs failed; the error of a single run is printed by `train.py`."""
    if console.quiet:
        print(f"failed: {relative_path(folder)}: {last_line(error)}", flush=True)


def finished_before(folder: Path, result: Mapping[str, Any]) -> None:
    """Print that a run is already finished, and its score."""
    split = "test" if result["test"] else "val"
    score = first_score(result[split])
    console.print(
        f"{relative_path(folder)} is finished: {split} {score} (force=true trains it again)"
    )
    print_remarks(result["remarks"])


def relative_path(folder: Path) -> Path:
    """Return the path of a folder relative to the working folder, if it is below it."""
    working = Path.cwd()
    return folder.relative_to(working) if folder.is_relative_to(working) else folder


def print_remarks(remarks: list[str]) -> None:
    """Print remarks that concern every score of a run."""
    for remark in remarks:
        console.print(f"[yellow]{remark}[/yellow]")


def _confusion(
    classes: list[str], scores: Mapping[str, Any], leave_out: Sequence[str] = ()
) -> Table:
    table = Table(box=None, header_style="bold", collapse_padding=True)
    table.add_column("true \\ predicted", no_wrap=True)
    letters = 6 if len(classes) < 8 else 5  # so that eight classes fit into eighty columns
    for name in classes:
        table.add_column(name[:letters], justify="right", no_wrap=True)
    table.add_column("recall %", justify="right")
    for name, row in zip(classes, scores["confusion"], strict=True):
        if name in leave_out:
            continue
        recall = scores["recall"][name]
        text = "absent" if recall is None else f"{100 * recall:.1f}"
        cells = [f"[bold]{n}[/bold]" if classes[i] == name else str(n) for i, n in enumerate(row)]
        table.add_row(name, *cells, text)
    return table


def ceiling(agreement: Mapping[str, Any]) -> str:
    """Return the score of one rater against the others, e.g. "UA 70.4%" or "CCC 0.766".

    Args:
        agreement: Result of `ser.data.raters.agreement`.
    """
    ((name, value),) = agreement["ceiling"].items()
    if value is None:
        return "-"
    return f"CCC {value:.3f}" if name == "ccc" else f"UA {100 * value:.1f}%"


def system(result: Mapping[str, Any], experiment: str | None = None) -> str:
    """Return the name of a run: its experiment or its model and features, with fold and seed."""
    names = result["system"]
    codes = f"{names['representation']} of " if "representation" in names else ""
    name = f"{names['model']} on {codes}{names['features']}"
    name = experiment.rpartition("/")[2] if experiment else name
    return f"{name}, {names['fold']} {result['fold_index']}, seed {result['seed']}"
