"""Codes, predictions and attributes of the utterances of a run."""

import numpy as np
import pandas as pd
import torch

from ser.data.datamodule import DataModule
from ser.data.prepare import Prepared
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
    """Return the columns of the corpus with `part`, `truth` and `prediction`.

    Returns:
        One row per utterance, indexed by id, in the order of `encode`.
    """
    data = prepared.data
    names = np.asarray(data.target.classes)
    parts = []
    for part, ids in data.fold.parts.items():
        if len(ids):
            table = prepared.corpus.table.loc[ids].copy()
            table["part"], table["truth"] = part, data.target.labels.loc[ids]
            table["prediction"] = names[predictions(model, data, part).argmax(dim=1).numpy()]
            parts.append(table)
    return pd.concat(parts)
