"""Codes of segments at IEMOCAP's scale beside bare PyTorch loops, in turn, one thread each.

    python benchmarks/segments.py [--segments 430000] [--rounds 3] [--only vae|lstm ...]

The frames are made up: 10 of 80 values a segment, 43 segments an utterance on average. Prints, as
medians over rounds with the smallest and the largest:

- vae: one step of `representation=vae`, from the beginning of one to that of the next, so with the
  gathering of its segments and with Lightning around it; the bare loop shuffles one tensor that
  holds all segments, standardised (bar: 1.2), and what gathering a batch takes;
- lstm: one step of `model=lstm` over the codes of utterances; the bare loops have all batches made
  beforehand, one as packed sequences (bar: 1.2), one padded;
- most memory resident so far, of both sides together.

By processor time, as in `benchmarks/training.py`.
"""

import argparse
import copy
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence
from training import composed, stamped, told_ratio

from ser.batches import Batch, Task
from ser.config import build, register_resolvers
from ser.datamodule import DataModule
from ser.features import Features
from ser.folds import Fold
from ser.keepers import Converged, Keeper
from ser.models.classifier import Classifier
from ser.models.phased import PhasedModel
from ser.representations.learned import Learned, _Loaded, _standardiser
from ser.representations.vae import VAE
from ser.segments import Segments, cut
from ser.targets import Target

FRAMES, VALUES, MEAN = 10, 80, 43
CLASSES = ("anger", "happiness", "neutral", "sadness")
BAR = 1.2


def steps(model: PhasedModel, data: object, cfg: object, keeper: Keeper | None) -> float:
    """Mean seconds of a step by `Training`; the first epoch's last one is left out."""
    stamps: list[float] = []
    stamped(model, "training_step", stamps)
    training = build(cfg.trainer)  # type: ignore[attr-defined]
    training.max_epochs = 1
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, data, Path(folder) / "checkpoints", [], keeper)
    torch.use_deterministic_algorithms(False)
    return float(np.diff(stamps).mean())


def bare(loss: Callable[..., Tensor], model: nn.Module, batches: Iterable) -> float:
    """Mean seconds of a step of a loop."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    model.train()
    stamps = []
    for batch in batches:
        stamps.append(time.process_time())
        found = loss(batch)
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
    return float(np.diff(stamps).mean())


def vae(count: int, rounds: int) -> None:
    cfg = composed(["features=logmel80", "representation=vae", "model=lstm"])
    rng = np.random.default_rng(0)
    values = rng.standard_normal((FRAMES * count, VALUES), dtype=np.float32)
    ends = np.append(np.arange(0, len(values), FRAMES * MEAN), len(values))
    segments = cut(values, ends, np.arange(len(ends) - 1), False, frames=FRAMES, hop=FRAMES)
    node = cfg.representation
    torch.manual_seed(0)
    made: VAE = build(node.module)(Task(FRAMES * VALUES, len(CLASSES), None, {}), node.size)
    standardiser = _standardiser(segments, node.clip)
    y = np.zeros(len(segments), np.int64)
    loader = Learned._batches(standardiser, segments, y, node.batch_size, 0)
    whole = whole_tensor(segments, standardiser)

    def shuffled() -> Iterable[Tensor]:
        for chosen in torch.randperm(len(whole)).split(node.batch_size):
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
    for number in range(rounds + 1):
        taken = steps(copy.deepcopy(made), _Loaded(loader), cfg, keeper())
        model = copy.deepcopy(made)
        other = bare(partial(loss, model), model, shuffled())
        if number:  # the first round warms up
            ours.append(taken)
            others.append(other)
    told_ratio(f"vae, {len(segments):,} segments", ours, others, BAR)
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


def lstm(count: int, rounds: int) -> None:
    cfg = composed(["features=logmel80", "representation=vae", "model=lstm", "data.batch_size=128"])
    data = codes(cfg, count)
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

    found: dict[str, list[float]] = {"ours": [], "packed": [], "padded": []}
    for number in range(rounds + 1):
        taken = {"ours": steps(copy.deepcopy(made), data, cfg, None)}
        for name, loss in (("packed", packed), ("padded", padded)):
            model = copy.deepcopy(made)
            taken[name] = bare(partial(loss, model), model, batches)
        if number:
            for name, seconds in taken.items():
                found[name].append(seconds)
    utterances = len(data.fold.train)
    told_ratio(f"lstm, {utterances:,} utterances", found["ours"], found["packed"], BAR)
    told_ratio(f"{'':6}beside padded ones", found["ours"], found["padded"], BAR)


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
    parser.add_argument("--only", choices=["vae", "lstm"], action="append", help="may be repeated")
    options = parser.parse_args()
    register_resolvers()
    torch.set_num_threads(1)
    print(f"{options.segments:,} segments, {options.rounds} rounds, medians, one thread")
    for name in options.only or ["vae", "lstm"]:
        {"vae": vae, "lstm": lstm}[name](options.segments, options.rounds)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
        print(f"{'':28} at most {most:.1f} GB resident, both sides together", flush=True)


if __name__ == "__main__":
    main()
