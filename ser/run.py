"""One run, from corpus to tested recogniser: here and in `ser.prepare` is instantiated."""

import gc
import logging
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from threadpoolctl import threadpool_limits

from ser import config, console, loggers, results
from ser.config import build
from ser.datamodule import DataModule
from ser.errors import disk_errors_told
from ser.models.estimator import Estimator
from ser.models.phased import PhasedModel
from ser.prepare import Prepared, prepare
from ser.training import Training, probabilities

log = logging.getLogger(__name__)

# Whose versions can change a result.
LIBRARIES = ("ser", "torch", "pytorch-lightning", "scikit-learn", "numpy", "opensmile")


@dataclass(frozen=True)
class Outcome:
    """What a fitted model gives: probabilities (N, C) by part, and facts for `result.json`."""

    probabilities: Mapping[str, np.ndarray]
    details: Mapping[str, Any]


def run(
    cfg: DictConfig, folder: str | Path, names: Mapping[str, str], *, brief: bool = False
) -> float:
    """Trains and tests what `cfg` says, or finds that this was done before.

    Args:
        cfg: as composed from conf/.
        folder: of the run; created.
        names: what was chosen of each config group, e.g. {"corpus": "emodb"}.
        brief: tell the result in one line, as one of many runs should.

    Returns:
        UA on the validation part: what a sweeper may see. The test part is scored after it, once.

    Raises:
        UserError: whatever the user can put right. What it was is left in `failure.json`.
    """
    folder = Path(folder)
    with results.claimed(folder), console.told(brief):
        (folder / results.FAILURE).unlink(missing_ok=True)
        try:
            with disk_errors_told():
                return _run(cfg, folder, names)
        except Exception as error:
            results.write_failure(folder, error)
            console.failed(folder, error)
            raise


