"""How many runs an hour: one after the other against one single-threaded worker a core.

    python benchmarks/sweep.py              16 runs of the AAE on the demo corpus, each way

Prints seconds and the ratio, starting the workers included; and what a sweep costs whose runs are
all finished, beyond composing their configs.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = Path(__file__).parent.parent / "train.py"


def timed(folder: Path, launcher: str, runs: int) -> float:
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
    with tempfile.TemporaryDirectory() as place:
        timed(Path(place) / "first", "basic", 1)  # corpus and features are there from now on
        serial = timed(Path(place) / "serial", "basic", runs)
        side_by_side = timed(Path(place) / "joblib", "joblib", runs)
        again = timed(Path(place) / "joblib", "joblib", runs)
    workers = len(os.sched_getaffinity(0))
    print(f"{runs} runs one by one: {serial:.1f} s")
    print(f"{workers} workers: {side_by_side:.1f} s, {serial / side_by_side:.2f}x the throughput")
    print(f"all finished before: {again:.1f} s")


if __name__ == "__main__":
    main()
