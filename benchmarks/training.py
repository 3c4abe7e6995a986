"""Compare training with bare PyTorch loops that compute the same, in turn, on one thread each.

    python benchmarks/training.py [--rounds 5] [--only mlp|aae|frames ...] [CONFIG ...]
    python benchmarks/training.py corpus=emodb corpus.root=CORPUS store.root=STORE target=emotion

Without CONFIG (arguments of train.py) the data are random, of EMO-DB's size: 428 utterances for
training, 49 for validation; 6,373 functionals, or 65 descriptors per frame and 278 frames on
average. Prints medians over rounds, with minimum and maximum:

- mlp: 100 epochs from the first step to the last, with validation and checkpoint selection in each
  epoch (bar: 1.15);
- aae, frames: one step of all phases at utterance and frame level, from the start of one step to
  the start of the next, which includes the loader and Lightning (bar: 1.1);
- the share of the loader: time to make a batch, relative to such a step.

The bare loops have the same networks, fused Adam and all data in memory. They do not record, log or
save anything, and do not use deterministic mode, in which torch fills new memory. Their batches for
the AAE are prepared in advance. Times are processor times, because other programs disturb the wall
clock more; effects on both halves of a round cancel in its ratio.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional

from ser.config import CONF, build
from ser.config.run_key import register_resolvers
from ser.data.batches import Batch
from ser.data.datamodule import DataModule, View
from ser.data.folds import Fold
from ser.data.prepare import prepare
from ser.data.targets import Target
from ser.features import Features
from ser.metrics import confusion_matrix, unweighted_accuracy
from ser.models.aae import AAE
from ser.models.classifier import Classifier
from ser.training.phased import PhasedModel
from ser.training.trainer import Training

CLASSES = tuple("abcdefg")
TRAIN, VAL, TEST = 428, 49, 58
EPOCHS = {"mlp": 100, "aae": 4, "frames": 2}
BAR = {"mlp": 1.15, "aae": 1.1, "frames": 1.1}


def composed(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose("train", overrides)


def random_data(cfg: DictConfig, view: View) -> DataModule:
    """Random data with as many utterances and frames as EMO-DB."""
    rng = np.random.default_rng(0)
    count, frames = TRAIN + VAL + TEST, cfg.features.level == "frame"
    ids = pd.Index([f"u{i:03d}" for i in range(count)])
    lengths = rng.gamma(8, 278 / 8, count).astype(int).clip(60, 900)
    offsets = np.concatenate([[0], lengths.cumsum()]) if frames else None
    rows = int(lengths.sum()) if frames else count
    values = rng.standard_normal((rows, cfg.features.dim), dtype=np.float32)
    labels = pd.Series(rng.permutation(np.resize(CLASSES, count)), index=ids)
    train, val, test = ids[:TRAIN], ids[TRAIN : TRAIN + VAL], ids[TRAIN + VAL :]
    columns = tuple(f"c{i}" for i in range(cfg.features.dim))
    return build(cfg.data)(
        Features(ids, values, offsets, columns, cfg.features.level),
        Target("emotion", CLASSES, labels),
        Fold(0, 1, train, val, test, fit=train, speaker_independent=False),
        pd.Series("s", index=ids),
        cfg.seed,
        view,
    )


def stamped(model: PhasedModel, hook: str, stamps: list[float]) -> None:
    """Record the time of each call of a hook of the model."""
    called: Callable = getattr(model, hook)

    def wrapped(*args: object) -> object:
        stamps.append(time.process_time())
        return called(*args)

    setattr(model, hook, wrapped)


def trained(model: PhasedModel, data: DataModule, cfg: DictConfig, epochs: int) -> list[float]:
    """Times at which each step of `Training` started, and at which training ended."""
    stamps: list[float] = []
    stamped(model, "training_step", stamps)
    stamped(model, "on_train_end", stamps)
    training: Training = build(cfg.trainer)
    training.max_epochs = epochs
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, data, Path(folder) / "checkpoints", [])
    torch.use_deterministic_algorithms(False)
    return stamps


def bare_mlp(model: Classifier, data: DataModule, epochs: int) -> float:
    """Seconds of a loop that trains, validates in each epoch and keeps the best weights."""
    train, val = (list(data.split_dataloader(part)) for part in ("train", "val"))
    x, y = torch.cat([b.x for b in train]), torch.cat([b.y for b in train])
    x_val, y_val = torch.cat([b.x for b in val]), torch.cat([b.y for b in val]).numpy()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    best, weights = -1.0, {}
    started = time.process_time()
    for _ in range(epochs):
        model.train()
        total = torch.zeros(())
        for chosen in torch.randperm(len(x)).split(data.batch_size):
            loss = functional.cross_entropy(model.head(model.encoder(x[chosen])), y[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(chosen)
        model.eval()
        with torch.inference_mode():
            predictions = model.head(model.encoder(x_val)).argmax(dim=1).numpy()
        score = unweighted_accuracy(confusion_matrix(y_val, predictions, model.head.out_features))
        if score > best:
            best, weights = score, {k: v.clone() for k, v in model.state_dict().items()}
    assert weights
    return time.process_time() - started


def aae_step(model: AAE) -> Callable[[Batch], None]:
    """A step of all four phases."""
    latents = list(model.latents.values())
    encoding = [model.encoder, *(latent.head for latent in latents)]
    label_head = model.latents[model.classifier].head
    reconstructs, discriminates, generates, classifies = (
        torch.optim.Adam((p for m in modules for p in m.parameters()), lr=rate, fused=True)
        for modules, rate in (
            ([*encoding, model.decoder], 1e-3),
            ([latent.discriminator for latent in latents], 1e-4),
            (encoding, 1e-3),
            ([model.encoder, label_head], 1e-3),
        )
    )
    cross_entropy = functional.binary_cross_entropy_with_logits

    def codes(x: Tensor, lengths: Tensor | None) -> list[Tensor]:
        encoded = model.encoder(x, lengths)
        return [latent.prior.code(latent.head(encoded)) for latent in latents]

    def step(batch: Batch) -> None:
        x, y, lengths, *_ = batch
        frames = () if lengths is None else (lengths, x.shape[1])
        reconstruction = model.decoder(torch.cat(codes(x, lengths), dim=1), *frames)
        count = x.numel() if lengths is None else lengths.sum() * x.shape[2]
        reconstructs.zero_grad()
        ((reconstruction - x).square().sum() / count).backward()
        reconstructs.step()

        fake = codes(x, lengths)
        ones, zeros = torch.ones(len(x), device=x.device), torch.zeros(len(x), device=x.device)
        losses = []
        for latent, code in zip(latents, fake, strict=True):
            real = latent.prior.sample(y, latent.size, latent.classes)
            logits = latent.discriminator(torch.cat([real, code.detach()]))
            losses.append(cross_entropy(logits, torch.cat([ones, zeros])))
        discriminates.zero_grad()
        torch.stack(losses).sum().backward()
        discriminates.step()

        fooled = [latent.discriminator(code) for latent, code in zip(latents, fake, strict=True)]
        generates.zero_grad()
        torch.stack([cross_entropy(logits, ones) for logits in fooled]).sum().backward()
        generates.step()

        classifies.zero_grad()
        functional.cross_entropy(label_head(model.encoder(x, lengths)), y).backward()
        classifies.step()

    return step


def bare_aae(model: AAE, batches: list[Batch]) -> list[float]:
    """Times at which each step of a loop over the phases started, and at which the last ended."""
    step, stamps = aae_step(model), []
    model.train()
    for batch in batches:
        stamps.append(time.process_time())
        step(batch)
    return [*stamps, time.process_time()]


def loading(data: DataModule) -> float:
    """Seconds to make a training batch."""
    loader = data.train_dataloader()
    started = time.process_time()
    for epoch in range(5):
        loader.set_epoch(epoch)
        for _ in loader:
            pass
    return (time.process_time() - started) / (5 * len(loader))


def print_ratio(what: str, ours: list[float], bare: list[float], bar: float) -> None:
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    print(
        f"{what:28} {median(ours):8.4f} s  bare {median(bare):8.4f} s  ratio "
        f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), bar {bar}",
        flush=True,
    )


def measure(name: str, overrides: list[str], rounds: int) -> None:
    features = "lld" if name == "frames" else "functionals"
    model_name = "mlp" if name == "mlp" else "aae"
    cfg = composed([*overrides, f"features={features}", f"model={model_name}"])
    view = View(unlabelled=name != "mlp")
    data = prepare(cfg).with_view(view) if overrides else random_data(cfg, view)
    data.setup("fit")
    torch.manual_seed(0)
    model = build(cfg.model)(data.task)
    epochs = EPOCHS[name]
    ours, bare = [], []
    for number in range(rounds + 1):
        stamps = trained(copy.deepcopy(model), data, cfg, epochs)
        if name == "mlp":
            taken = stamps[-1] - stamps[0], bare_mlp(copy.deepcopy(model), data, epochs)
        else:
            # The same batches in the same order: at frame level the time depends on the lengths.
            loader, batches = data.train_dataloader(), []
            for epoch in range(epochs):
                loader.set_epoch(epoch)
                batches += list(loader)
            steps = np.diff(stamps)
            # The last step of an epoch includes validation, which the bare loop does not have.
            within = np.arange(len(steps)) % len(loader) != len(loader) - 1
            bare_steps = np.diff(bare_aae(copy.deepcopy(model), batches))
            taken = float(steps[within].mean()), float(bare_steps[within].mean())
        if number:  # the first round warms up
            ours.append(taken[0])
            bare.append(taken[1])
    what = f"{name}, {epochs} epochs" if name == "mlp" else f"{name}, one step"
    print_ratio(what, ours, bare, BAR[name])
    step = median(ours) / (epochs * len(data.train_dataloader())) if name == "mlp" else median(ours)
    load = median(loading(data) for _ in range(rounds))
    print(f"{'':28} loading a batch {load * 1e3:.2f} ms, {load / step:.1%} of a step", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="CONFIG", help="of real data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=list(BAR), action="append", help="may be repeated")
    options = parser.parse_args()
    register_resolvers()
    torch.set_num_threads(1)
    print(f"{options.overrides or 'random data'}, {options.rounds} rounds, medians, one thread")
    for name in options.only or BAR:
        measure(name, options.overrides, options.rounds)


if __name__ == "__main__":
    main()