def _run(cfg: DictConfig, folder: Path, names: Mapping[str, str]) -> float:
    started, commit = time.monotonic(), _commit()
    config.check(cfg)
    with threadpool_limits(cfg.trainer.threads):
        torch.set_num_threads(cfg.trainer.threads)
        prepared = prepare(cfg)
        done = results.read_json(folder / results.RESULT)
        if done is not None and done["config_hash"] == prepared.hash and not cfg.force:
            console.finished_before(folder, done)
            (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
            return done["val"]["ua"]
        before = _make_way(folder, prepared.hash, force=cfg.force)
        console.announce(names, cfg.seed, prepared.corpus, prepared.data, prepared.remarks)
        outcome, logs = _train(cfg, prepared, folder, names)
    # A trainer and its module refer to each other: a sweep of runs in one process would grow by a
    # model and its optimisers a run, until Python happens to look for such circles.
    gc.collect()
    cost = {
        "seconds": before + time.monotonic() - started,
        "threads": cfg.trainer.threads,
        "commit": commit,
    }
    result = _write(cfg, folder, names, prepared, outcome, logs, cost)
    return result["val"]["ua"]


def _train(
    cfg: DictConfig, prepared: Prepared, folder: Path, names: Mapping[str, str]
) -> tuple[Outcome, list[Logger]]:
    # Everything random below follows from here; splits and the corpus have seeds of their own.
    pl.seed_everything(cfg.seed, verbose=False)
    about = loggers.Identity(
        folder,
        names,
        prepared.identity,
        prepared.hash,
        prepared.remarks,
        cfg.seed,
        prepared.data.fold.index,
        cfg.paper.key if cfg.paper else None,
    )
    logs = [build(node)(about) for node in cfg.logger.values()]
    factory = build(cfg.model)
    scored = ("val", "test") if cfg.test else ("val",)
    parts = [part for part in scored if len(prepared.data.fold.parts[part])]
    if issubclass(get_class(cfg.model._target_), PhasedModel):
        training = build(cfg.trainer)
        model = factory(prepared.data.task)
        console.parameters(names["model"], model, training.max_epochs)
        return _train_phased(model, prepared.data, training, folder, logs, parts), logs
    return _train_estimator(factory(), prepared.data, folder, parts), logs


def _train_phased(
    model: PhasedModel,
    data: DataModule,
    training: Training,
    folder: Path,
    logs: list[Logger],
    parts: Sequence[str],
) -> Outcome:
    data.unlabelled = model.uses_unlabelled
    best = training.fit(model, data, folder / "checkpoints", logs)
    return Outcome(
        {part: probabilities(model, data, part).numpy() for part in parts},
        {"best_epoch": best.epoch},
    )


def _train_estimator(
    model: Estimator, data: DataModule, folder: Path, parts: Sequence[str]
) -> Outcome:
    """Options by inner folds over train + validation; validation is scored by a fit without it."""
    both = data.table("train", "val")
    choice = model.choose(*both)
    log.info(
        "chosen by inner folds over speakers: %s (UA %.1f%%)", choice.options, 100 * choice.score
    )
    model.fit(*data.table("train"))
    found = {"val": model.probabilities(data.table("val")[0])}
    model.fit(*both)
    if "test" in parts:
        found["test"] = model.probabilities(data.table("test")[0])
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    model.save(folder / "checkpoints" / "best.skops")
    return Outcome(found, {"chosen": choice.options, "inner_ua": choice.score})


def _make_way(folder: Path, hash_: str, *, force: bool) -> float:
    """Removes what another run left in the folder, so that nobody takes it for this one's.

    A half-finished run says whose it is in `unfinished.json`, so that its checkpoint is not
    continued by a run of another corpus, or of a config that was forced anew.

    Returns:
        Seconds that processes before this one have spent on the run that is continued.
    """
    begun = results.read_json(folder / results.UNFINISHED)
    finished = (folder / results.RESULT).exists()
    if finished:
        reason = "force=true" if force else "its corpus, features or config are not today's"
        log.warning("%s holds a finished run, trained again: %s", folder, reason)
    spent = 0.0
    if finished or begun is None or begun["config_hash"] != hash_:
        for name in results.WRITTEN:
            (folder / name).unlink(missing_ok=True)
        for made in ("checkpoints", "latents"):
            shutil.rmtree(folder / made, ignore_errors=True)
    else:
        spent = results.seconds_spent(folder)
    results.write_json(folder / results.UNFINISHED, {"config_hash": hash_, "seconds": spent})
    return spent


def _write(
    cfg: DictConfig,
    folder: Path,
    names: Mapping[str, str],
    prepared: Prepared,
    outcome: Outcome,
    logs: list[Logger],
    cost: Mapping[str, Any],
) -> dict[str, Any]:
    """Writes what the run leaves, `result.json` last, and tells it."""
    target, fold = prepared.data.target, prepared.data.fold
    table = pd.concat(
        results.predictions(part, target.labels.loc[fold.parts[part]], found, target.classes)
        for part, found in outcome.probabilities.items()
    )
    results.write_predictions(folder, table)
    results.write_utterances(folder, results.utterances(fold.parts, prepared.corpus.table))
    result = {
        **_facts(cfg, names, prepared),
        **outcome.details,
        "config_hash": prepared.hash,
        "val": results.part_scores(table, "val", target.classes),
        "test": results.part_scores(table, "test", target.classes),
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    results.write_json(folder / results.COST, {"date": date, **cost})
    for logger in logs:
        loggers.finish(logger, result, table)
    results.write_json(folder / results.RESULT, result)
    for leftover in (folder / results.UNFINISHED, folder / "checkpoints" / "last.ckpt"):
        leftover.unlink(missing_ok=True)
    console.report(folder, result, cost["seconds"])
    return result


def _commit() -> str | None:
    """Of the code that runs, marked where files differ from it; None: no checkout."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        told = subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return None
    return told.stdout.strip() or None


def _facts(cfg: DictConfig, names: Mapping[str, str], prepared: Prepared) -> dict[str, Any]:
    corpus, data = prepared.corpus, prepared.data
    speakers = corpus.table["speaker"]
    return {
        "system": {
            group: names[group] for group in ("corpus", "target", "features", "model", "fold")
        },
        "fold_index": data.fold.index,
        "fold_count": data.fold.count,
        "seed": cfg.seed,
        "classes": list(data.target.classes),
        "class_counts": data.class_counts().to_dict(),
        "speakers": {
            part: sorted(speakers.loc[ids].unique()) for part, ids in data.fold.parts.items()
        },
        "speaker_independent": data.fold.speaker_independent,
        "remarks": prepared.remarks,
        "versions": {name: version(name) for name in LIBRARIES},
    }
