"""Correctness of training on a device. Used by `gpu.py`."""

import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytorch_lightning as pl
import soundfile
import torch
from gpu_steps import Setup, system
from lightning_fabric.utilities import move_data_to_device
from omegaconf import DictConfig
from torch import Tensor, nn

from ser.config import build
from ser.data.datamodule import DataModule
from ser.training.phased import PhasedModel
from ser.training.trainer import Training

ROOT = Path(__file__).parent.parent
BAR = 1e-4  # largest relative difference of a loss over an epoch
TOLERANCE = 10  # times the difference that rounding alone makes, see `losses`
EMOTIONS = ("anger", "happiness", "neutral", "sadness")


class Killed(BaseException):
    """Raised in place of a kill: not an `Exception`, so that nothing cleans up."""


def losses(setup: Setup) -> dict[str, Any]:
    """Compare one epoch on the device with one on the CPU: batches, and the loss of each phase.

    Dropout is off, and samples of priors are drawn on the CPU, because devices have generators of
    their own. Batch normalisation and Adam enlarge differences of rounding. So a third training, on
    the CPU with initial weights that differ by one rounding, shows what differences are normal.
    """
    results, failed = {}, []
    for name in setup.systems:
        cfg, data = _data(setup, name, shorter=name.startswith("frame"))
        cfg.trainer.graphs = False  # because samples are drawn on the CPU
        torch.manual_seed(0)
        model = build(cfg.model)(data.task)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        equal = _equal_batches(data, setup.device)
        before = _first_losses(data, model, "cpu"), _first_losses(data, model, setup.device)
        first = max(abs(b / a - 1) for a, b in zip(*before, strict=True))
        rows = {
            which: _first_epoch(cfg, data, start, accelerator)
            for which, start, accelerator in (
                ("cpu", model, "cpu"),
                ("rounded", _rounded(model), "cpu"),
                ("device", model, setup.accelerator),
            )
        }
        names = [key for key in rows["cpu"] if key.startswith("train/") and key.endswith("_loss")]
        largest, normal = (
            max(abs(rows[which][key] / rows["cpu"][key] - 1) for key in names)
            for which in ("device", "rounded")
        )
        bar = max(BAR, TOLERANCE * normal)
        print(
            f"  {name:24} batches {'equal' if equal else 'DIFFER'}; largest relative difference of "
            f"{len(names)} losses: before the first step {first:.1e} (bar {BAR:.0e}), of an epoch "
            f"{largest:.1e} (bar {bar:.0e}; after one rounding on the CPU {normal:.1e})",
            flush=True,
        )
        results[name] = {
            "equal_batches": equal, "first": first, "epoch": largest, "rounding": normal,
        }  # fmt: skip
        if not (equal and first <= BAR and largest <= bar):
            failed.append(name)
    require(not failed, f"the device and the CPU differ: {', '.join(failed)}")
    return results


