"""One run, from corpus to test scores: everything is built, trained, tested and written here."""

import gc
import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from threadpoolctl import threadpool_limits

from ser import console
from ser.config import build
from ser.config.checks import check
from ser.data.prepare import Prepared, prepare
from ser.errors import convert_disk_errors
from ser.inference import evaluate
from ser.results import RunFolder, predictions, split_scores, utterances, write_json
from ser.results.fitted import UsedKeys, in_use
from ser.runs import banner, loggers
from ser.runs.components import Components, Outcome
from ser.runs.estimator import fit_estimator
from ser.runs.fitting import fitting_of
from ser.runs.network import fit_network
from ser.training.phased import PhasedModel

log = logging.getLogger(__name__)

# Libraries whose version can change a result.
LIBRARIES = ("ser", "torch", "pytorch-lightning", "scikit-learn", "numpy", "opensmile")


def run(
    cfg: DictConfig, folder: str | Path, choices: Mapping[str, str], *, brief: bool = False
) -> float:
    """Train and test one configuration, or return the score of the finished run.

    Args:
        cfg: Configuration as composed from `conf/`.
        folder: Folder of the run; created.
        choices: Choice of each config group, e.g. {"corpus": "emodb"}.
        brief: Print the result in one line, as one of many runs should.

    Returns:
        UA on the validation split: the only score that a sweeper may see. The test split is scored
        after it, once.

    Raises:
        UserError: Whatever the user can correct. The reason is also written to `failure.json`.
    """
    run_folder = RunFolder(Path(folder))
    with run_folder.claimed(), console.quiet(brief):
        run_folder.failure_file.unlink(missing_ok=True)
        try:
            with convert_disk_errors():
                score = _run(cfg, run_folder, choices)
                if cfg.test and cfg.test_corpus is not None:
                    evaluate.evaluate_run(cfg, run_folder, brief=brief)
                return score
        except Exception as error:
            run_folder.fail(error)
            console.failed(run_folder.path, error)
            raise


def _run(cfg: DictConfig, folder: RunFolder, choices: Mapping[str, str]) -> float:
    started, commit = time.monotonic(), _commit()
    check(cfg)
    with threadpool_limits(cfg.trainer.threads):
        torch.set_num_threads(cfg.trainer.threads)
        prepared = prepare(cfg)
        result = folder.read_record()
        if result is not None and result.get("run_key") == prepared.run_key and not cfg.force:
            console.finished_before(folder.path, result)
            folder.last_checkpoint.unlink(missing_ok=True)
            return result["val"]["ua"]
        if result is not None:
            reason = "force=true" if cfg.force else "its corpus, features or options have changed"
            log.warning("%s: the finished run is replaced: %s", folder.path, reason)
        seconds_before = folder.begin(prepared.run_key)
        banner.announce(choices, cfg.seed, prepared.corpus, prepared.data, prepared.remarks)
        info = _info(cfg, prepared, folder, choices)
        run_loggers = [build(node)(info) for node in cfg.logger.values()]
        outcome = train(cfg, prepared, folder, choices["model"], run_loggers)
    # A trainer and its module refer to each other. Without a collection, a process that makes many
    # runs would grow by one model and its optimisers per run.
    gc.collect()
    cost = {
        "seconds": seconds_before + time.monotonic() - started,
        "threads": cfg.trainer.threads,
        "commit": commit,
    }
    result = _write(cfg, folder, choices, prepared, outcome, run_loggers, cost)
    return result["val"]["ua"]


