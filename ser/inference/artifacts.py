"""What a run saves beside its weights, so that its model can be applied to new speech."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

from ser.data.batches import Task
from ser.data.datamodule import DataModule
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.results import RunFolder, read_json, write_json, write_text

FACTS = "recogniser.json"
TRAINING_AUDIO = "training_audio.txt"


@dataclass(frozen=True)
class Artifacts:
    """What a finished run saved beside its weights.

    Args:
        signature: Signature of the features.
        training_audio: Digests of the audio files that the run was fitted or selected on.
        facts: Content of `recogniser.json`.
    """

    signature: str
    training_audio: frozenset[str]
    facts: dict[str, Any]

    def task(self, classes: int) -> Task:
        """Return what the network was built for.

        Args:
            classes: Number of classes.
        """
        # The groups of columns matter to diagnostics of training alone.
        task = Task(self.facts["inputs"], classes, _tensor(self.facts["class_weights"]), {})
        return replace(task, variants=_tensor(self.facts["variants"]))


def write(
    folder: RunFolder,
    signature: str,
    training_audio: Iterable[str],
    data: DataModule | None = None,
) -> None:
    """Write what a run's model needs beside its weights.

    Args:
        folder: Folder of the run, whose `checkpoints/` exists.
        signature: Signature of the features.
        training_audio: Digests of the audio files that the run was fitted or selected on.
        data: Features or codes as a network sees them; None: the model is a scikit-learn
            estimator, which contains its standardisation.
    """
    facts: dict[str, Any] = {"features": signature}
    if data is not None:
        data.standardiser.save(folder.checkpoints)
        facts["inputs"] = data.task.inputs
        for name in ("class_weights", "variants"):
            numbers: torch.Tensor | None = getattr(data.task, name)
            facts[name] = None if numbers is None else numbers.tolist()
    write_json(folder.checkpoints / FACTS, facts)
    digests = "".join(f"{digest}\n" for digest in sorted(training_audio))
    write_text(folder.checkpoints / TRAINING_AUDIO, digests)


def read(folder: RunFolder) -> Artifacts:
    """Read what `write` wrote.

    Raises:
        UserError: It is missing.
    """
    facts = read_json(folder.checkpoints / FACTS)
    audio = folder.checkpoints / TRAINING_AUDIO
    if facts is None or not audio.exists():
        raise UserError(
            f"{folder.path}: no checkpoints/{FACTS} or no checkpoints/{TRAINING_AUDIO}, which "
            "prediction needs; force=true trains the run again"
        )
    return Artifacts(facts["features"], frozenset(audio.read_text().split()), facts)


def standardiser(folder: RunFolder) -> Standardiser:
    """Return the standardiser of a network's inputs."""
    return Standardiser.load(folder.checkpoints)


def _tensor(numbers: list[float] | None) -> torch.Tensor | None:
    return None if numbers is None else torch.tensor(numbers)