def _data(setup: Setup, name: str, *, shorter: bool) -> tuple[DictConfig, DataModule]:
    """A system and its data; `shorter`: an eighth of the utterances for training."""
    size = setup.size
    if shorter:
        size = replace(size, train=max(3 * size.batch, size.train // 8))
    return system(replace(setup, size=size), name)


def _first_losses(data: DataModule, start: PhasedModel, device: str) -> list[float]:
    """The loss of each phase on the first batch, before any step."""
    model = copy.deepcopy(start).to(device)
    _draw_on_cpu(model)
    torch.manual_seed(1)
    batch = move_data_to_device(next(iter(data.train_dataloader())), torch.device(device))
    with torch.no_grad():
        return [float(loss) for loss in model.losses(batch).values()]


def _draw_on_cpu(model: PhasedModel) -> None:
    """Let samples of priors be drawn on the CPU, whatever the device."""
    for latent in getattr(model, "latents", {}).values():
        latent.sample_prior = _on_cpu(latent.sample_prior)


def _first_epoch(cfg: Any, data: Any, start: PhasedModel, accelerator: str) -> dict[str, float]:
    """The record of the first epoch of a training."""
    model = copy.deepcopy(start)
    _draw_on_cpu(model)
    torch.manual_seed(1)
    _fit(cfg, data, model, accelerator, 1)
    return model.record[0]


def _fit(
    cfg: Any, data: Any, model: PhasedModel, accelerator: str, epochs: int, root: Any = None
) -> None:
    cfg = copy.deepcopy(cfg)
    cfg.trainer.accelerator, cfg.trainer.max_epochs = accelerator, epochs
    training: Training = build(cfg.trainer)
    with tempfile.TemporaryDirectory() as folder:
        training.fit(model, data, Path(root or folder) / "checkpoints", [])
    torch.use_deterministic_algorithms(False)


def _on_cpu(sample: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda labels, noise: sample(labels.cpu(), noise).to(labels.device)


def _rounded(model: PhasedModel) -> PhasedModel:
    """The model with weights that differ in the last of the 24 bits of float32."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.mul_(1 + torch.randn_like(parameter).sign() * 2**-24)
    return changed


def _equal_batches(data: DataModule, device: str) -> bool:
    """Whether batches gathered on the device have the same values as those of the CPU."""
    ours, theirs = data.train_dataloader(), data.train_dataloader()
    ours.move(torch.device(device))
    try:
        return all(
            torch.equal(a.x.cpu(), b.x) and torch.equal(a.y.cpu(), b.y)
            for a, b in zip(ours, theirs, strict=True)
        )
    finally:
        ours.move(torch.device("cpu"))


def resumed(setup: Setup) -> dict[str, Any]:
    """Compare a training with the same one again, stopped and continued, and without graphs."""
    results, failed = {}, []
    for name in (each for each in ("utterance_aae", "frame_aae") if each in setup.systems):
        cfg, data = _data(setup, name, shorter=True)
        stop = len(data.train_dataloader()) + 1  # in the second epoch
        weights, records = {}, {}
        for which in ("whole", "repeated", "continued", "without graphs"):
            own = copy.deepcopy(cfg)
            own.trainer.checkpoint_seconds = 0 if which == "continued" else 1e9
            own.trainer.graphs = which != "without graphs"
            with tempfile.TemporaryDirectory() as root:
                if which == "continued":
                    _killed(own, data, setup.accelerator, root, stop)
                model = _seeded(own, data)
                # A process that continues has another random state.
                pl.seed_everything(int(which == "continued"), verbose=False)
                _fit(own, data, model, setup.accelerator, 2, root)
                weights[which] = {key: each.cpu() for key, each in model.state_dict().items()}
                records[which] = (Path(root) / "metrics.csv").read_text()
        whole = weights["whole"]
        facts = {
            which: max(float((whole[key].double() - own[key].double()).abs().max()) for key in own)
            for which, own in weights.items()
        }
        listed = ", ".join(
            f"{which} {facts[which]:.1e} (record {_words(records[which] == records['whole'])})"
            for which in list(weights)[1:]
        )
        print(f"  {name:24} largest difference of a weight: {listed}", flush=True)
        results[name] = facts
        if facts["repeated"] == 0 and facts["continued"] > 0:
            failed.append(name)
    require(not failed, f"continued and whole trainings differ: {', '.join(failed)}")
    return results


def _words(equal: bool) -> str:
    return "equal" if equal else "DIFFERENT"


def _seeded(cfg: Any, data: DataModule) -> PhasedModel:
    torch.manual_seed(0)
    return build(cfg.model)(data.task)


def _killed(cfg: Any, data: Any, accelerator: str, root: str, stop: int) -> None:
    """Train until a step, and stop as a kill would."""
    count, step = [0], PhasedModel.training_step

    def stopping(self: PhasedModel, batch: Any, number: int) -> None:
        if count[0] == stop:
            raise Killed
        count[0] += 1
        step(self, batch, number)

    model = _seeded(cfg, data)
    pl.seed_everything(0, verbose=False)
    with patch.object(PhasedModel, "training_step", stopping):
        try:
            _fit(cfg, data, model, accelerator, 2, root)
        except Killed:
            return
    raise RuntimeError("the training was not stopped")


def commands(setup: Setup) -> dict[str, Any]:
    """Compare runs of train.py: killed and started again, four on one GPU, and packs."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        options = [
            *_corpus(root), "model=aae", "trainer.checkpoint_seconds=0", "trainer.max_epochs=30",
            f"trainer.accelerator={setup.accelerator}", f"store.root={root / 'store'}",
            f"fitted={root / 'fitted'}",
        ]  # fmt: skip
        seconds = _train([*options, f"hydra.run.dir={root / 'whole'}"])
        _kill([*options, f"hydra.run.dir={root / 'killed'}"], root / "killed")
        _train([*options, f"hydra.run.dir={root / 'killed'}"])
        whole, killed = (
            (root / name / "predictions.csv").read_bytes() for name in ("whole", "killed")
        )
        result = json.loads((root / "whole" / "result.json").read_text())
        joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=4", "trainer.runs_per_gpu=4"]
        four, beside = _sweep(root / "four", options, *joblib, "seed=0,1,2,3")
        pack, packed = _sweep(root / "pack", options, "hydra/launcher=packed", "seed=0,1,2,3")
        _, smaller = _sweep(root / "two", options, "hydra/launcher=packed", "seed=2,0")
    facts = {
        "run_s": seconds, "killed_equal": whole == killed, "device": result.get("device"),
        "four_runs_s": four, "finished_of_four": len(beside), "finished_of_pack": len(packed),
        "in_company_equal": beside[0] == whole, "other_pack_equal": packed[0] == smaller[0],
        "pack_s": pack,
    }  # fmt: skip
    print(
        f"  one run {seconds:.1f} s; killed and started again: predictions "
        f"{_words(whole == killed)}; four at a time {four:.1f} s, {len(beside)} of 4 finished, the "
        f"first one's predictions {_words(beside[0] == whole)} to those of the run alone; "
        f"device in result.json: {facts['device']}\n"
        f"  four in one pack {pack:.1f} s, {len(packed)} of 4 finished, the first one's "
        f"predictions {_words(packed[0] == smaller[0])} to those of a pack of two",
        flush=True,
    )
    require(len(beside) == len(packed) == 4, "not all of the four runs are finished")
    require(whole == killed, "the run that was killed has other predictions")
    require((setup.device == "cuda") == (facts["device"] is not None), "device in result.json")
    return facts


def _sweep(folder: Path, options: list[str], *more: str) -> tuple[float, dict[int, bytes]]:
    """Return the seconds of a sweep over seeds, and the predictions of each finished run."""
    seconds = _train(["-m", *options, *more, f"hydra.sweep.dir={folder}"])
    runs = [path.parent for path in folder.rglob("result.json")]
    seeds = [int(run.name.partition("seed-")[2].partition("-")[0]) for run in runs]
    predictions = [(run / "predictions.csv").read_bytes() for run in runs]
    return seconds, dict(zip(seeds, predictions, strict=True))


def _corpus(root: Path) -> list[str]:
    """Write noise and embeddings of 8 speakers, and return the options of a run on them."""
    rng = np.random.default_rng(0)
    lines, vectors = ["file,speaker,emotion"], {}
    for number in range(160):
        speaker, emotion = number % 8, EMOTIONS[number // 8 % 4]
        soundfile.write(root / f"u{number:03d}.wav", rng.normal(0, 0.1, 1600), 16000)
        lines.append(f"u{number:03d}.wav,s{speaker},{emotion}")
        shift = EMOTIONS.index(emotion) / 2
        vectors[f"u{number:03d}"] = (rng.standard_normal(512) + shift).astype(np.float32)
    (root / "speech.csv").write_text("\n".join(lines) + "\n")
    np.savez(root / "vectors.npz", **vectors)
    return [
        "corpus=manifest", f"corpus.root={root / 'speech.csv'}", "features=files",
        f"features.root={root / 'vectors.npz'}", "fold=speaker_kfold",
    ]  # fmt: skip


def _train(arguments: list[str]) -> float:
    """Run train.py, and return its seconds."""
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    started = time.perf_counter()
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if process.returncode:
        output = (process.stdout + process.stderr)[-2000:]
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}\n{output}")
    return time.perf_counter() - started


def _kill(arguments: list[str], folder: Path) -> None:
    """Start a run, and kill it when it has trained for three epochs."""
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        metrics, deadline = folder / "metrics.csv", time.monotonic() + 120
        while not metrics.exists() or len(metrics.read_text().splitlines()) < 4:
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    require(not (folder / "result.json").exists(), "the run was finished before it was killed")
    require((folder / "checkpoints" / "last.ckpt").exists(), "the killed run left no checkpoint")


def require(condition: bool, message: str) -> None:
    """Raise an error that fails the section."""
    if not condition:
        raise RuntimeError(message)
