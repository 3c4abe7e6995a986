"""Throughput of a sweep: runs in series against one single-threaded worker per CPU core.

    python benchmarks/sweep.py [--runs 16]

Trains runs of the AAE on the demo corpus both ways. Prints seconds, including the start of the
workers, and their ratio; and the time of a sweep whose runs are all finished.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parent.parent / "train.py"


def time_sweep(folder: Path, launcher: str, runs: int) -> float:
    """Return the seconds that a sweep takes.

    Args:
        folder: Folder for the runs.
        launcher: Hydra launcher.
        runs: Number of runs, each with a seed of its own.
    """
    started = time.monotonic()
    subprocess.run(
        [
            sys.executable, str(TRAIN), "-m", "model=aae", f"seed=range({runs})",
            f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=16)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        time_sweep(folder / "first", "basic", 1)  # makes the corpus and the features
        serial = time_sweep(folder / "serial", "basic", runs)
        parallel = time_sweep(folder / "joblib", "joblib", runs)
        finished = time_sweep(folder / "joblib", "joblib", runs)
    workers = len(os.sched_getaffinity(0))
    print(f"{runs} runs in series: {serial:.1f} s")
    print(f"{workers} workers: {parallel:.1f} s, {serial / parallel:.2f} times the throughput")
    print(f"all runs already finished: {finished:.1f} s")


if __name__ == "__main__":
    main()
