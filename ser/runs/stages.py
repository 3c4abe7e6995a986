"""The stages of a run: a representation where there is one, and the recogniser on its codes."""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger

from ser import results
from ser.config import build, run_key
from ser.data.batches import UNLABELLED
from ser.data.datamodule import DataModule
from ser.data.prepare import Prepared
from ser.data.segments import Segments, each_alone, spread
from ser.features import Features
from ser.inference import saving
from ser.models.estimator import Estimator
from ser.models.steps import Synthetic
from ser.representations import Fitted, Fitting, Items, Representation
from ser.representations.learned import Network
from ser.runs import banner
from ser.training import calibration
from ser.training.phased import PhasedModel
from ser.training.trainer import conclude, probabilities

log = logging.getLogger(__name__)

# Options of a network that say how codes are made of it, and change nothing of what is fitted.
READING = ("code", "reading")
# Segments whose codes are kept where models see them one by one: enough to draw and to look at
# neighbours, and 2 MB at most.
SEGMENTS_KEPT = 5_000
# Of the trainer, what a representation's own rule takes the place of.
RULES = ("max_epochs", "patience", "stopping")


@dataclass(frozen=True)
class Outcome:
    """What a fitted model gives: probabilities (N, C) by part, and facts for `result.json`."""

    probabilities: Mapping[str, np.ndarray]
    details: Mapping[str, Any]


def train(
    cfg: DictConfig, prepared: Prepared, folder: Path, name: str, loggers: list[Logger]
) -> Outcome:
    """Fits all stages of a run.

    Args:
        cfg: of the run.
        prepared: its data.
        folder: of the run; receives `checkpoints/` and `representation/`.
        name: of the model.
        loggers: of both trainings.

    Raises:
        UserError: an option that cannot be, or a loss that is not finite.
    """
    # Everything random below follows from here; splits and the corpus have seeds of their own.
    pl.seed_everything(cfg.seed, verbose=False)
    scored = ("val", "test") if cfg.test else ("val",)
    parts = [part for part in scored if len(prepared.data.fold.parts[part])]
    representation = _representation(cfg, prepared)
    synthetic = None
    if cfg.train_on != "real":
        synthetic = Synthetic(cfg.synthetic_per_class, with_real=cfg.train_on == "both")
    if not issubclass(get_class(cfg.model._target_), PhasedModel):
        model = build(cfg.model)(representation, synthetic)
        return _train_estimator(cfg, model, prepared, folder, parts, loggers)
    data, fitted = prepared.data, None
    if representation is not None:
        fitted = _fitted(cfg, prepared, representation, folder, loggers)
        pl.seed_everything(cfg.seed, verbose=False)
    if fitted is not None and cfg.transfer == "codes":
        data = _recoded(cfg, prepared, fitted, folder)
    elif run_key.classifies_segments(cfg):
        data.see_segments(build(cfg.segments))
    factory, training = build(cfg.model), build(cfg.trainer)
    model = factory(data.task)
    if cfg.transfer == "weights":
        assert isinstance(fitted, Network)
        fitted.begin(model, data)
    banner.parameters(name, model, training.max_epochs)
    data.unlabelled = model.uses_unlabelled
    kept = training.fit(model, data, folder / "checkpoints", loggers)
    conclude(model, kept, data, folder / "checkpoints")
    saving.keep(cfg, data, prepared.heard, folder / "checkpoints")
    found = {part: probabilities(model, data, part).numpy() for part in parts}
    found, facts = calibration.calibrated(cfg.calibrate, found, data.classes_of(data.fold.val))
    return Outcome(found, {"best_epoch": kept.epoch, **facts})


def _representation(cfg: DictConfig, prepared: Prepared) -> Representation | None:
    if cfg.representation is None:
        return None
    identity = run_key.identity(cfg)
    trainer = identity["trainer"]
    for name in RULES:
        trainer.pop(name, None)
    recipe = {"representation": _bare(identity["representation"]), "trainer": trainer}
    fitting = Fitting(
        build(cfg.trainer), cfg.seed, prepared.data.task.classes, Path(cfg.fitted), recipe
    )
    return build(cfg.representation)(fitting)


def _bare(node: dict[str, Any]) -> dict[str, Any]:
    """A representation's options without its size, which is told to each fit, and `READING`."""
    if "lower" in node:
        return {**node, **{part: _bare(node[part]) for part in ("lower", "upper")}}
    found = {name: value for name, value in node.items() if name != "size"}
    if "module" in found:
        found["module"] = {n: v for n, v in found["module"].items() if n not in READING}
    return found


