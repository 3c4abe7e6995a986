"""Benchmark of the report of 1,500 runs of the size of IEMOCAP, with made-up predictions.

    python benchmarks/report.py FOLDER [--systems 5] [--seeds 10] [--keep]

Writes the runs of parthasarathy2019, table 1, to FOLDER (5 systems, 3 targets, 10 folds, 10 seeds;
450 MB, deleted afterwards), each with predictions of about 1,000 utterances in val and in test, and
learning curves of 100 epochs. Prints

- seconds to read the runs, to test, to draw and write, and in total (bar: 10 s);
- the total as a multiple of only reading the CSV files of the runs with pandas;
- the size of the page.

Composing the grid, about 20 ms per run, is not included.
"""

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ser import results
from ser.report import summarise, write
from ser.report.gather import finished_runs
from ser.sweeps.grid import Grid
from ser.sweeps.planned import PlannedRun

SYSTEMS = ("utterance_baseline", "utterance_aae_vanilla", "utterance_aae")
SYSTEMS += ("frame_baseline", "frame_aae")
TARGETS = {"activation": 0.7, "valence": 0.5, "dominance": 0.55}  # accuracy of predictions
CLASSES = ("low", "neutral", "high")
SHARES = (0.15, 0.5, 0.35)  # of classes
SPEAKERS, UTTERANCES = 10, 10_039
EPOCHS = 100
PUBLISHED = {"activation": {"ua": 77.74, "sd": 0.35}, "valence": {"ua": 61.92, "sd": 0.22}}


def make_utterances(rng: np.random.Generator) -> list[pd.DataFrame]:
    """Return a table of utterances for each speaker."""
    tables = []
    for speaker in range(SPEAKERS):
        session, letter = speaker // 2 + 1, "FM"[speaker % 2]
        count = UTTERANCES // SPEAKERS
        styles = np.where(np.arange(count) % 2, "scripted", "improvised")
        names = [
            f"Ses{session:02d}{letter}_{style[:6]}{number // 40:02d}_{letter}{number % 40:03d}"
            for number, style in enumerate(styles)
        ]
        table = pd.DataFrame({"utterance": names, "speaker": f"{session}{letter}"})
        table["gender"] = "female" if letter == "F" else "male"
        table["session"], table["style"] = str(session), styles
        table["text"] = np.where(styles == "scripted", "seen", "new")
        for target in TARGETS:
            table[target] = rng.choice(CLASSES, size=count, p=SHARES)
        tables.append(table)
    return tables


def make(root: Path, systems: int, seeds: int, folds: int = SPEAKERS) -> Grid:
    """Write the folders of all runs, as `ser.runs.run` does, and return their grid."""
    rng = np.random.default_rng(0)
    tables = make_utterances(rng)
    runs = [
        planned(root, system, target, seed, fold)
        for system in SYSTEMS[:systems]
        for target in TARGETS
        for seed in range(seeds)
        for fold in range(folds)
    ]
    for run in runs:
        fold = {"val": tables[run.fold ^ 1], "test": tables[run.fold]}
        results.RunFolder(run.folder).write_utterances(utterances(fold))
        table = pd.concat(predictions(rng, run, *part) for part in fold.items())
        results.RunFolder(run.folder).write_predictions(table)
        curves(rng).to_csv(run.folder / results.METRICS, index=False)
        cost = {"seconds": 45.0 + run.fold, "date": "2026-01-01", "threads": 1, "commit": "abc"}
        results.write_json(run.folder / results.COST, cost)
        (run.folder / results.RESULT).write_text(json.dumps(result(run, table)))
    return Grid("made-up", tuple(runs), SYSTEMS[0])


def planned(root: Path, system: str, target: str, seed: int, fold: int) -> PlannedRun:
    choices = {"corpus": "iemocap", "target": target, "model": "aae", "experiment": f"x/{system}"}
    paper = {"key": "parthasarathy2019", "table": 1, "row": SYSTEMS.index(system) + 1}
    paper |= {"joined": "pooled", "part": "test", "published": PUBLISHED, "corpus": "iemocap"}
    folder = root / system / target / f"fold-{fold}-seed-{seed}"
    return PlannedRun(
        folder=folder,
        system=system,
        choices=choices,
        fold=fold,
        seed=seed,
        paper=paper,
        overrides=(),
        variant=system,
    )


