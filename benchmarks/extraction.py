"""Extraction into the store compared with openSMILE itself, on real speech.

    python benchmarks/extraction.py FOLDER [--files 60] [--rounds 7]

Prints medians over rounds, in which the variants take turns:

- the time in which one worker reads, extracts and stores functionals and descriptors, as a multiple
  of one functionals pass of `opensmile.Smile` over signals in memory: in wall-clock time, and in
  processor time, which depends less on other programs (target: 1.15);
- the speed-up of two workers over one, with threads and with processes (target: 1.8);
- the time to load stored features.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import joblib
import numpy as np
import opensmile
import pandas as pd
from rich.console import Console

from ser.corpora import audio
from ser.features.opensmile import OpenSmile
from ser.features.store import Store

FUNCTIONALS = OpenSmile("ComParE_2016", "func", "utterance", 6373, 16000)
DESCRIPTORS = OpenSmile("ComParE_2016", "lld", "frame", 65, 16000)
BOTH: list = [FUNCTIONALS, DESCRIPTORS]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall-clock and processor time, seconds."""
    wall_clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall_clock, time.process_time() - processor


def fill(table: pd.DataFrame, workers: int, backend: str = "threading") -> tuple[float, float]:
    """Fill an empty store and return the times of `timed`."""
    with tempfile.TemporaryDirectory() as root, joblib.parallel_config(backend=backend):
        store = Store(root, workers, Console(quiet=True))
        return timed(lambda: store.fill(table, BOTH))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="searched for .wav files")
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    files = sorted(options.folder.rglob("*.wav"))
    files = files[:: max(1, len(files) // options.files)][: options.files]
    names = pd.Index([file.stem for file in files], name="utterance")
    table = pd.DataFrame({"file": files, "start": np.nan, "end": np.nan}, index=names)
    signals = [audio.read(file) for file in files]
    seconds = sum(len(signal) / rate for signal, rate in signals)
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)

    package, one, two, processes = [], [], [], []
    fill(table.iloc[:4], 2, "loky")  # starts the processes
    for _ in range(options.rounds):
        package.append(timed(lambda: [smile(*signal) for signal in signals]))
        one.append(fill(table, 1))
        two.append(fill(table, 2))
        processes.append(fill(table, 2, "loky"))

    def ratio(above: list[tuple[float, float]], below: list[tuple[float, float]], kind: int) -> str:
        ratios = [a[kind] / b[kind] for a, b in zip(above, below, strict=True)]
        return f"{median(ratios):.3f}  (from {min(ratios):.3f} to {max(ratios):.3f})"

    per_second = median(processor for _, processor in package) / seconds
    print(f"{len(files)} files, {seconds:.0f} s of speech, {options.rounds} rounds")
    print(f"openSMILE functionals                   {per_second:.4f} s per second of speech")
    print(f"both, stored / openSMILE, processor     {ratio(one, package, 1)}")
    print(f"both, stored / openSMILE, wall clock    {ratio(one, package, 0)}")
    print(f"two workers, threads, speed-up          {ratio(one, two, 0)}")
    print(f"two workers, processes, speed-up        {ratio(one, processes, 0)}")

    with tempfile.TemporaryDirectory() as root:
        store = Store(root, console=Console(quiet=True))
        store.fill(table, BOTH)
        for extractor in BOTH:
            times = [timed(partial(store.load, table, extractor, True))[0] for _ in range(9)]
            label = f"loading {extractor.output:4} of {len(files)} files"
            print(f"{label:39} {median(times):.4f} s")


if __name__ == "__main__":
    main()