def _train_estimator(
    cfg: DictConfig,
    model: Estimator,
    prepared: Prepared,
    folder: Path,
    parts: Sequence[str],
    loggers: Sequence[Logger],
) -> Outcome:
    """Options by inner folds over train + validation; validation is scored by a fit without it."""
    data = prepared.data

    def table(*parts: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, y, ids = data.table(*parts)
        return x, y, prepared.corpus.table.loc[ids, model.leave_out].to_numpy()

    both = table("train", "val")
    choice = model.choose(*both)
    log.info(
        "chosen by inner folds over %ss: %s (UA %.1f%%)",
        model.leave_out,
        ", ".join(f"{key.rpartition('__')[2]}={value}" for key, value in choice.options.items()),
        100 * choice.score,
    )
    if model.representation is not None:
        # Of what was fitted before the test part was looked at, losses on it are recorded.
        watched = table("test")[:2] if "test" in parts else None
        fitted = model.representation.fit(*both[:2], model.size, watched=watched, loggers=loggers)
        _keep(fitted, folder)
        _keep_codes(fitted.transform(data.values_of(data.fold.everyone)), data, folder)
    # Which class is most probable needs no temperature, and fitting one many more autoencoders.
    model.fit(*table("train"), calibrated=model.representation is None)
    found = {"val": model.probabilities(table("val")[0])}
    model.fit(*both)
    if "test" in parts:
        found["test"] = model.probabilities(table("test")[0])
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    model.save(folder / "checkpoints" / "best.skops")
    saving.keep(cfg, None, prepared.heard, folder / "checkpoints")
    return Outcome(found, {"chosen": choice.options, "inner_ua": choice.score})


def _fitted(
    cfg: DictConfig,
    prepared: Prepared,
    representation: Representation,
    folder: Path,
    loggers: Sequence[Logger],
) -> Fitted:
    """The representation, which has seen the training part, or what else `fit_on` lets it see."""
    (size,) = representation.sizes
    train = prepared.data.fold.train
    x, y = _items(cfg, prepared.data, train.append(prepared.beyond))
    known = x.offsets[len(train)] if isinstance(x, Segments) else len(train)
    # Whatever class the others have, nobody is told.
    y = np.where(np.arange(len(y)) < known, y, UNLABELLED)
    fitted = representation.fit(x, y, size, loggers=loggers)
    _keep(fitted, folder)
    return fitted


def _recoded(cfg: DictConfig, prepared: Prepared, fitted: Fitted, folder: Path) -> DataModule:
    """The run's data with codes in place of features."""
    data = prepared.data
    ids = data.fold.everyone
    x, y = _items(cfg, data, ids)
    codes = fitted.transform(x, y if fitted.reads_labels else None)
    columns = tuple(f"code_{number}" for number in range(codes.shape[1]))
    if isinstance(x, Segments) and not fitted.pools:
        features = Features(ids, codes, x.offsets, columns, "segment")
        if run_key.classifies_segments(cfg):
            _keep_segment_codes(codes, x.of_each(np.arange(len(ids))), data, folder)
    else:
        _keep_codes(codes, data, folder)
        features = Features(ids, codes, None, columns, "utterance")
    speakers = prepared.corpus.table["speaker"]
    recoded: DataModule = build(cfg.data)(features, data.target, data.fold, speakers, cfg.seed)
    if run_key.classifies_segments(cfg):
        recoded.see_segments(each_alone)
    elif features.offsets is not None:
        _tell_of_long(np.diff(features.offsets), cfg.data.max_frames)
    if fitted.variants > 1:
        recoded.task = replace(
            recoded.task,
            inputs=codes.shape[1] // fitted.variants,
            variants=torch.from_numpy(recoded.shares).float(),
        )
    return recoded


def _items(cfg: DictConfig, data: DataModule, ids: pd.Index) -> tuple[Items, np.ndarray]:
    """What a representation sees of some utterances, and the class of each item."""
    classes = data.classes_of(ids)
    if cfg.features.level == "utterance":
        return data.values_of(ids), classes
    segments = data.segments_of(ids, build(cfg.segments))
    return segments, segments.of_each(classes)


def _tell_of_long(lengths: np.ndarray, most: int) -> None:
    """Warns where a network will not see an utterance in one piece."""
    if long := int((lengths > most).sum()):
        log.warning(
            "%d of %d utterances have more segments than data.max_frames=%d: a random stretch of "
            "each trains, and all of it is scored, in windows; the longest has %d",
            long,
            len(lengths),
            most,
            lengths.max(),
        )


def _keep(fitted: Fitted, folder: Path) -> None:
    """Leaves a representation in the run's folder."""
    fitted.save(folder / results.REPRESENTATION)
    results.write_json(folder / results.REPRESENTATION / results.FITTED, fitted.facts)


def _keep_codes(codes: np.ndarray, data: DataModule, folder: Path) -> None:
    """Leaves the codes of the fold's utterances, (N, K) in the order of its parts, beside it."""
    columns = [f"code_{number}" for number in range(codes.shape[1])]
    table = _described(data).join(pd.DataFrame(codes, data.fold.everyone, columns))
    text = table.to_csv(index_label="utterance", float_format="%.9g")
    results.write_text(folder / results.REPRESENTATION / results.CODES, text)


def _keep_segment_codes(
    codes: np.ndarray, owners: np.ndarray, data: DataModule, folder: Path
) -> None:
    """Leaves codes (N, K) of some segments beside it, with `utterance, part, truth` of each.

    Args:
        codes: of all segments.
        owners: (N,) numbers of their utterances, in the order of the fold's parts.
    """
    chosen = spread(owners, SEGMENTS_KEPT)
    table = _described(data).iloc[owners[chosen]].reset_index(names="utterance")
    held = io.BytesIO()
    # Plain strings, so that the file needs no objects.
    told = {str(name): table[name].to_numpy(str) for name in table}
    np.savez_compressed(held, codes=codes[chosen].astype(np.float32), **told)
    results.write_bytes(folder / results.REPRESENTATION / results.SEGMENT_CODES, held.getvalue())


def _described(data: DataModule) -> pd.DataFrame:
    """`part` and `truth` of the fold's utterances, in the order of its parts."""
    parts = data.fold.parts
    names = np.repeat(list(parts), [len(ids) for ids in parts.values()])
    ids = data.fold.everyone
    return pd.DataFrame({"part": names, "truth": data.target.labels.loc[ids]}, ids)
