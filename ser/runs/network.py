"""Runs of a network that is trained by phases."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from hydra.utils import get_class
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from ser.config import build
from ser.config.run_key import classifies_segments
from ser.data.batches import UNLABELLED
from ser.data.datamodule import DataModule, View
from ser.data.prepare import Prepared
from ser.data.segments import Segments, each_alone
from ser.features import Features
from ser.inference import artifacts
from ser.inference.training_range import TrainingRange
from ser.networks.layer_sum import LayerSum
from ser.representations import Fitted, Items, Representation
from ser.representations.learned import Network
from ser.results import RunFolder
from ser.runs import banner, codes, sharing
from ser.runs.components import Components, Outcome
from ser.runs.quality import examined, measure
from ser.training import calibration
from ser.training.phased import PhasedModel
from ser.training.prediction import fit_closed_form, predictions
from ser.training.stopping import CheckpointSelection

log = logging.getLogger(__name__)

Cut = Callable[..., Segments]


def fit_network(
    cfg: DictConfig,
    prepared: Prepared,
    folder: RunFolder,
    components: Components,
    loggers: Sequence[Logger],
) -> Outcome:
    """Fit the representation, if there is one, train the network, predict and save.

    Args:
        cfg: Configuration of the run.
        prepared: Data of the run.
        folder: Folder of the run.
        components: What learns. The network sees the codes of the representation, or is initialised
            with its weights.
        loggers: Loggers of both trainings.
    """
    fitted, segments = None, components.segments
    facts: dict[str, Any] = {}
    if components.representation is not None:
        representation = components.representation
        fitted = fit_representation(cfg, prepared, representation, segments, loggers)
        facts["representation"] = _quality(cfg, prepared.data, representation, fitted, segments)
        codes.save(fitted, facts["representation"], folder)
        pl.seed_everything(cfg.seed, verbose=False)
    unlabelled = cast(type[PhasedModel], get_class(cfg.model._target_)).uses_unlabelled
    one_by_one = classifies_segments(cfg)
    if fitted is not None and cfg.transfer == "codes":
        data = coded_data(cfg, prepared, fitted, segments, unlabelled, folder)
    else:
        view = View(
            segments=segments if one_by_one else None,
            unlabelled=unlabelled,
            standardiser=fitted.standardiser if isinstance(fitted, Network) else None,
        )
        data = prepared.with_view(view)
    model: PhasedModel = components.model(data.task)
    if isinstance(fitted, Network) and cfg.transfer == "weights":
        fitted.initialise(model)
    banner.parameters(components.name, model, components.trainer.max_epochs)
    selected = sharing.fit(cfg, prepared, components.trainer, model, data, folder, loggers)
    return tested(cfg, prepared, folder, model, data, selected, facts)


def tested(
    cfg: DictConfig,
    prepared: Prepared,
    folder: RunFolder,
    model: PhasedModel,
    data: DataModule,
    selected: CheckpointSelection,
    facts: Mapping[str, Any],
) -> Outcome:
    """Save a trained network, and predict validation and test.

    Args:
        cfg: Configuration of the run.
        prepared: Data of the run.
        folder: Folder of the run.
        model: Model with the selected weights.
        data: Data as the model sees them.
        selected: Selection of the weights.
        facts: Further facts for `result.json`.
    """
    fit_closed_form(model, selected, data, folder.checkpoints)
    artifacts.write(folder, prepared.signature, prepared.training_audio, data)
    TrainingRange.fit(prepared.data).save(folder)
    splits = [s for s in (("val", "test") if cfg.test else ("val",)) if len(data.fold.parts[s])]
    predicted = {split: predictions(model, data, split).numpy() for split in splits}
    predicted, temperature = calibration.calibrated(
        cfg.calibrate, predicted, data.classes_of(data.fold.val)
    )
    facts = {
        **facts,
        **_layer_weights(model, data),
        "fitted_on": {"splits": ["train"], "utterances": len(data.labelled)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    return Outcome(predicted, {"best_epoch": selected.epoch, **facts, **temperature})


def _layer_weights(model: PhasedModel, data: DataModule) -> dict[str, Any]:
    """Return the learned weights of the layers of a pretrained encoder; nothing if there are none.

    The weights are those of the selected epoch.
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, LayerSum):
        return {}
    weights = encoder.weights.tolist()
    return {"layer_weights": dict(zip(map(str, data.features.layers), weights, strict=True))}


