"""Folders of finished runs with made-up predictions, written as `ser.runs` does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser import metrics, results
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun

CLASSES = ("low", "neutral", "high")
SPEAKERS = ("1F", "1M", "2F", "2M", "3F", "3M")
EACH = 30  # utterances per speaker
ACCURACY = {"mlp": 0.55, "aae": 0.7}  # of test predictions, by system


def planned(
    root: Path,
    system: str = "mlp",
    seed: int = 0,
    fold: int = 0,
    target: str = "activation",
    corpus: str = "iemocap",
    paper: Mapping[str, Any] | None = None,
    varied: Mapping[str, str] | None = None,
) -> PlannedRun:
    options = varied or {}
    system = " ".join([system, *(f"{key}={value}" for key, value in options.items())])
    return PlannedRun(
        folder=root / corpus / target / system / f"fold-{fold}-seed-{seed}",
        system=system,
        choices={"corpus": corpus, "target": target, "model": "mlp"},
        fold=fold,
        seed=seed,
        paper=paper,
        overrides=(),
        variant=system,
        varied=options,
    )


@cache
def utterances(fold: int) -> pd.DataFrame:
    """Return `utterances.csv` of a fold, as by `session_swap`; do not modify.

    One speaker of a session is in val, the other in test, and four train: folds 0 and 1, 2 and 3,
    4 and 5 share their training split.
    """
    tables = []
    others = [number for number in range(len(SPEAKERS)) if number // 2 != fold // 2]
    parts = [*(("train", number) for number in others), ("val", fold ^ 1), ("test", fold)]
    for part, number in parts:
        speaker = SPEAKERS[number]
        table = pd.DataFrame({"utterance": [f"{speaker}_{i:02d}" for i in range(EACH)]})
        table["part"], table["speaker"] = part, speaker
        table["gender"] = {"F": "female", "M": "male"}[speaker[1]]
        table["session"] = speaker[0]
        table["style"] = np.where(np.arange(EACH) % 2, "scripted", "improvised")
        table["text"] = np.where(np.arange(EACH) % 3, "seen", "new")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def truth(fold: int, part: str, classes: Sequence[str] = CLASSES) -> np.ndarray:
    """Return class numbers of a split, the same for all systems and seeds."""
    return np.random.default_rng([fold, part == "test"]).integers(0, len(classes), EACH)


def write(
    run: PlannedRun,
    predicted: Mapping[str, np.ndarray] | None = None,
    classes: Sequence[str] = CLASSES,
    **facts: Any,
) -> PlannedRun:
    """Write a finished run.

    Args:
        run: Run with its folder.
        predicted: Class numbers by split; None to make them up by system, seed and fold.
        classes: Names.
        facts: Replacements in `result.json`.
    """
    table = utterances(run.fold)
    parts = []
    for part in ("val", "test"):
        true = truth(run.fold, part, classes)
        made_up = predicted is None
        numbers = _predict(run, part, true, len(classes)) if made_up else predicted[part]
        rows = pd.Series(np.array(classes)[true], index=table["utterance"][table["part"] == part])
        probabilities = np.eye(len(classes))[numbers]
        parts.append(results.predictions(part, rows, probabilities, classes))
    counts = {part: {name: 1 for name in classes} for part in ("train", "val", "test")}
    return _write(run, pd.concat(parts), {"classes": list(classes), "class_counts": counts} | facts)


def write_values(run: PlannedRun, tasks: Sequence[str] = (), **facts: Any) -> PlannedRun:
    """Write a finished run whose target is a value, or several of them.

    The truth is the same for all systems and seeds, and predictions have a noise of their own.

    Args:
        run: Run with its folder.
        tasks: Names of the tasks; empty if there is but one.
        facts: Replacements in `result.json`.
    """
    table, parts, scores = utterances(run.fold), [], {}
    for part in ("val", "test"):
        ids = table["utterance"][table["part"] == part].to_numpy()
        of_part = {}
        for task in tasks or [run.choices["target"]]:
            true, predicted = predict_value(run, part, task)
            values = {"utterance": ids, "part": part, "truth": true, "prediction": predicted}
            parts.append(pd.DataFrame(values))
            if tasks:
                parts[-1].insert(2, "task", task)
            of_part[task] = metrics.value_scores(metrics.moments(true, predicted))
        scores[part] = {"tasks": of_part} if tasks else next(iter(of_part.values()))
    facts = {"tasks": {task: [] for task in tasks}} | facts if tasks else facts
    return _write(run, pd.concat(parts), {"classes": [], "class_counts": {}, **scores} | facts)


def predict_value(run: PlannedRun, part: str, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the truth of a task, means of three ratings, and the predictions of a run."""
    rng = np.random.default_rng([run.fold, part == "test", *map(ord, task)])
    true = rng.integers(6, 31, EACH) / 6
    rng = np.random.default_rng([run.seed, run.fold, part == "test", *map(ord, run.system)])
    noise = 1.5 * (1 - ACCURACY.get(run.system, 0.6))
    return true, 3 + 0.7 * (true - 3) + rng.normal(0, noise, EACH)


