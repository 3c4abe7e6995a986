"""Train at IEMOCAP's scale within 8 GB: 10,039 x 6,373 functionals, 4.3 million frames.

    python benchmarks/memory.py FOLDER [--gigabytes 8] [--steps 5] [--standardise train|speaker]
        [--only KIND ...]

Makes random features of that size in FOLDER (2.7 GB, deleted afterwards) and trains on them, in a
new process for each kind. Utterances in memory, frames in memory and memory-mapped frames: some
steps of `model=aae`, and validation on two speakers. Segments of 80 bands, in memory and
memory-mapped: all stages of a run of `model=lstm` on the codes of a VAE, and on the codes that need
most memory, means and variances of latif2018's CVAE under every class; an epoch gathers every batch
and trains on the first few, and all segments are encoded and scored. The private memory of each
process is limited (RLIMIT_DATA, which counts reserved memory, not only used memory; pages of a
mapped file do not count, because the system can reclaim them). Prints

- peak resident memory, including pages of the mapped file;
- its growth after importing torch, Lightning and `ser`;
- seconds from the start of the process to the first step, or of all stages.
"""

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

UTTERANCES, FRAMES, SPEAKERS = 10_039, 4_300_000, 10
DIM = {"functionals": 6373, "lld": 65, "logmel80": 80}
CVAE = ("representation=cvae", "representation.module.code=mean_and_variance")
KINDS: dict[str, tuple[str, bool, tuple[str, ...]]] = {  # features, memory-mapped, codes
    "utterances in memory": ("functionals", False, ()),
    "frames in memory": ("lld", False, ()),
    "frames mapped": ("lld", True, ()),
    "segments in memory": ("logmel80", False, ("representation=vae",)),
    "segments mapped": ("logmel80", True, ("representation=vae",)),
    "codes under all classes": ("logmel80", False, CVAE),
}
ONCE = ("representation.stopping.max_epochs=1", "trainer.max_epochs=1")
GB = 1 << 30


def make(folder: Path) -> None:
    """Write random features and the offsets of the frames."""
    rng = np.random.default_rng(0)
    # Most utterances of IEMOCAP last 2 to 8 s, the longest 34 s.
    shares = rng.gamma(2.5, size=UTTERANCES).clip(0.1, 20)
    lengths = np.maximum(30, shares / shares.sum() * FRAMES).astype(np.int64)
    lengths[-1] += FRAMES - lengths.sum()
    np.save(folder / "offsets.npy", np.concatenate([[0], lengths.cumsum()]))
    for name in DIM:
        rows = UTTERANCES if name == "functionals" else FRAMES
        shape = (rows, DIM[name])
        file = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, shape)
        for start in range(0, rows, 1 << 16):
            block = file[start : start + (1 << 16)]
            block[:] = 3 + rng.standard_normal(block.shape, dtype=np.float32)


