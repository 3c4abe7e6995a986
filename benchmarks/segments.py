"""Compare codes of segments at IEMOCAP's scale with bare PyTorch loops, on one thread each.

    python benchmarks/segments.py [--segments 430000] [--rounds 3] [--only vae|lstm ...]
        [--steps 500] [--mapped FOLDER]

The frames are random: 10 of 80 values per segment, 43 segments per utterance on average. Prints
medians over rounds, with minimum and maximum, of processor times as in `benchmarks/training.py`,
and the same ratio of wall clock times:

- vae: one step of `representation=vae`, from the start of one step to the start of the next, which
  includes gathering the segments and Lightning; the bare loop shuffles one tensor of all
  standardised segments (bar: 1.2). Also the time to gather a batch;
- lstm: one step of `model=lstm` over the codes of utterances; the batches of the bare loops are
  prepared in advance, as packed sequences (bar: 1.2) and padded;
- peak resident memory of both sides together; `benchmarks/memory.py` measures ours alone.

A round of the VAE has at most `--steps` steps, of segments drawn from all; 4000 are an epoch of
430,000. With `--mapped`, its frames are in a file in FOLDER (1.4 GB, deleted afterwards) and are
standardised when they are gathered, as with `in_memory=false`; the bare loop's tensor is in memory.
"""

import argparse
import copy
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence
from training import composed, print_ratio

from ser.config import build
from ser.config.run_key import register_resolvers
from ser.data.batches import Batch, Task
from ser.data.datamodule import DataModule
from ser.data.folds import Fold
from ser.data.segments import Segments, cut
from ser.data.targets import Target
from ser.features import Features
from ser.models.classifier import Classifier
from ser.models.vae import VAE
from ser.representations.learned import Learned, fit_standardiser
from ser.training.phased import PhasedModel
from ser.training.stopping import CheckpointSelection, FixedEpochs
from ser.training.trainer import TrainingBatches

FRAMES, VALUES, MEAN = 10, 80, 43
CLASSES = ("anger", "happiness", "neutral", "sadness")
BAR = 1.2


def now() -> tuple[float, float]:
    """Processor time and wall clock time, in seconds."""
    return time.process_time(), time.perf_counter()


def mean_step(stamps: list[tuple[float, float]]) -> np.ndarray:
    """(2,): mean time from the start of one step to the start of the next."""
    return np.diff(stamps, axis=0).mean(axis=0)


def steps(
    model: PhasedModel, data: object, cfg: object, selection: CheckpointSelection | None
) -> np.ndarray:
    """Mean step of `Training`, without the last one of an epoch."""
    stamps, step = [], model.training_step

    def stamped(*args: object) -> object:
        stamps.append(now())
        return step(*args)  # type: ignore[arg-type]

    model.training_step = stamped  # type: ignore[method-assign, assignment]
    training = build(cfg.trainer)  # type: ignore[attr-defined]
    training.max_epochs = 1
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, data, Path(folder) / "checkpoints", [], selection)
    torch.use_deterministic_algorithms(False)
    return mean_step(stamps)


def bare(loss: Callable[..., Tensor], model: nn.Module, batches: Iterable) -> np.ndarray:
    """Mean step of a bare loop."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train()
    stamps = []
    for batch in batches:
        stamps.append(now())
        value = loss(batch)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
    return mean_step(stamps)


def print_ratios(what: str, ours: list[np.ndarray], others: list[np.ndarray]) -> None:
    """Print both ratios; the bar is for processor time, which other programs disturb less."""
    print_ratio(what, [float(each[0]) for each in ours], [float(each[0]) for each in others], BAR)
    wall = [float(a[1] / b[1]) for a, b in zip(ours, others, strict=True)]
    print(f"{'':28} wall clock {median(wall):.3f} ({min(wall):.3f} to {max(wall):.3f})")


def vae(options: argparse.Namespace) -> None:
    cfg = composed(["features=logmel80", "representation=vae", "model=lstm"])
    with tempfile.TemporaryDirectory(dir=options.mapped) as folder:
        file = Path(folder, "frames.npy") if options.mapped else None
        values = frames(FRAMES * options.segments, file)
        ends = np.append(np.arange(0, len(values), FRAMES * MEAN), len(values))
        numbers = np.arange(len(ends) - 1)
        segments = cut(values, ends, numbers, file is not None, frames=FRAMES, hop=FRAMES)
        compare_vae(cfg, segments, options)


def frames(count: int, file: Path | None) -> np.ndarray:
    """(count, VALUES), in memory or in a file."""
    rng = np.random.default_rng(0)
    if file is None:
        return rng.standard_normal((count, VALUES), dtype=np.float32)
    mapped = np.lib.format.open_memmap(file, "w+", np.float32, (count, VALUES))
    for start in range(0, count, 1 << 16):
        block = mapped[start : start + (1 << 16)]
        block[:] = rng.standard_normal(block.shape, dtype=np.float32)
    return np.load(file, mmap_mode="r")


def compare_vae(cfg: DictConfig, segments: Segments, options: argparse.Namespace) -> None:
    """Compare the VAE's steps with those of a loop over one tensor."""
    node = cfg.representation
    torch.manual_seed(0)
    initial: VAE = build(node.module)(Task(FRAMES * VALUES, len(CLASSES), None, {}), node.size)
    standardiser = fit_standardiser(segments, node.clip)
    y = np.zeros(len(segments), np.int64)
    loader = Learned.batches(standardiser, segments, y, node.batch_size, 0)
    del loader.bounds[options.steps + 1 :]
    whole = whole_tensor(segments, standardiser)

    def shuffled() -> Iterable[Tensor]:
        for chosen in torch.randperm(len(whole)).split(node.batch_size)[: options.steps]:
            yield whole[chosen]

    def loss(model: VAE, x: Tensor) -> Tensor:
        hidden = model.encoder(x)
        mean, log_variance = model.mean(hidden), model.log_variance(hidden)
        codes = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        error = (model.decoder(codes) - x).square().sum(dim=1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)
        return (error + kl).mean()

    ours, others = [], []
    for number in range(options.rounds + 1):
        selection = FixedEpochs(max_epochs=1)
        taken = steps(copy.deepcopy(initial), TrainingBatches(loader), cfg, selection)
        model = copy.deepcopy(initial)
        other = bare(partial(loss, model), model, shuffled())
        if number:  # the first round warms up
            ours.append(taken)
            others.append(other)
    print_ratios(
        f"vae, {len(segments):,} {'mapped' if segments.mapped else 'segments'}", ours, others
    )
    started = time.process_time()
    for _ in loader:
        pass
    gathered = (time.process_time() - started) / len(loader)
    print(f"{'':28} gathering a batch {gathered * 1e3:.2f} ms")


