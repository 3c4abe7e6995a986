"""`python -m ser predict` beside what nobody can do without, in turn, on real speech.

    python benchmarks/predict.py RUN FOLDER [--files 535] [--rounds 3]

RUN is a finished run on functionals, e.g. of `model=aae`; FOLDER has .wav files. Prints, as medians
over rounds, by the clock and by processor time, which other programs disturb less:

- one file of about 3 s, a whole process: what it takes beyond one openSMILE pass, as a multiple of
  importing torch, pytorch_lightning and opensmile (bar: 1.5);
- many files in one process, two workers: as a multiple of extracting the same features into an
  empty store (bar: 1.2).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from ser.corpora import audio
from ser.features.opensmile import OpenSmile
from ser.features.store import Store
from ser.inference.loading import load_all
from ser.inference.predict import predictions
from ser.inference.recordings import stretches

IMPORTS = "import torch, pytorch_lightning, opensmile"
Times = tuple[float, float]


def timed(work: Callable[[], object]) -> Times:
    """Seconds by the clock and of processor time, those of processes that it started too."""

    def processor() -> float:
        both = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(used.ru_utime + used.ru_stime for used in both)

    clock, before = time.perf_counter(), processor()
    work()
    return time.perf_counter() - clock, processor() - before


def process(*arguments: str) -> Times:
    command = [sys.executable, *arguments]
    return timed(lambda: subprocess.run(command, check=True, capture_output=True))


def told(what: str, ratios: list[Times], bar: float) -> None:
    for kind, name in enumerate(("by the clock", "processor time")):
        found = [ratio[kind] for ratio in ratios]
        spread = f"(from {min(found):.2f} to {max(found):.2f})"
        print(f"{what}, {name:14}  {median(found):.2f}  {spread}, bar {bar}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path, help="searched for .wav files")
    parser.add_argument("--files", type=int, default=535)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted(options.folder.rglob("*.wav"))
    files = files[:: max(1, len(files) // options.files)][: options.files]
    one = min(files, key=lambda file: abs(audio.duration(file) - 3.0))

    extractor = load_all(options.run)[0].extractor
    assert isinstance(extractor, OpenSmile)
    signal = audio.read(one)
    extractor(*signal)  # which also reads its config
    alone = []
    for number in range(options.rounds + 1):
        passed = timed(lambda: extractor(*signal))
        imported = process("-c", IMPORTS)
        whole = process("-m", "ser", "predict", str(options.run), str(one))
        if number:  # the first round warms the disk's cache
            ratios = [(w - p) / i for w, p, i in zip(whole, passed, imported, strict=True)]
            alone.append((ratios[0], ratios[1]))
            print(
                f"  predict {whole[0]:.2f} s, imports {imported[0]:.2f} s, pass {passed[0]:.3f} s"
            )
    told(f"one file of {len(signal[0]) / signal[1]:.2f} s / imports", alone, 1.5)

    index = pd.Index([file.stem for file in files], name="utterance")
    table = pd.DataFrame({"file": files, "start": np.nan, "end": np.nan}, index=index)
    many = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as root:
            store = Store(root, 2, Console(quiet=True))
            made = timed(lambda store=store: store.fill(table, [extractor]))  # type: ignore[misc]
        whole = timed(
            lambda: predictions(
                load_all(options.run), stretches(files, None, None), one_speaker=False, workers=2
            )
        )
        many.append((whole[0] / made[0], whole[1] / made[1]))
        print(f"  predicted in {whole[0]:.1f} s, extracted in {made[0]:.1f} s")
    told(f"{len(files)} files / extraction", many, 1.2)


if __name__ == "__main__":
    main()
