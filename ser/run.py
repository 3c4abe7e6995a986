"""One run, from corpus to tested recogniser: the only place that instantiates."""

import gc
import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from threadpoolctl import threadpool_limits

from ser import config, console, loggers, results
from ser.config import build
from ser.corpora import Corpus
from ser.datamodule import DataModule
from ser.errors import UserError
from ser.features import Extractor
from ser.features.store import Store
from ser.folds import Fold, verify
from ser.models.estimator import Estimator
from ser.models.phased import PhasedModel
from ser.targets import Target
from ser.training import Training, probabilities

log = logging.getLogger(__name__)

# Whose versions can change a result.
LIBRARIES = ("ser", "torch", "pytorch-lightning", "scikit-learn", "numpy", "opensmile")


@dataclass(frozen=True)
class Prepared:
    """Everything of a run that is there before its model is.

    Attributes:
        corpus: whose table has speaker, gender, file of each utterance.
        data: features and classes of the fold.
        identity: what can change the result: config, corpus fingerprint, feature signature.
        hash: of the identity; equal runs have equal ones.
        remarks: what must stand beside the scores wherever they are printed.
    """

    corpus: Corpus
    data: DataModule
    identity: dict[str, Any]
    hash: str
    remarks: list[str]


@dataclass(frozen=True)
class Outcome:
    """What a fitted model gives: probabilities (N, C) by part, and facts for `result.json`."""

    probabilities: Mapping[str, np.ndarray]
    details: Mapping[str, Any]


def run(cfg: DictConfig, folder: str | Path, names: Mapping[str, str]) -> float:
    """Trains and tests what `cfg` says, or finds that this was done before.

    Args:
        cfg: as composed from conf/.
        folder: of the run; created.
        names: what was chosen of each config group, e.g. {"corpus": "emodb"}.

    Returns:
        UA on the validation part: what a sweeper may see. The test part is scored after it, once.

    Raises:
        UserError: whatever the user can put right.
    """
    started = time.monotonic()
    folder = Path(folder)
    config.check(cfg)
    with threadpool_limits(cfg.trainer.threads):
        torch.set_num_threads(cfg.trainer.threads)
        prepared = prepare(cfg)
        done = results.read_json(folder / results.RESULT)
        if done is not None and done["config_hash"] == prepared.hash and not cfg.force:
            console.finished_before(folder, done)
            (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
            return done["val"]["ua"]
        _make_way(folder, prepared.hash, force=cfg.force)
        console.announce(names, cfg.seed, prepared.corpus, prepared.data, prepared.remarks)
        outcome, logs = _train(cfg, prepared, folder, names)
    # A trainer and its module refer to each other: a sweep of runs in one process would grow by a
    # model and its optimisers a run, until Python happens to look for such circles.
    gc.collect()
    result = _write(cfg, folder, names, prepared, outcome, logs, time.monotonic() - started)
    return result["val"]["ua"]


def prepare(cfg: DictConfig) -> Prepared:
    """From corpus to standardised features of one verified fold.

    Raises:
        UserError: a corpus, target, feature or fold that cannot be.
    """
    corpus, target = labelled_corpus(cfg)
    store: Store = build(cfg.store)
    extractor: Extractor = build(cfg.features)
    selected = corpus.table.loc[target.labels.index]
    features = store.load(selected, extractor, cfg.in_memory, skip=cfg.skip_faulty)
    faulty = len(selected) - len(features.utterances)
    target = target.only(features.utterances)
    fold: Fold = build(cfg.fold)(corpus.table, target.labels.index)
    contents = store.contents(corpus.table)
    verify(fold, corpus.table, contents)
    data: DataModule = build(cfg.data)(features, target, fold, corpus.table["speaker"], cfg.seed)
    identity = config.identity(cfg)
    identity["data"] |= {
        "corpus": fingerprint(corpus, target, fold, contents),
        "features": extractor.signature,
    }
    remarks = _remarks(corpus, data, faulty)
    return Prepared(corpus, data, identity, config.digest(identity), remarks)


def _remarks(corpus: Corpus, data: DataModule, faulty: int) -> list[str]:
    found = []
    if corpus.synthetic:
        found.append("synthetic speech: says nothing about people")
    if not data.fold.speaker_independent:
        found.append("speaker dependent: speakers are in train and test")
    if data.standardise == "speaker":
        found.append("transductive: standardised by unlabelled test-speaker data")
    if withheld := len(data.fold.train) - len(data.labelled):
        found.append(f"{withheld} of {len(data.fold.train)} training labels are withheld")
    if faulty:
        found.append(f"{faulty} faulty utterance(s) left out")
    return found


def restore(folder: Path) -> tuple[Prepared, PhasedModel]:
    """A finished run's data and its model with the best weights, in evaluation mode.

    Args:
        folder: of the run.

    Raises:
        UserError: no finished run of a model trained by phases, or its corpus has changed since.
    """
    result = results.read_json(folder / results.RESULT)
    if result is None:
        raise UserError(f"{folder} holds no finished run (no {results.RESULT})")
    cfg = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(cfg, DictConfig)
    prepared = prepare(cfg)
    if prepared.hash != result["config_hash"]:
        raise UserError(f"{folder}: its corpus or features are not those that it was trained on")
    best = folder / "checkpoints" / "best.ckpt"
    if not best.exists():
        raise UserError(f"{folder}: {cfg.model._target_} is not trained by phases")
    model = build(cfg.model)(prepared.data.task)
    model.load_state_dict(torch.load(best, weights_only=True)["weights"])
    prepared.data.setup("predict")
    return prepared, model.eval()


def labelled_corpus(cfg: DictConfig) -> tuple[Corpus, Target]:
    """The corpus and what the target selects of it.

    Raises:
        UserError: a wrong root, something that cannot be read (unless `skip_faulty`), a class that
            nobody has.
    """
    corpus: Corpus = build(cfg.corpus)
    # Audio that no label has teaches nothing and harms nothing; `check` lists it.
    problems = [problem for problem in corpus.problems if problem.kind != "no label"]
    if problems:
        listing = "\n  ".join(map(str, problems[:10]))
        told = f"{len(problems)} problem(s) in corpus {corpus.name}, the first:\n  {listing}"
        if not cfg.skip_faulty:
            raise UserError(f"{told}\npython -m ser check lists all; skip_faulty=true goes on")
        log.warning("%s", told)
    return corpus, build(cfg.target)(corpus)


def fingerprint(corpus: Corpus, target: Target, fold: Fold, contents: pd.Series) -> str:
    """Changes whenever an utterance, its audio, its label, its speaker or its part does."""
    parts = pd.concat(pd.Series(part, index=ids) for part, ids in fold.parts.items()).sort_index()
    speakers = corpus.table["speaker"].loc[parts.index]
    rows = zip(
        parts.index,
        parts,
        target.labels.loc[parts.index],
        speakers,
        contents.loc[parts.index],
        strict=True,
    )
    return config.digest({"classes": target.classes, "rows": [list(row) for row in rows]})


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
    )
    logs = [build(node)(about) for node in cfg.logger.values()]
    factory = build(cfg.model)
    if issubclass(get_class(cfg.model._target_), PhasedModel):
        return _train_phased(factory, prepared.data, build(cfg.trainer), folder, logs), logs
    return _train_estimator(factory(), prepared.data, folder), logs