def train(
    cfg: DictConfig,
    prepared: Prepared,
    folder: RunFolder,
    name: str,
    run_loggers: Sequence[Logger],
) -> Outcome:
    """Build what learns, and fit it.

    Args:
        cfg: Configuration of the run.
        prepared: Data of the run.
        folder: Folder of the run; receives `checkpoints/` and `representation/`.
        name: Name of the model.
        run_loggers: Loggers of every training.

    Raises:
        UserError: Options that do not fit together, or a loss that is not finite.
    """
    # All random numbers of training follow from this seed. Splits and corpora have their own.
    pl.seed_everything(cfg.seed, verbose=False)
    used = UsedKeys(folder.fitted_keys_file)
    components = build_components(cfg, prepared.data.target.classes, name, used)
    is_network = issubclass(get_class(cfg.model._target_), PhasedModel)
    fit = fit_network if is_network else fit_estimator
    if components.representation is None:
        return fit(cfg, prepared, folder, components, run_loggers)
    with in_use(Path(cfg.fitted)):
        return fit(cfg, prepared, folder, components, run_loggers)


def build_components(
    cfg: DictConfig, classes: Sequence[str], name: str, used: UsedKeys | None = None
) -> Components:
    """Build what learns in a run.

    Args:
        cfg: Configuration of the run.
        classes: Names of the classes of the target.
        name: Name of the model.
        used: Receives the keys of the fitted representations that the run uses.
    """
    trainer = build(cfg.trainer)
    representation = None
    if cfg.representation is not None:
        representation = build(cfg.representation)(fitting_of(cfg, trainer, classes, used))
    return Components(trainer, build(cfg.segments), representation, build(cfg.model), name)


def _info(
    cfg: DictConfig, prepared: Prepared, folder: RunFolder, choices: Mapping[str, str]
) -> loggers.RunInfo:
    return loggers.RunInfo(
        folder=folder.path,
        choices=choices,
        config=prepared.options,
        run_key=prepared.run_key,
        remarks=prepared.remarks,
        seed=cfg.seed,
        fold=prepared.data.fold.index,
        paper=cfg.paper.key if cfg.paper else None,
    )


def _write(
    cfg: DictConfig,
    folder: RunFolder,
    choices: Mapping[str, str],
    prepared: Prepared,
    outcome: Outcome,
    run_loggers: Sequence[Logger],
    cost: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the files of a finished run, `result.json` last, and print its scores."""
    target, fold = prepared.data.target, prepared.data.fold
    table = pd.concat(
        predictions(split, target.labels.loc[fold.parts[split]], probabilities, target.classes)
        for split, probabilities in outcome.probabilities.items()
    )
    folder.write_predictions(table)
    folder.write_utterances(utterances(fold.parts, prepared.corpus.table))
    result = {
        **_facts(cfg, choices, prepared),
        **outcome.details,
        "run_key": prepared.run_key,
        "val": split_scores(table, "val", target.classes),
        "test": split_scores(table, "test", target.classes),
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder.cost_file, {"date": date, **cost})
    for logger in run_loggers:
        loggers.finish(logger, result, table)
    folder.finish(result)
    console.report(folder.path, result, cost["seconds"], choices.get("experiment"))
    return result


def _facts(cfg: DictConfig, choices: Mapping[str, str], prepared: Prepared) -> dict[str, Any]:
    corpus, data = prepared.corpus, prepared.data
    speakers = corpus.table["speaker"]
    groups = ["corpus", "target", "features", "model", "fold"]
    groups += ["representation"] if cfg.representation is not None else []
    return {
        "system": {group: choices[group] for group in groups},
        "fold_index": data.fold.index,
        "fold_count": data.fold.count,
        "seed": cfg.seed,
        "classes": list(data.target.classes),
        "class_counts": data.class_counts().to_dict(),
        "speakers": {
            split: sorted(speakers.loc[ids].unique()) for split, ids in data.fold.parts.items()
        },
        "speaker_independent": data.fold.speaker_independent,
        "text_independent": data.fold.text_independent,
        "left_out": len(data.target.labels) - len(data.fold.everyone),
        "remarks": prepared.remarks,
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _commit() -> str | None:
    """Return the commit of the code, marked if files differ from it; None without a checkout."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        process = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return None
    return process.stdout.strip() or None
