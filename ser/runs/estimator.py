"""Runs of a scikit-learn estimator."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from ser.data.prepare import Prepared
from ser.inference import artifacts
from ser.inference.training_range import TrainingRange
from ser.models.estimator import LAYER, Estimator
from ser.models.steps import Synthetic
from ser.results import RunFolder
from ser.runs import codes
from ser.runs.components import Components, Outcome
from ser.runs.quality import measure

log = logging.getLogger(__name__)


def fit_estimator(
    cfg: DictConfig,
    prepared: Prepared,
    folder: RunFolder,
    components: Components,
    loggers: Sequence[Logger],
) -> Outcome:
    """Choose options by inner folds over train + validation, fit, predict and save.

    Validation is scored by a fit on the training split alone; the test split by a fit on both.

    Args:
        cfg: Configuration of the run.
        prepared: Data of the run.
        folder: Folder of the run.
        components: What learns.
        loggers: Loggers of the representation's training.
    """
    data = prepared.data
    synthetic = None
    if cfg.train_on != "real":
        synthetic = Synthetic(cfg.synthetic_per_class, with_real=cfg.train_on == "both")
    model: Estimator = components.model(components.representation, synthetic, data.features.layers)
    has_test = cfg.test and len(data.fold.test) > 0

    def table(*splits: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, ids = data.table(*splits)
        sources = data.sources_of(pd.Index(ids))
        return x, y, prepared.corpus.table.loc[sources, model.leave_out].to_numpy()

    both = table("train", "val")
    is_copy = np.isin(data.table("train", "val")[2], data.fold.copies.index)
    choice = model.choose(*both, unscored=is_copy if is_copy.any() else None)
    log.info(
        "chosen by inner folds over %ss: %s (UA %.1f%%)",
        model.leave_out,
        ", ".join(f"{key.rpartition('__')[2]}={value}" for key, value in choice.options.items()),
        100 * choice.score,
    )
    facts: dict[str, Any] = {"chosen": choice.options, "inner_ua": choice.score}
    if LAYER in choice.tried:
        best = choice.tried.groupby(LAYER)["ua"].max()
        facts["layer"] = choice.options[LAYER]
        facts["inner_ua_by_layer"] = {str(layer): score for layer, score in best.items()}
    if model.representation is not None:
        # The fit does not see the test split; its losses there are recorded for a figure.
        monitored = table("test")[:2] if has_test else None
        fitted = model.representation.fit(
            *both[:2], model.size, monitored=monitored, loggers=loggers
        )
        # Examined on a fit that has not seen validation, which `model.fit` below needs as well.
        splits = {split: table(split)[:2] for split in ("train", "val")}
        learned = model.representation.fit(*splits["train"], model.size)
        quality = measure(model.representation, learned, splits, len(data.target.classes))
        facts["representation"] = quality
        codes.save(fitted, quality, folder)
        codes.write(fitted.transform(data.values_of(data.fold.everyone)), data, folder)
    # The most probable class does not depend on the temperature, which would cost one more fit of
    # the representation per inner fold.
    model.fit(*table("train"), calibrated=model.representation is None)
    probabilities = {"val": model.probabilities(table("val")[0])}
    model.fit(*both)
    if has_test:
        probabilities["test"] = model.probabilities(table("test")[0])
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    model.save(folder.best_estimator)
    artifacts.write(folder, prepared.signature, prepared.training_audio)
    TrainingRange.fit(data).save(folder)
    facts["fitted_on"] = {"splits": ["train", "val"], "utterances": int((~is_copy).sum())}
    return Outcome(probabilities, facts)