def _train_phased(
    factory: partial[PhasedModel],
    data: DataModule,
    training: Training,
    folder: Path,
    logs: list[Logger],
) -> Outcome:
    model = factory(data.task)
    data.unlabelled = model.uses_unlabelled
    console.parameters(model, training.max_epochs)
    best = training.fit(model, data, folder / "checkpoints", logs)
    parts = [part for part in ("val", "test") if len(data.fold.parts[part])]
    return Outcome(
        {part: probabilities(model, data, part).numpy() for part in parts},
        {"best_epoch": best.epoch},
    )


def _train_estimator(model: Estimator, data: DataModule, folder: Path) -> Outcome:
    """Options by inner folds over train + validation; validation is scored by a fit without it."""
    both = data.table("train", "val")
    choice = model.choose(*both)
    log.info(
        "chosen by inner folds over speakers: %s (UA %.1f%%)", choice.options, 100 * choice.score
    )
    model.fit(*data.table("train"))
    found = {"val": model.probabilities(data.table("val")[0])}
    model.fit(*both)
    if len(data.fold.test):
        found["test"] = model.probabilities(data.table("test")[0])
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    model.save(folder / "checkpoints" / "best.skops")
    return Outcome(found, {"chosen": choice.options, "inner_ua": choice.score})


def _make_way(folder: Path, hash_: str, *, force: bool) -> None:
    """Removes what another run left in the folder, so that nobody takes it for this one's.

    A half-finished run says whose it is in `unfinished.json`, so that its checkpoint is not
    continued by a run of another corpus, or of a config that was forced anew.
    """
    begun = results.read_json(folder / results.UNFINISHED)
    finished = (folder / results.RESULT).exists()
    if finished:
        reason = "force=true" if force else "its corpus, features or config are not today's"
        log.warning("%s holds a finished run, trained again: %s", folder, reason)
    if finished or begun is None or begun["config_hash"] != hash_:
        for name in (results.RESULT, results.PREDICTIONS, results.COST, results.METRICS):
            (folder / name).unlink(missing_ok=True)
        for made in ("checkpoints", "latents"):
            shutil.rmtree(folder / made, ignore_errors=True)
    results.write_json(folder / results.UNFINISHED, {"config_hash": hash_})


def _write(
    cfg: DictConfig,
    folder: Path,
    names: Mapping[str, str],
    prepared: Prepared,
    outcome: Outcome,
    logs: list[Logger],
    seconds: float,
) -> dict[str, Any]:
    """Writes what the run leaves, `result.json` last, and tells it."""
    target, fold = prepared.data.target, prepared.data.fold
    table = pd.concat(
        results.predictions(part, target.labels.loc[fold.parts[part]], found, target.classes)
        for part, found in outcome.probabilities.items()
    )
    results.write_predictions(folder, table)
    result = {
        **_facts(cfg, names, prepared),
        **outcome.details,
        "config_hash": prepared.hash,
        "val": results.part_scores(table, "val", target.classes),
        "test": results.part_scores(table, "test", target.classes),
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    cost = {"date": date, "seconds": seconds, "threads": cfg.trainer.threads}
    results.write_json(folder / results.COST, cost)
    for logger in logs:
        loggers.finish(logger, {part: result[part] for part in ("val", "test")}, table)
    results.write_json(folder / results.RESULT, result)
    for leftover in (folder / results.UNFINISHED, folder / "checkpoints" / "last.ckpt"):
        leftover.unlink(missing_ok=True)
    console.report(folder, result)
    return result


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
