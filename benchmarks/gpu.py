"""Correctness and speed on one GPU, in one run of at most 8 minutes.

    python benchmarks/gpu.py                            on a GPU, with data of IEMOCAP's size
    python benchmarks/gpu.py --small --device cpu       every section with tiny data, a minute
    python benchmarks/gpu.py --only losses steps --out results

Data are random and made on the machine: 4,424 utterances for training, 554 for validation and 553
for testing; 6,373 functionals, or 65 descriptors in 450 frames on average. Nothing is downloaded.
Sections:

- losses: `trainer=gpu` against the CPU: equal batches, losses before the first step and of an epoch
  (bar: 1e-4);
- resumed: trainings that were stopped and continued, against whole ones (bar: equal bits where a
  repeated training has equal bits), and against trainings without CUDA graphs;
- steps: one step of the five systems of parthasarathy2019, without and with CUDA graphs, beside a
  bare loop with the same networks on the same GPU, in turn (bar: 1.3);
- encoder: hours of speech an hour, by a WavLM base model with random weights;
- packed: trainings an hour of 1, 30 and 300 runs in one pack (1, 4 and 16 on frames), validation
  included, with and without CUDA graphs;
- processes: steps a second of several processes that share the GPU, whose kernels run at the same
  time only under NVIDIA's multi-process service, `nvidia-cuda-mps-control -d`;
- table: estimated minutes for the whole of parthasarathy2019's table 1 (goal: 60, better 10);
- commands: train.py, killed and started again; four runs on one GPU (`trainer.runs_per_gpu=4`),
  and in one pack;
- others: step times of main systems of the other papers.

Times are wall-clock times between synchronisations, after a round that warms up; medians.
A section that fails prints its error, the others continue, and the exit status is 1. All figures
are also written to `gpu.json`, after each section.
"""

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytorch_lightning
import torch
import transformers
from gpu_packs import EPOCHS, packed
from gpu_processes import parallel
from gpu_runs import commands, losses, resumed
from gpu_steps import IEMOCAP, SMALL, SYSTEMS, Setup, other_systems, paper_systems

from ser.config.run_key import register_resolvers
from ser.features.encoder import Encoder
from ser.training.devices import allow_tf32

Results = dict[str, Any]
TRAININGS = 10 * 10 * 3 // 2  # seeds, folds and attributes; two folds share a training
NUMBERS = ("rounds", "replicas", "frame_replicas", "processes")  # that replace those of a size
# Exists while NVIDIA's multi-process service runs.
MPS = Path(os.environ.get("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")) / "control"


def encoder(setup: Setup, results: Results) -> Results:
    """Hours of speech an hour, by one worker and by several threads."""
    small = setup.size.small
    widths = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
              "intermediate_size": 64} if small else {}  # fmt: skip
    rng = np.random.default_rng(0)
    count, figures = (4 if small else 200), {}
    durations = rng.gamma(4, 4.5 / 4, count).clip(0.5, 30)
    signals = [rng.normal(0, 0.1, round(16000 * d)).astype(np.float32) for d in durations]
    with tempfile.TemporaryDirectory() as folder:
        transformers.WavLMModel(transformers.WavLMConfig(**widths)).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
        extractor = Encoder(folder, None, "utterance", "all", 30.0, 2.0, setup.device)
        extractor(signals[0], 16000)  # loads the encoder
        for workers in (1, 4):
            started = time.perf_counter()
            joblib.Parallel(workers, prefer="threads")(
                joblib.delayed(extractor)(signal, 16000) for signal in signals
            )
            seconds = time.perf_counter() - started
            speed = float(durations.sum()) / seconds
            figures[f"{workers} threads"] = speed
            print(f"  {workers} threads: {speed:.0f} hours of speech an hour", flush=True)
    return figures