def _write(run: PlannedRun, predictions: pd.DataFrame, facts: Mapping[str, Any]) -> PlannedRun:
    folder = results.RunFolder(run.folder)
    folder.write_predictions(predictions)
    folder.write_utterances(utterances(run.fold))
    epochs = np.arange(12)
    curves = pd.DataFrame({"epoch": epochs, "train/loss": np.exp(-epochs / (3 + run.seed))})
    curves["val/ua" if facts["classes"] else "val/ccc"] = 0.6 - 0.3 * np.exp(-epochs / 4)
    results.write_text(run.folder / results.METRICS, curves.to_csv(index=False))
    cost = {"seconds": 10.0, "date": "2026-01-01T00:00:00+00:00", "threads": 1, "commit": "abc"}
    results.write_json(run.folder / results.COST, cost)
    result = {
        "fitted_on": {"splits": ["train"], "utterances": 4 * EACH},
        "fold_count": len(SPEAKERS),
        "speaker_independent": True,
        "versions": {"ser": "0.3.0", "torch": "2.11.0"},
        "remarks": [],
    }
    results.write_json(run.folder / results.RESULT, result | dict(facts))
    return run


def _predict(run: PlannedRun, part: str, true: np.ndarray, classes: int) -> np.ndarray:
    rng = np.random.default_rng([len(run.system), ord(run.system[0]), run.seed, run.fold])
    rng = rng if part == "test" else np.random.default_rng([run.seed, run.fold])
    is_correct = rng.random(len(true)) < ACCURACY.get(run.system, 0.6)
    return np.where(is_correct, true, (true + rng.integers(1, classes, len(true))) % classes)


def plan_grid(
    root: Path,
    systems: Sequence[str] = ("mlp", "aae"),
    seeds: int = 3,
    folds: int = 6,
    targets: Sequence[str] = ("activation",),
    baseline: str | None = "mlp",
    **options: Any,
) -> Grid:
    """Return a grid without writing any run."""
    runs = [
        planned(root, system, seed, fold, target, **options)
        for system in systems
        for target in targets
        for seed in range(seeds)
        for fold in range(folds)
    ]
    return Grid("made_up", tuple(runs), baseline)


def write_grid(root: Path, *args: Any, **options: Any) -> Grid:
    """Write a grid whose runs are all finished; arguments as of `plan_grid`."""
    grid = plan_grid(root, *args, **options)
    for run in grid.runs:
        write(run)
    return grid


def without(grid: Grid, is_missing: Callable[[PlannedRun], bool]) -> Grid:
    """Return a grid in which some runs have no folder, without changing any folder."""
    runs = (
        replace(run, folder=run.folder / "missing") if is_missing(run) else run for run in grid.runs
    )
    return replace(grid, runs=tuple(runs))


def represent(
    run: PlannedRun,
    size: int = 2,
    classes: Sequence[str] = CLASSES,
    *,
    sides: Sequence[str] = ("train", "test"),
    utterance: str | None = None,
    **facts: Any,
) -> PlannedRun:
    """Add a representation to a finished run.

    Args:
        run: Run with its folder.
        size: Number of values of a code.
        classes: Names.
        sides: Splits whose losses were recorded; empty if it was not trained by epochs.
        utterance: Name of the first training utterance; None for a usual name.
        facts: Content of `fitted.json`, beside the size.
    """
    folder = run.folder / results.REPRESENTATION
    table = utterances(run.fold).query("part != 'train'")[["utterance", "part"]]
    trained = [f"{s}_{i:02d}" for s in SPEAKERS for i in range(EACH)]
    trained = [name for name in trained if name not in set(table["utterance"])]
    trained[0] = utterance or trained[0]
    table = pd.concat([pd.DataFrame({"utterance": trained, "part": "train"}), table])
    numbers = [np.arange(len(trained)) % len(classes)]
    numbers += [truth(run.fold, part, classes) for part in ("val", "test")]
    table["truth"] = np.array(classes)[np.concatenate(numbers)]
    rng = np.random.default_rng([run.seed, run.fold, size])
    for number in range(size):
        table[f"code_{number}"] = rng.normal(size=len(table)) + np.concatenate(numbers)
    results.write_text(folder / results.CODES, table.to_csv(index=False, float_format="%.9g"))
    results.write_json(folder / results.FITTED, {"size": size, **facts})
    losses = {"epoch": np.arange(20.0), "train/code_real_accuracy": np.full(20, 0.5)}
    for side in sides:
        for phase in ("reconstruction", "discriminator", "generator"):
            losses[f"{side}/{phase}_loss"] = rng.random(20) + len(phase)
    if sides:
        text = pd.DataFrame(losses).to_csv(index=False)
        results.write_text(folder / results.METRICS, text)
    return run


def confusion(runs: Sequence[PlannedRun], part: str = "test") -> np.ndarray:
    """Count predictions one by one, from the files."""
    matrix = np.zeros((3, 3), int)
    for run in runs:
        table = results.RunFolder(run.folder).read_predictions()
        for row in table[table["part"] == part].itertuples():
            matrix[CLASSES.index(str(row.truth)), CLASSES.index(str(row.prediction))] += 1
    return matrix
