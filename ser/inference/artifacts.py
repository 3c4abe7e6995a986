"""What a run saves beside its weights, so that its model can be applied to new speech."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ser.data.batches import Head, Task
from ser.data.datamodule import DataModule
from ser.data.standardise import Standardiser
from ser.errors import UserError
from ser.results import CHECKPOINTS, REPRESENTATION, RunFolder, read_json, write_json, write_text

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
            classes: Number of classes; 0: what it predicts is in its heads.
        """
        # The groups of columns matter to diagnostics of training alone.
        task = Task(self.facts["inputs"], classes, _tensor(self.facts["class_weights"]), {})
        # Runs of earlier versions had neither layers nor heads.
        layers = self.facts.get("layers", 1)
        heads = tuple(Head(**each) for each in self.facts.get("heads", ()))
        return replace(task, variants=_tensor(self.facts["variants"]), layers=layers, heads=heads)


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
        facts["inputs"], facts["layers"] = data.task.inputs, data.task.layers
        for name in ("class_weights", "variants"):
            numbers: torch.Tensor | None = getattr(data.task, name)
            facts[name] = None if numbers is None else numbers.tolist()
        if data.task.heads:
            # The weights have the scale of the values.
            facts["heads"] = [
                {"name": head.name, "classes": head.classes, "weight": head.weight}
                for head in data.task.heads
            ]
    write_json(folder.checkpoints / FACTS, facts)
    digests = "".join(f"{digest}\n" for digest in sorted(training_audio))
    write_text(folder.checkpoints / TRAINING_AUDIO, digests)


def read(folder: RunFolder, result: Mapping[str, Any]) -> Artifacts:
    """Read what `write` wrote, after all files of the model have been verified.

    Args:
        folder: Folder of the run.
        result: Content of its `result.json`.

    Raises:
        UserError: A file is missing or damaged.
    """
    folder.require_intact(result, CHECKPOINTS, REPRESENTATION)
    facts = read_json(folder.checkpoints / FACTS)
    if facts is None:
        raise UserError(
            f"{folder.path}: no checkpoints/{FACTS}, which prediction needs; {folder.REMEDY}"
        )
    audio = training_audio(folder)
    if len(audio) != result.get("training_audio", len(audio)) or not audio:
        raise UserError(
            f"{folder.checkpoints / TRAINING_AUDIO} does not list the audio of the training, so "
            f"nobody can tell what the run was trained on; {folder.REMEDY}"
        )
    return Artifacts(facts["features"], audio, facts)


def training_audio(folder: RunFolder) -> frozenset[str]:
    """Return the digests of the audio files that a run was fitted or selected on.

    Raises:
        UserError: The file is missing or damaged.
    """
    file = folder.checkpoints / TRAINING_AUDIO
    try:
        return frozenset(file.read_text().split())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read, which prediction needs; {folder.REMEDY}"
        ) from error


def standardiser(folder: RunFolder) -> Standardiser:
    """Return the standardiser of a network's inputs."""
    return Standardiser.load(folder.checkpoints)


def _tensor(numbers: list[float] | None) -> torch.Tensor | None:
    return None if numbers is None else torch.tensor(numbers)
