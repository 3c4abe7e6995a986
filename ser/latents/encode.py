"""Codes, predictions and attributes of the utterances of a run."""

import numpy as np
import pandas as pd
import torch

from ser.data.datamodule import DataModule
from ser.data.prepare import Prepared
from ser.data.targets import Target
from ser.models.aae import AAE
from ser.training.prediction import predictions


def encode(model: AAE, data: DataModule) -> dict[str, np.ndarray]:
    """Return codes (N, K) by latent, of train, val and test in the order of the fold.

    Codes of an utterance's windows are averaged, like its probabilities.
    """
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in model.latents}
    with torch.inference_mode():
        for part, ids in data.fold.parts.items():
            for batch in data.split_dataloader(part) if len(ids) else ():
                for name, code in model.encode(batch).items():
                    if batch.windows is not None:
                        sums = code.new_zeros(len(batch.y), code.shape[1])
                        counts = torch.bincount(batch.windows)[:, None]
                        code = sums.index_add_(0, batch.windows, code) / counts
                    rows[name].append(code)
    return {name: torch.cat(codes).numpy() for name, codes in rows.items()}


def describe(prepared: Prepared, model: AAE) -> pd.DataFrame:
    """Return the columns of the corpus with `part`, `truth`, `prediction` and `label`.

    Returns:
        One row per utterance, indexed by id, in the order of `encode`. `label` is the class, or the
        level of a value.
    """
    data = prepared.data
    parts = []
    for part, ids in data.fold.parts.items():
        if len(ids):
            table = prepared.corpus.table.loc[ids].copy()
            table["part"], table["truth"] = part, data.target.labels.loc[ids]
            table["prediction"] = _labels(predictions(model, data, part), data.target)
            table["label"] = data.target.strata.loc[ids]
            parts.append(table)
    return pd.concat(parts)


def _labels(predicted: torch.Tensor, target: Target) -> np.ndarray:
    """Return the predicted classes or values (N,) of probabilities or values (N, C)."""
    if target.is_value:
        return predicted[:, 0].double().numpy()
    return np.asarray(target.classes)[predicted.argmax(dim=1).numpy()]
