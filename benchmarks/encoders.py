"""Extraction of a pretrained encoder's features into the store, compared with a bare loop.

    python benchmarks/encoders.py ENCODER FOLDER [--files 24] [--rounds 5]

ENCODER is a folder that transformers loads, FOLDER is searched for .wav files. Prints medians over
rounds, in which the variants take turns, one thread of torch each:

- the time in which one worker reads, computes and stores the statistics of all layers, as a
  multiple of a loop over the same model that only applies it and pools (target: 1.15 at most);
- the speed-up of two workers over one, with threads and with processes (target: 1.7 at least).
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import joblib
import numpy as np
import pandas as pd
import torch
import transformers
from rich.console import Console

from ser.corpora import audio
from ser.features.encoder import Encoder
from ser.features.store import Store


def timed(work: Callable[[], object]) -> float:
    """Return wall-clock time, seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bare_loop(folder: Path, files: list[Path]) -> Callable[[], list[np.ndarray]]:
    """Return a function that applies the model of transformers to each file."""
    prepare = transformers.AutoFeatureExtractor.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    is_whisper = model.config.model_type == "whisper"
    network = model.get_encoder() if is_whisper else model

    @torch.inference_mode()
    def loop() -> list[np.ndarray]:
        rows = []
        for signal, rate in map(audio.read, files):
            values = next(iter(prepare(signal, sampling_rate=rate, return_tensors="pt").values()))
            states = torch.cat(network(values, output_hidden_states=True).hidden_states)
            states = states[:, : math.ceil(len(signal) / 320)] if is_whisper else states
            parts = [states.mean(dim=1), states.std(dim=1, correction=0)]
            rows.append(torch.stack(parts, dim=1).flatten().numpy())
        return rows

    return loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoder", type=Path)
    parser.add_argument("folder", type=Path, help="searched for .wav files")
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    torch.set_num_threads(1)
    files = sorted(options.folder.rglob("*.wav"))
    files = files[:: max(1, len(files) // options.files)][: options.files]
    names = pd.Index([file.stem for file in files], name="utterance")
    table = pd.DataFrame({"file": files, "start": np.nan, "end": np.nan}, index=names)
    source = Encoder(str(options.encoder), None, "utterance", "all", 30.0, 2.0, "cpu")

    def fill(workers: int, backend: str) -> float:
        with tempfile.TemporaryDirectory() as root, joblib.parallel_config(backend=backend):
            store = Store(root, workers, Console(quiet=True))
            return timed(lambda: store.fill(table, [source]))

    loop = bare_loop(options.encoder, files)
    for backend in ("threading", "loky"):  # loads the encoder, starts the processes
        fill(2, backend)
    bare, one, threads, processes = [], [], [], []
    for _ in range(options.rounds):
        bare.append(timed(loop))
        one.append(fill(1, "threading"))
        threads.append(fill(2, "threading"))
        processes.append(fill(2, "loky"))

    def ratio(above: list[float], below: list[float]) -> str:
        ratios = [a / b for a, b in zip(above, below, strict=True)]
        return f"{median(ratios):.3f}  (from {min(ratios):.3f} to {max(ratios):.3f})"

    print(f"{len(files)} files, {options.rounds} rounds, {median(bare) / len(files):.3f} s a file")
    print(f"one worker, stored / bare loop      {ratio(one, bare)}")
    print(f"two workers, threads, speed-up      {ratio(one, threads)}")
    print(f"two workers, processes, speed-up    {ratio(one, processes)}")


if __name__ == "__main__":
    main()