def table(setup: Setup, results: Results) -> Results:
    """Minutes for table 1, by the throughput that was measured."""
    alone, shared, quickest = {}, {}, {}
    packs = results.get("packed", {}).values()
    for name, each in results["steps"].items():
        way = min(each, each.get("with_graphs", each), key=lambda figures: figures["epoch_s"])
        steps = way["steps_per_epoch"]
        # A shared training validates twice an epoch.
        epoch = 2 * way["epoch_s"] - steps * way["step_s"]
        alone[name] = TRAININGS * EPOCHS * epoch / 60
        rates = [rates[name] for rates in results.get("processes", {}).values()]
        of_processes = [steps / rate * epoch / way["epoch_s"] for rate in rates]
        shared[name] = TRAININGS * EPOCHS * min([epoch, *of_processes]) / 60
        of_packs = [pack["shared_s"] for pack in packs if pack["system"] == name]
        quickest[name] = min([shared[name], *(TRAININGS * each / 60 for each in of_packs)])
    figures = {"one process": alone, "several processes": shared, "with packs": quickest}
    for what, minutes in figures.items():
        listed = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items())
        print(f"  {what}: {sum(minutes.values()):.0f} minutes ({listed})", flush=True)
    print("  without starting processes, reading features and writing files; goal: 60, better 10")
    return {what: {**minutes, "sum": sum(minutes.values())} for what, minutes in figures.items()}


SECTIONS: dict[str, Callable[[Setup, Results], Results]] = {
    "losses": lambda setup, results: losses(setup),
    "resumed": lambda setup, results: resumed(setup),
    "steps": lambda setup, results: paper_systems(setup),
    "encoder": encoder,
    "packed": lambda setup, results: packed(setup),
    "processes": lambda setup, results: parallel(setup),
    "table": table,
    "commands": lambda setup, results: commands(setup),
    "others": lambda setup, results: other_systems(setup),
}


def machine(device: str) -> Results:
    """The card, and versions of what computes on it."""
    cards = {}
    if device == "cuda":
        facts = torch.cuda.get_device_properties(0)
        cards = {"gpu": facts.name, "gpu_gib": facts.total_memory / 2**30,
                 "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(),
                 "mps": MPS.exists()}  # fmt: skip
    return {
        **cards, "cores": os.cpu_count(), "python": sys.version.split()[0],
        "torch": torch.__version__, "pytorch-lightning": pytorch_lightning.__version__,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="tiny data, to try the script")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=SYSTEMS)
    parser.add_argument("--precision", choices=["32-true", "tf32"], default="32-true")
    parser.add_argument("--rounds", type=int, help="of comparisons of steps")
    parser.add_argument("--replicas", type=int, nargs="+", help="trainings of packs of vectors")
    parser.add_argument("--frame-replicas", type=int, nargs="+", help="the same, of frames")
    parser.add_argument("--processes", type=int, nargs="+", help="processes that share the GPU")
    parser.add_argument("--seconds", type=float, default=430, help="no section begins later")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ".")))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no GPU; --small --device cpu tries the script without one")
    register_resolvers()
    allow_tf32(options.precision == "tf32")  # bare loops, too
    logging.getLogger("ser").setLevel(logging.ERROR)
    logging.getLogger("ser.training.pack").setLevel(logging.WARNING)  # a failed capture
    transformers.utils.logging.disable_progress_bar()
    size = SMALL if options.small else IEMOCAP
    given = {name: value for name in NUMBERS if (value := getattr(options, name))}
    setup = Setup(options.device, replace(size, **given), options.systems, options.precision)
    options.out.mkdir(parents=True, exist_ok=True)
    started, failed = time.monotonic(), []
    results: Results = {
        "machine": machine(options.device), "small": options.small, "precision": options.precision
    }  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in results["machine"].items()), flush=True)
    for name in (each for each in SECTIONS if each in options.only):
        begun = time.monotonic()
        print(f"{name}:", flush=True)
        try:
            if begun - started > options.seconds:
                raise TimeoutError(f"not begun after {options.seconds:.0f} s")
            # One, as in runs; the CPU that is compared with a GPU may use all.
            many = name == "losses" and options.device == "cuda"
            torch.set_num_threads((os.cpu_count() or 1) if many else 1)
            results[name] = SECTIONS[name](setup, results)
        except Exception:
            failed.append(name)
            results.setdefault("errors", {})[name] = traceback.format_exc()
            print(f"{name} FAILED\n{traceback.format_exc()}", flush=True)
        results.setdefault("seconds", {})[name] = time.monotonic() - begun
        print(f"  {time.monotonic() - begun:.1f} s", flush=True)
        (options.out / "gpu.json").write_text(json.dumps(results, indent=1))
    print(f"{time.monotonic() - started:.0f} s; failed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