def fit_representation(
    cfg: DictConfig,
    prepared: Prepared,
    representation: Representation,
    segments: Cut,
    loggers: Sequence[Logger],
) -> Fitted:
    """Fit on the training split, and on what else `fit_on` allows, without labels."""
    (size,) = representation.sizes
    train = prepared.data.fold.training
    x, y = items_of(cfg, prepared.data, train.append(prepared.beyond), segments)
    labelled = x.offsets[len(train)] if isinstance(x, Segments) else len(train)
    y = np.where(np.arange(len(y)) < labelled, y, UNLABELLED)
    return representation.fit(x, y, size, loggers=loggers)


def _quality(
    cfg: DictConfig,
    data: DataModule,
    representation: Representation,
    fitted: Fitted,
    segments: Cut,
) -> dict[str, Any]:
    """Return what a representation has learned (`ser.runs.quality`)."""
    ids = {"train": examined(data.labelled), "val": examined(data.fold.val)}
    splits = {
        split: items_of(cfg, data, each, segments) for split, each in ids.items() if len(each)
    }
    classes, values = len(data.target.classes), None
    if data.target.is_value:
        values = {split: data.labels.column(ids[split]) for split in splits}
    return measure(representation, fitted, splits, classes, values)


def coded_data(
    cfg: DictConfig,
    prepared: Prepared,
    fitted: Fitted,
    segments: Cut,
    unlabelled: bool,
    folder: RunFolder,
) -> DataModule:
    """Return the data of the run with codes in place of features."""
    data = prepared.data
    everyone, copies = data.fold.everyone, data.fold.copies.index
    ids = everyone if copies.empty else everyone.append(copies)
    x, y = items_of(cfg, data, ids, segments)
    values = fitted.transform(x, y if fitted.reads_labels else None)
    columns = tuple(f"code_{number}" for number in range(values.shape[1]))
    one_by_one = classifies_segments(cfg)
    if isinstance(x, Segments) and not fitted.pools:
        features = Features(ids, values, x.offsets, columns, "segment")
        if one_by_one:
            owners = x.of_each(np.arange(len(ids)))
            own = owners < len(everyone)  # those of copies are not saved
            codes.write_segments(values[own], owners[own], data, folder)
        else:
            _warn_of_long(np.diff(x.offsets), data.max_frames)
    else:
        codes.write(values[: len(everyone)], data, folder)
        features = Features(ids, values, None, columns, "utterance")
    view = View(
        segments=each_alone if one_by_one else None,
        unlabelled=unlabelled,
        variants=fitted.variants,
    )
    speakers = prepared.corpus.table["speaker"]
    return build(cfg.data)(features, data.target, data.fold, speakers, cfg.seed, view)


def items_of(
    cfg: DictConfig, data: DataModule, ids: pd.Index, segments: Cut
) -> tuple[Items, np.ndarray]:
    """Return what a representation sees of some utterances, and the class of each item."""
    classes = data.classes_of(ids)
    if cfg.features.level == "utterance":
        return data.values_of(ids), classes
    cut = data.segments_of(ids, segments)
    return cut, cut.of_each(classes)


def _warn_of_long(lengths: np.ndarray, max_frames: int) -> None:
    """Warn where a network does not see an utterance in one piece."""
    if long := int((lengths > max_frames).sum()):
        log.warning(
            "%d of %d utterances have more segments than data.max_frames=%d (the longest has %d): "
            "training sees a random stretch of each, scoring averages over windows",
            long,
            len(lengths),
            max_frames,
            lengths.max(),
        )