def whole_tensor(segments: Segments, standardiser: Callable[..., np.ndarray]) -> Tensor:
    """All segments, (N, L * F), standardised."""
    whole = np.empty(segments.shape, np.float32)
    for start in range(0, len(whole), 4096):
        block = slice(start, start + 4096)
        frames = standardiser(segments.values[segments.frames[block]])
        whole[block] = frames.reshape(len(frames), -1)
    return torch.from_numpy(whole)


def lstm(options: argparse.Namespace) -> None:
    cfg = composed(["features=logmel80", "representation=vae", "model=lstm", "data.batch_size=128"])
    data = codes(cfg, options.segments)
    data.setup("fit")
    torch.manual_seed(0)
    initial: Classifier = build(cfg.model)(data.task)
    batches = list(data.train_dataloader())

    def head(model: Classifier, last: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(model.head(model.encoder.dense(last)), batch.y)

    def layers(model: Classifier) -> list[nn.Module]:
        return [next(iter(layer.children())) for layer in model.encoder.layers]

    def packed(model: Classifier, batch: Batch) -> Tensor:
        x = pack_padded_sequence(batch.x, batch.lengths, batch_first=True, enforce_sorted=False)
        for layer in layers(model):
            x, (last, _) = layer(x)
        return head(model, last[0], batch)

    def padded(model: Classifier, batch: Batch) -> Tensor:
        x = batch.x
        for layer in layers(model):
            x, _ = layer(x)
        return head(model, x[torch.arange(len(x)), batch.lengths - 1], batch)

    times: dict[str, list[np.ndarray]] = {"ours": [], "packed": [], "padded": []}
    for number in range(options.rounds + 1):
        taken = {"ours": steps(copy.deepcopy(initial), data, cfg, None)}
        for name, loss in (("packed", packed), ("padded", padded)):
            model = copy.deepcopy(initial)
            taken[name] = bare(partial(loss, model), model, batches)
        if number:
            for name, seconds in taken.items():
                times[name].append(seconds)
    utterances = len(data.fold.train)
    print_ratios(f"lstm, {utterances:,} utterances", times["ours"], times["packed"])
    print_ratios(f"{'':6}padded", times["ours"], times["padded"])


def codes(cfg: object, count: int) -> DataModule:
    """Random codes of 128 values, of utterances with `count` segments in total."""
    rng = np.random.default_rng(0)
    lengths = rng.gamma(2.5, MEAN / 2.5, max(64, count // MEAN)).astype(np.int64).clip(5, 340)
    ids = pd.Index([f"u{i:05d}" for i in range(len(lengths))])
    values = rng.standard_normal((lengths.sum(), 128), dtype=np.float32)
    offsets = np.concatenate([[0], lengths.cumsum()])
    columns = tuple(f"code_{i}" for i in range(128))
    labels = pd.Series(rng.permutation(np.resize(CLASSES, len(ids))), index=ids)
    fold = Fold(0, 1, ids[:-8], ids[-8:-4], ids[-4:], fit=ids[:-8], speaker_independent=False)
    features = Features(ids, values, offsets, columns, "segment")
    target = Target("emotion", CLASSES, labels)
    return build(cfg.data)(features, target, fold, pd.Series("s", index=ids), 0)  # type: ignore[attr-defined]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--segments", type=int, default=430_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500, help="of the VAE, per round")
    parser.add_argument("--mapped", type=Path, metavar="FOLDER", help="for the VAE's frames")
    parser.add_argument("--only", choices=["vae", "lstm"], action="append", help="may be repeated")
    options = parser.parse_args()
    register_resolvers()
    torch.set_num_threads(1)
    print(f"{options.segments:,} segments, {options.rounds} rounds, medians, one thread")
    for name in options.only or ["vae", "lstm"]:
        {"vae": vae, "lstm": lstm}[name](options)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
        print(f"{'':28} peak resident memory {most:.1f} GB, both sides together", flush=True)


if __name__ == "__main__":
    main()
