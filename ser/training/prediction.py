"""What is computed with a trained model: predictions, and a fit in closed form."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from lightning_fabric.utilities import move_data_to_device

from ser.data.batches import Batch
from ser.data.datamodule import DataModule
from ser.training.checkpoints import save_atomically
from ser.training.phased import PhasedModel
from ser.training.stopping import CheckpointSelection


def predictions(model: PhasedModel, data: DataModule, part: str) -> torch.Tensor:
    """Return probabilities or values (N, C) of a split's utterances, in the order of the fold."""
    return batch_predictions(model, data.split_dataloader(part))


def batch_predictions(model: PhasedModel, batches: Iterable[Batch]) -> torch.Tensor:
    """Return probabilities or values (N, C) of the utterances of some batches, on the CPU."""
    model.eval()
    with torch.inference_mode():
        rows = [model.predictions(batch) for batch in _on_device(batches, model)]
    return torch.cat(rows).cpu()


def fit_closed_form(
    model: PhasedModel, selection: CheckpointSelection, data: DataModule, folder: Path
) -> None:
    """Fit on the training split what is not fitted by gradients, and save it with the weights.

    Args:
        model: Model with the selected weights.
        selection: Receives the completed weights.
        data: Data of the fold.
        folder: Folder of the checkpoints.
    """
    model.eval()
    with torch.no_grad():
        model.fit_closed_form(_on_device(data.split_dataloader("train"), model))
    selection.snapshot(model)
    save_atomically(folder / "best.ckpt", selection.state_dict())


def _on_device(batches: Iterable[Batch], model: PhasedModel) -> Iterator[Batch]:
    return (move_data_to_device(batch, model.device) for batch in batches)
