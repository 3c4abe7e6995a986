"""Runs of a scikit-learn estimator."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from ser.data.prepare import Prepared
from ser.inference import artifacts
from ser.inference.training_range import TrainingRange
from ser.models.estimator import Estimator, layer_facts
from ser.models.steps import Synthetic, class_labels
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
    model: Estimator = components.model(
        components.representation, synthetic, data.features.layers, data.target.is_value
    )
    has_test = cfg.test and len(data.fold.test) > 0
    table = partial(prepared.grouped, model.leave_out)
    both, shares = table("train", "val"), prepared.shares("train", "val")
    is_copy = prepared.copies("train", "val")
    choice = model.choose(*both, unscored=is_copy, shares=shares)
    name = "ccc" if data.target.is_value else "ua"
    log.info(
        "chosen by inner folds over %ss: %s (%s)",
        model.leave_out,
        ", ".join(f"{key.rpartition('__')[2]}={value}" for key, value in choice.options.items()),
        f"CCC {choice.score:.3f}" if data.target.is_value else f"UA {100 * choice.score:.1f}%",
    )
    facts: dict[str, Any] = {"chosen": choice.options, f"inner_{name}": choice.score}
    facts |= layer_facts(choice)
    if model.representation is not None:

        def items(*splits: str) -> tuple[np.ndarray, np.ndarray]:
            x, y, _ = table(*splits)
            return x, class_labels(y)

        # The fit does not see the test split; its losses there are recorded for a figure.
        monitored = items("test") if has_test else None
        fitted = model.representation.fit(
            *items("train", "val"), model.size, monitored=monitored, loggers=loggers
        )
        # Examined on a fit that has not seen validation, which `model.fit` below needs as well.
        splits = {split: items(split) for split in ("train", "val")}
        learned = model.representation.fit(*splits["train"], model.size)
        quality = measure(model.representation, learned, splits, len(data.target.classes))
        facts["representation"] = quality
        codes.save(fitted, quality, folder)
        codes.write(fitted.transform(data.values_of(data.fold.everyone)), data, folder)
    # The most probable class does not depend on the temperature, which would cost one more fit of
    # the representation per inner fold.
    is_calibrated = model.representation is None
    model.fit(*table("train"), calibrated=is_calibrated, shares=prepared.shares("train"))
    predictions = {"val": model.predictions(table("val")[0])}
    model.fit(*both, shares=shares)
    if has_test:
        predictions["test"] = model.predictions(table("test")[0])
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    model.save(folder.best_estimator)
    artifacts.write(folder, prepared.signature, prepared.training_audio)
    TrainingRange.fit(data).save(folder)
    uncorrupted = len(both[0]) - (0 if is_copy is None else int(is_copy.sum()))
    facts["fitted_on"] = {"splits": ["train", "val"], "utterances": uncorrupted}
    return Outcome(predictions, facts)
