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
    """Return the columns of the corpus with `part`, `truth`, `prediction` and labels.

    Returns:
        One row per utterance, indexed by id, in the order of `encode`. `label_<task>` is the class,
        or the level of a value, and `truth_<task>` the class or value; both are missing where there
        is none. Of several tasks, `truth` and `prediction` name each: "valence 3.5, emotion anger".
    """
    data = prepared.data
    parts = []
    for part, ids in data.fold.parts.items():
        if len(ids):
            table = prepared.corpus.table.loc[ids].copy()
            table["part"] = part
            predicted = predictions(model, data, part)
            table["truth"], table["prediction"] = _outcomes(predicted, data.target, ids)
            for task in data.target.tasks or (data.target,):
                table[f"label_{task.name}"] = task.strata.reindex(ids)
                table[f"truth_{task.name}"] = task.truth.reindex(ids)
            parts.append(table)
    return pd.concat(parts)


def _outcomes(
    predicted: torch.Tensor, target: Target, ids: pd.Index
) -> tuple[pd.Series, pd.Series]:
    """Return truth and prediction of N utterances as they are shown.

    Args:
        predicted: (N, W) probabilities and values, tasks side by side.
        target: Target of the run.
        ids: N utterance ids.
    """
    if not target.tasks:
        return target.labels.loc[ids], pd.Series(_labels(predicted, target), ids)
    truth, named = pd.Series("", ids), pd.Series("", ids)
    widths = [len(task.classes) or 1 for task in target.tasks]
    for task, own in zip(target.tasks, predicted.split(widths, dim=1), strict=True):
        truth += _named(task, task.labels.reindex(ids))
        named += _named(task, pd.Series(_labels(own, task), ids))
    return truth.str.removeprefix(", "), named.str.removeprefix(", ")


def _named(task: Target, labels: pd.Series) -> pd.Series:
    """Return labels with the name of their task, e.g. ", valence 3.50"; "" where there is none."""
    texts = labels.map("{:.2f}".format) if task.is_value else labels.astype(str)
    return (f", {task.name} " + texts).where(labels.notna(), "")


def _labels(predicted: torch.Tensor, target: Target) -> np.ndarray:
    """Return the predicted classes or values (N,) of probabilities or values (N, C)."""
    if target.is_value:
        return predicted[:, 0].double().numpy()
    return np.asarray(target.classes)[predicted.argmax(dim=1).numpy()]
