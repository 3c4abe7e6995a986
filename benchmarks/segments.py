"""Codes of segments at IEMOCAP's scale beside bare PyTorch loops, in turn, one thread each.

    python benchmarks/segments.py [--segments 430000] [--rounds 3] [--only vae|lstm ...]
        [--steps 500] [--mapped FOLDER]

The frames are made up: 10 of 80 values a segment, 43 segments an utterance on average. Prints, as
medians over rounds with the smallest and the largest, by processor time, as in
`benchmarks/training.py`, and the same ratio by the clock:

- vae: one step of `representation=vae`, from the beginning of one to that of the next, so with the
  gathering of its segments and with Lightning around it; the bare loop shuffles one tensor that
  holds all segments, standardised (bar: 1.2), and what gathering a batch takes;
- lstm: one step of `model=lstm` over the codes of utterances; the bare loops have all batches made
  beforehand, one as packed sequences (bar: 1.2), one padded;
- most memory resident so far, of both sides together; `benchmarks/memory.py` has ours alone.

A round of the VAE is `--steps` steps at most, of segments drawn from all; 4000 are an epoch of
430,000. With `--mapped` its frames lie in a file in FOLDER (1.4 GB, deleted afterwards) and are
standardised as they are gathered, as with `in_memory=false`; the bare loop's tensor is in memory.
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
from training import composed, told_ratio

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
from ser.representations.learned import Learned, _Loaded, _standardiser
from ser.training.phased import PhasedModel
from ser.training.stopping import Converged, Keeper

FRAMES, VALUES, MEAN = 10, 80, 43
CLASSES = ("anger", "happiness", "neutral", "sadness")
BAR = 1.2


def now() -> tuple[float, float]:
    """Processor time and the clock, in seconds."""
    return time.process_time(), time.perf_counter()


def mean_step(stamps: list[tuple[float, float]]) -> np.ndarray:
    """(2,): of a step, from the beginning of one to that of the next."""
    return np.diff(stamps, axis=0).mean(axis=0)


def steps(model: PhasedModel, data: object, cfg: object, keeper: Keeper | None) -> np.ndarray:
    """Mean step by `Training`; the first epoch's last one is left out."""
    stamps, step = [], model.training_step

    def stamped(*args: object) -> object:
        stamps.append(now())
        return step(*args)  # type: ignore[arg-type]

    model.training_step = stamped  # type: ignore[method-assign, assignment]
    training = build(cfg.trainer)  # type: ignore[attr-defined]
    training.max_epochs = 1
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, data, Path(folder) / "checkpoints", [], keeper)
    torch.use_deterministic_algorithms(False)
    return mean_step(stamps)


def bare(loss: Callable[..., Tensor], model: nn.Module, batches: Iterable) -> np.ndarray:
    """Mean step of a loop."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train()
    stamps = []
    for batch in batches:
        stamps.append(now())
        found = loss(batch)
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
    return mean_step(stamps)


def told(what: str, ours: list[np.ndarray], others: list[np.ndarray]) -> None:
    """Both ratios; the bar is for the first, which other programs disturb less."""
    told_ratio(what, [float(each[0]) for each in ours], [float(each[0]) for each in others], BAR)
    wall = [float(a[1] / b[1]) for a, b in zip(ours, others, strict=True)]
    print(f"{'':28} by the clock {median(wall):.3f} ({min(wall):.3f} to {max(wall):.3f})")


def vae(options: argparse.Namespace) -> None:
    cfg = composed(["features=logmel80", "representation=vae", "model=lstm"])
    with tempfile.TemporaryDirectory(dir=options.mapped) as folder:
        file = Path(folder, "frames.npy") if options.mapped else None
        values = frames(FRAMES * options.segments, file)
        ends = np.append(np.arange(0, len(values), FRAMES * MEAN), len(values))
        numbers = np.arange(len(ends) - 1)
        segments = cut(values, ends, numbers, file is not None, frames=FRAMES, hop=FRAMES)
        beside_bare(cfg, segments, options)


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


def beside_bare(cfg: DictConfig, segments: Segments, options: argparse.Namespace) -> None:
    """The VAE's steps, and those of a loop over one tensor."""
    node = cfg.representation
    torch.manual_seed(0)
    made: VAE = build(node.module)(Task(FRAMES * VALUES, len(CLASSES), None, {}), node.size)
    standardiser = _standardiser(segments, node.clip)
    y = np.zeros(len(segments), np.int64)
    loader = Learned._batches(standardiser, segments, y, node.batch_size, 0)
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

    keeper = partial(Converged, phases=["elbo"], window=2, tolerance=0.0, max_epochs=1, below=None)
    ours, others = [], []
    for number in range(options.rounds + 1):
        taken = steps(copy.deepcopy(made), _Loaded(loader), cfg, keeper())
        model = copy.deepcopy(made)
        other = bare(partial(loss, model), model, shuffled())
        if number:  # the first round warms up
            ours.append(taken)
            others.append(other)
    told(f"vae, {len(segments):,} {'mapped' if segments.mapped else 'segments'}", ours, others)
    started = time.process_time()
    for _ in loader:
        pass
    gathered = (time.process_time() - started) / len(loader)
    print(f"{'':28} a batch is gathered in {gathered * 1e3:.2f} ms")


def whole_tensor(segments: Segments, standardiser: Callable[..., np.ndarray]) -> Tensor:
    """(N, L * F), standardised."""
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
    made: Classifier = build(cfg.model)(data.task)
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

    found: dict[str, list[np.ndarray]] = {"ours": [], "packed": [], "padded": []}
    for number in range(options.rounds + 1):
        taken = {"ours": steps(copy.deepcopy(made), data, cfg, None)}
        for name, loss in (("packed", packed), ("padded", padded)):
            model = copy.deepcopy(made)
            taken[name] = bare(partial(loss, model), model, batches)
        if number:
            for name, seconds in taken.items():
                found[name].append(seconds)
    utterances = len(data.fold.train)
    told(f"lstm, {utterances:,} utterances", found["ours"], found["packed"])
    told(f"{'':6}beside padded ones", found["ours"], found["padded"])


def codes(cfg: object, count: int) -> DataModule:
    """Made-up codes of 128 values, of utterances of as many segments together."""
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
    parser.add_argument("--steps", type=int, default=500, help="of the VAE, a round")
    parser.add_argument("--mapped", type=Path, metavar="FOLDER", help="for the VAE's frames")
    parser.add_argument("--only", choices=["vae", "lstm"], action="append", help="may be repeated")
    options = parser.parse_args()
    register_resolvers()
    torch.set_num_threads(1)
    print(f"{options.segments:,} segments, {options.rounds} rounds, medians, one thread")
    for name in options.only or ["vae", "lstm"]:
        {"vae": vae, "lstm": lstm}[name](options)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
        print(f"{'':28} at most {most:.1f} GB resident, both sides together", flush=True)


if __name__ == "__main__":
    main()