def peak() -> float:
    """Peak resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB


class Enough(Exception):
    """Raised after the requested number of steps."""


def limited(folder: Path, kind: str, limit: float, steps: int, standardise: str) -> None:
    """Train within the limit, and print the measurements."""
    started = time.monotonic()
    limit_bytes = int(limit * GB)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))

    import pandas as pd
    import torch
    from hydra import compose, initialize_config_dir

    from ser.config import CONF, build
    from ser.corpora import Corpus
    from ser.data.datamodule import DataModule, View
    from ser.data.folds import Fold
    from ser.data.prepare import Prepared
    from ser.data.targets import Target
    from ser.features import Features
    from ser.results import RunFolder
    from ser.runs.run import train as train_run
    from ser.training.phased import PhasedModel
    from ser.training.prediction import predictions

    imported = peak()
    name, mapped, codes = KINDS[kind]
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        overrides = [f"features={name}", f"data.standardise={standardise}"]
        overrides += [*codes, *ONCE, "model=lstm"] if codes else ["model=aae"]
        cfg = compose("train", overrides)
    torch.set_num_threads(1)
    ids = pd.Index([f"u{i:05d}" for i in range(UTTERANCES)])
    speakers = np.arange(UTTERANCES) * SPEAKERS // UTTERANCES
    classes = ("low", "neutral", "high")
    train, val, test = ids[speakers < 8], ids[speakers == 8], ids[speakers == 9]
    offsets = np.load(folder / "offsets.npy") if name != "functionals" else None
    values = np.load(folder / f"{name}.npy", mmap_mode="r" if mapped else None)
    level = cfg.features.level
    columns = tuple(f"c{i}" for i in range(DIM[name]))
    features = Features(ids, values, offsets, columns, level)
    target = Target("activation", classes, pd.Series(np.resize(classes, UTTERANCES), index=ids))
    fold = Fold(0, 1, train, val, test, fit=train, speaker_independent=True)
    of = pd.Series(speakers.astype(str), index=ids)

    def factory(view: View) -> DataModule:
        return build(cfg.data)(features, target, fold, of, cfg.seed, view)

    data = factory(View(unlabelled=not codes))
    if codes:
        corpus = Corpus("made", pd.DataFrame({"speaker": speakers.astype(str)}, index=ids))
        whole_step = PhasedModel.training_step

        def few(model: PhasedModel, batch: object, batch_idx: int) -> None:
            if batch_idx < steps:
                whole_step(model, batch, batch_idx)  # type: ignore[arg-type]

        PhasedModel.training_step = few  # type: ignore[method-assign, assignment]
        with tempfile.TemporaryDirectory(dir=folder) as run:
            cfg.fitted = f"{run}/fitted"
            prepared = Prepared(corpus, data, train[:0], set(), "", {}, "", [], factory)
            train_run(cfg, prepared, RunFolder(Path(run)), "lstm", [])
        seconds = time.monotonic() - started
        print(f"{kind:24} {_peaks(imported)}; both stages in {seconds:.0f} s", flush=True)
        return
    model: PhasedModel = build(cfg.model)(data.task)
    times = []

    def step(batch: object, batch_idx: int) -> None:
        times.append(time.monotonic())
        if batch_idx == steps:
            raise Enough
        PhasedModel.training_step(model, batch, batch_idx)  # type: ignore[arg-type]

    model.training_step = step  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory(dir=folder) as run, contextlib.suppress(Enough):
        build(cfg.trainer).fit(model, data, Path(run) / "checkpoints", [])
    model.eval()
    with torch.inference_mode():  # as at the end of an epoch, reconstructions and all
        model.on_validation_epoch_start()
        for number, batch in enumerate(data.val_dataloader()):
            model.validation_step(batch, number)
    predictions(model, data, "test")
    duration = f"first step after {times[0] - started:.1f} s, a step {np.diff(times).mean():.2f} s"
    print(f"{kind:24} {_peaks(imported)}; {duration}", flush=True)


def _peaks(imported: float) -> str:
    return f"peak {peak():.2f} GB, {peak() - imported:.2f} GB more than after imports"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for temporary files: 2.7 GB")
    parser.add_argument("--gigabytes", type=float, default=8.0, help="limit of private memory")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--standardise", choices=("train", "speaker"), default="train")
    parser.add_argument("--only", choices=list(KINDS), action="append", help="may be repeated")
    parser.add_argument("--kind", choices=list(KINDS), help=argparse.SUPPRESS)  # the inner process
    options = parser.parse_args()
    if options.kind:
        limited(options.folder, options.kind, options.gigabytes, options.steps, options.standardise)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        make(Path(folder))
        print(f"private memory limited to {options.gigabytes:g} GB")
        for kind in options.only or KINDS:
            command = [sys.executable, __file__, folder, "--kind", kind]
            command += ["--gigabytes", str(options.gigabytes), "--steps", str(options.steps)]
            done = subprocess.run([*command, "--standardise", options.standardise], check=False)
            if done.returncode:
                print(f"{kind:24} failed (exit status {done.returncode})")


if __name__ == "__main__":
    main()
