"""What a run leaves so that its model can see new speech."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from ser import results
from ser.config import build
from ser.data.datamodule import DataModule

FACTS = "recogniser.json"
HEARD = "heard.txt"


def keep(cfg: DictConfig, data: DataModule | None, heard: Iterable[str], folder: Path) -> None:
    """Leaves beside a run's weights what its model needs beyond them to see new speech.

    Args:
        cfg: of the run.
        data: as a network has seen it: features, or codes; None: scikit-learn's models know it.
        heard: digests of the audio files that it was fitted or chosen on.
        folder: of the weights, which is there.
    """
    facts: dict[str, Any] = {"features": build(cfg.features).signature}
    if data is not None:
        data.standardiser.save(folder)
        facts["inputs"] = data.task.inputs
        for name in ("class_weights", "variants"):
            numbers: torch.Tensor | None = getattr(data.task, name)
            facts[name] = None if numbers is None else numbers.tolist()
    results.write_json(folder / FACTS, facts)
    results.write_text(folder / HEARD, "".join(f"{digest}\n" for digest in sorted(heard)))