def utterances(fold: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(
        table.drop(columns=list(TARGETS)).assign(part=part) for part, table in fold.items()
    )


def predictions(
    rng: np.random.Generator, run: PlannedRun, part: str, table: pd.DataFrame
) -> pd.DataFrame:
    """Make up predictions; systems differ a little in accuracy, and so do folds."""
    truth = table.set_index("utterance")[run.choices["target"]]
    rate = TARGETS[run.choices["target"]] + 0.01 * SYSTEMS.index(run.system)
    rate += 0.02 * np.sin(run.fold) + 0.004 * rng.normal()
    is_true = np.asarray(truth)[:, None] == np.array(CLASSES)
    is_correct = rng.random(len(truth)) < rate
    scored = rng.random((len(truth), len(CLASSES))) + np.where(
        is_correct[:, None], is_true, ~is_true
    )
    probabilities = scored / scored.sum(axis=1, keepdims=True)
    return results.predictions(part, truth, probabilities, CLASSES)


def curves(rng: np.random.Generator) -> pd.DataFrame:
    """Return what an AAE records, one row per epoch."""
    epochs = np.arange(EPOCHS)
    table = pd.DataFrame({"epoch": epochs})
    for name, scale in (("reconstruction", 2), ("generator", 1), ("classification", 1)):
        noise = rng.lognormal(sigma=0.1, size=EPOCHS)
        table[f"train/{name}_loss"] = scale * np.exp(-epochs / 30) * noise + 0.05
    table["train/discriminator_loss"] = 1.4 + 0.05 * rng.normal(size=EPOCHS)
    table["val/ua"] = 0.6 - 0.3 * np.exp(-epochs / 15) + 0.01 * rng.normal(size=EPOCHS)
    for number in range(15):
        table[f"val/r2_{number}"] = rng.random(EPOCHS)
    return table


def result(run: PlannedRun, table: pd.DataFrame) -> dict[str, object]:
    counts = table.groupby("part")["truth"].value_counts()
    by_part = {part: counts[part].to_dict() for part in ("val", "test")}
    return {
        "classes": CLASSES,
        "class_counts": by_part | {"train": {"low": 1200, "neutral": 4000, "high": 2800}},
        "fold_count": SPEAKERS,
        "fold_index": run.fold,
        "seed": run.seed,
        "remarks": ["made-up predictions"],
        "run_key": "0" * 16,
    }


def read_csv(grid: Grid) -> Iterator[pd.DataFrame]:
    for run in grid.runs:
        for name in (results.PREDICTIONS, results.UTTERANCES, results.METRICS):
            yield pd.read_csv(run.folder / name)


class Watch:
    """Wall-clock seconds, and processor seconds, which other programs affect less."""

    def __init__(self) -> None:
        self.total = np.zeros(2)
        self._last = self._now()

    def lap(self, what: str) -> None:
        took, self._last = self._now() - self._last, self._now()
        self.total += took
        print(f"{what:24} {took[0]:6.2f} s wall clock, {took[1]:6.2f} s processor")

    @staticmethod
    def _now() -> np.ndarray:
        return np.array([time.perf_counter(), time.process_time()])


def measure(out: Path, grid: Grid) -> None:
    reading = Watch()
    for table in read_csv(grid):
        del table
    reading.lap("only reading the CSV")
    watch = Watch()
    runs = finished_runs(grid)
    watch.lap("read and count")
    data = summarise(grid, runs)
    watch.lap("test")
    write(data, out)
    watch.lap("score, draw, write")
    clock, processor = watch.total
    ratio = clock / reading.total[0]
    print(f"total: {clock:.1f} s wall clock (bar: 10), {processor:.1f} s processor,")
    print(f"{ratio:.2f} times only reading")
    print(f"index.html: {(out / 'index.html').stat().st_size / 1e6:.2f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the runs: 450 MB")
    parser.add_argument("--systems", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--keep", action="store_true", help="keep runs and report")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        grid = make(root / "runs", options.systems, options.seeds)
        print(f"{len(grid.runs):,} runs in {root}")
        measure(root / "report", grid)
    finally:
        if not options.keep:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
