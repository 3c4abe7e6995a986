"""Finished runs on a made corpus, with all files that a command leaves."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import OmegaConf
from small import Composed

from ser.runs.run import run


def train(
    composed: Callable[..., Composed], corpus: Path, folder: Path, *options: str
) -> list[str]:
    """Train a run as `train.py` does, Hydra's files included, and return its overrides."""
    overrides = [
        *("corpus=manifest", f"corpus.root={corpus}/made.csv"),
        *("features=egemaps", "fold=session", "trainer.max_epochs=2"),
        *options,
    ]
    cfg, names = composed(*overrides)
    hydra = folder / ".hydra"
    hydra.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(cfg, hydra / "config.yaml")
    choices = {"hydra": {"runtime": {"choices": dict(names)}}}
    OmegaConf.save(OmegaConf.create(choices), hydra / "hydra.yaml")
    OmegaConf.save(OmegaConf.create(overrides), hydra / "overrides.yaml")
    run(cfg, folder, names)
    return overrides
