"""Cost of `python -m ser predict` in relation to steps that it cannot do without, on real speech.

    python benchmarks/predict.py RUN FOLDER [--files 535] [--rounds 3]

RUN is a finished run on openSMILE functionals, e.g. of `model=aae`. FOLDER contains .wav files. The
compared steps alternate. Prints medians over rounds of wall-clock time and of CPU time, which
depends less on other programs, for

- one file of about 3 s in a whole process: the time beyond importing torch, pytorch_lightning and
  opensmile (bar: 1 s), and the time beyond one openSMILE pass in relation to that (bar: 1.5);
- many files in one process with two workers: in relation to extracting the same features into an
  empty store (bar: 1.2).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from ser.corpora import audio
from ser.features.opensmile import OpenSmile
from ser.features.store import Store
from ser.inference.loading import load_all
from ser.inference.predict import predict_excerpts
from ser.inference.recordings import excerpts

IMPORTS = "import torch, pytorch_lightning, opensmile"


class Times(NamedTuple):
    """Seconds, or ratios of seconds.

    Attributes:
        wall: Wall-clock time.
        cpu: CPU time, including that of child processes.
    """

    wall: float
    cpu: float


def time_call(function: Callable[[], object]) -> Times:
    """Return the time that a function takes."""

    def cpu_seconds() -> float:
        usages = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    wall, cpu = time.perf_counter(), cpu_seconds()
    function()
    return Times(time.perf_counter() - wall, cpu_seconds() - cpu)


def time_python(*arguments: str) -> Times:
    """Return the time that a Python process takes."""
    command = [sys.executable, *arguments]
    return time_call(lambda: subprocess.run(command, check=True, capture_output=True))


def print_ratios(title: str, ratios: Sequence[Times], bar: float) -> None:
    for name, values in (
        ("wall clock", [each.wall for each in ratios]),
        ("CPU time", [each.cpu for each in ratios]),
    ):
        spread = f"(from {min(values):.2f} to {max(values):.2f})"
        print(f"{title}, {name:10}  {median(values):.2f}  {spread}, bar {bar}")


def compare_one_file(run: Path, file: Path, extractor: OpenSmile, rounds: int) -> None:
    """Compare the prediction of one file in a new process with imports in a new process."""
    samples, rate = audio.read(file)
    extractor(samples, rate)  # reads its config
    ratios, beyond = [], []
    for number in range(rounds + 1):
        extraction = time_call(lambda: extractor(samples, rate))
        imports = time_python("-c", IMPORTS)
        predict = time_python("-m", "ser", "predict", str(run), str(file))
        if number:  # the first round fills the cache of the disk
            wall = (predict.wall - extraction.wall) / imports.wall
            ratios.append(Times(wall, (predict.cpu - extraction.cpu) / imports.cpu))
            beyond.append(Times(predict.wall - imports.wall, predict.cpu - imports.cpu))
            print(
                f"  predict {predict.wall:.2f} s, imports {imports.wall:.2f} s, "
                f"extraction {extraction.wall:.3f} s"
            )
    print_ratios(f"one file of {len(samples) / rate:.2f} s / imports", ratios, 1.5)
    print_ratios("one file beyond imports, seconds", beyond, 1.0)


def compare_many_files(run: Path, files: Sequence[Path], extractor: OpenSmile, rounds: int) -> None:
    """Compare the prediction of many files with the extraction of their features."""
    index = pd.Index([file.stem for file in files], name="utterance")
    table = pd.DataFrame({"file": files, "start": np.nan, "end": np.nan}, index=index)
    ratios = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as root:
            store = Store(root, 2, Console(quiet=True))
            extraction = time_call(lambda store=store: store.fill(table, [extractor]))  # type: ignore[misc]
        predict = time_call(
            lambda: predict_excerpts(
                load_all(run), excerpts(files, None, None), one_speaker=False, workers=2
            )
        )
        ratios.append(Times(predict.wall / extraction.wall, predict.cpu / extraction.cpu))
        print(f"  predicted in {predict.wall:.1f} s, extracted in {extraction.wall:.1f} s")
    print_ratios(f"{len(files)} files / extraction", ratios, 1.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("folder", type=Path, help="folder that is searched for .wav files")
    parser.add_argument("--files", type=int, default=535)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(options.folder.rglob("*.wav"))
    files = files[:: max(1, len(files) // options.files)][: options.files]
    extractor = load_all(options.run)[0].extractor
    assert isinstance(extractor, OpenSmile)
    file = min(files, key=lambda each: abs(audio.duration(each) - 3.0))
    compare_one_file(options.run, file, extractor, options.rounds)
    compare_many_files(options.run, files, extractor, options.rounds)


if __name__ == "__main__":
    main()
