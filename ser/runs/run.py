"""One run, from corpus to test scores: everything is built, trained, tested and written here."""

import gc
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from threadpoolctl import threadpool_limits

from ser import console
from ser.config import CONF, build, machine, run_key
from ser.config.checks import check
from ser.config.run_key import trains_network, trains_on_gpu
from ser.data.prepare import Prepared, prepare
from ser.errors import BusyError, convert_disk_errors
from ser.inference import evaluate
from ser.results import RunFolder, first_score, utterances
from ser.results.fitted import UsedKeys, in_use
from ser.runs import banner, loggers, scoring, sharing
from ser.runs.components import Components, Outcome
from ser.runs.dry import require_buildable
from ser.runs.fitting import fitting_of
from ser.runs.layer import with_chosen_layer
from ser.runs.log import run_log
from ser.runs.network import fit_network
from ser.sweeps.jobs import all_folds
from ser.training.devices import used_gpu
from ser.training.phased import PhasedModel

# Prepares the folder for the run with a key, and returns the seconds spent on it before.
Begin = Callable[[str], float]
# What a result says of its device; nothing of a CPU, where runs are repeated bit for bit.
ON_GPU = {"kind": "gpu", "bit_identical": False}
# Libraries whose version can change a result.
LIBRARIES = ("ser", "torch", "pytorch-lightning", "scikit-learn", "numpy", "opensmile")


def run(
    cfg: DictConfig,
    folder: str | Path,
    choices: Mapping[str, str],
    *,
    brief: bool = False,
    hydra: DictConfig | None = None,
) -> float:
    """Train and test one configuration, or return the score of the finished run.

    Args:
        cfg: Configuration as composed from `conf/`.
        folder: Folder of the run; created once training begins.
        choices: Choice of each config group, e.g. {"corpus": "emodb"}.
        brief: Print the result in one line, as one of many runs should, and do not wait for another
            process that makes the same run.
        hydra: Hydra's own configuration, which is kept with that of the run.

    Returns:
        UA or CCC on the validation split, the mean over several tasks: the only score that a
        sweeper may see. The test split is scored after it, once.

    Raises:
        UserError: Whatever the user can correct. If it happens after training has begun, the reason
            is also written to `failure.json`.
        BusyError: Another process makes the same run, and `brief` is True.
    """
    cfg = machine.with_accelerator(cfg)
    run_folder = RunFolder(Path(folder))
    if brief and run_folder.is_claimed:
        raise BusyError(f"{run_folder.path}: another process is making this run")
    with console.quiet(brief), run_log() as messages:

        def begin(run_key: str) -> float:
            seconds = run_folder.begin(run_key, _description(cfg, hydra))
            messages.begin(run_folder.log_file)
            return seconds

        try:
            with convert_disk_errors():
                result = _finished_or_made(cfg, run_folder, choices, begin, wait=not brief)
                if cfg.test and cfg.test_corpus is not None:
                    evaluate.evaluate_run(cfg, run_folder, brief=brief)
                if hydra is not None:
                    console.one_of_many(result, all_folds(hydra.overrides.task))
                return first_score(result["val"])
        except Exception as error:
            if hydra is not None:  # Hydra has created the folder
                run_folder.remove_if_empty(below=Path(hydra.sweep.dir).absolute())
            if not isinstance(error, BusyError):
                console.failed(run_folder.path, error)
            raise


def _finished_or_made(
    cfg: DictConfig,
    folder: RunFolder,
    choices: Mapping[str, str],
    begin: Begin,
    *,
    wait: bool,
) -> dict[str, Any]:
    """Return the result of the run, which is made unless it is finished."""
    started = time.monotonic()
    check(cfg)
    require_buildable(cfg)
    if cfg.test and cfg.test_corpus is not None:
        evaluate.require_test_corpus(cfg)
    with threadpool_limits(cfg.trainer.threads):
        torch.set_num_threads(cfg.trainer.threads)
        prepared = prepare(cfg)
        if trains_network(cfg):
            build(cfg.trainer).require_devices()
        result = folder.finished_result(prepared.run_key, force=cfg.force)
        if result is None:
            folder.require_own()
            with folder.claimed(wait=wait):
                # The process that was waited for may have finished it.
                result = folder.finished_result(prepared.run_key, force=cfg.force)
                if result is None:
                    try:
                        return _make(cfg, prepared, folder, choices, begin, started)
                    except Exception as error:
                        folder.fail(error)
                        raise
    console.finished_before(folder.path, result)
    return result


def _make(
    cfg: DictConfig,
    prepared: Prepared,
    folder: RunFolder,
    choices: Mapping[str, str],
    begin: Begin,
    started: float,
) -> dict[str, Any]:
    """Train and test; `started` is the time at which the process began with the run."""
    commit = _commit()
    seconds_before = begin(prepared.run_key)
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
        **({"gpu": name} if trains_on_gpu(cfg) and (name := used_gpu()) else {}),
    }
    result = _write(cfg, folder, choices, prepared, outcome, run_loggers, cost)
    sharing.discard(cfg, prepared)
    return result


def _description(cfg: DictConfig, hydra: DictConfig | None) -> dict[str, str]:
    """Return the files in which Hydra would describe the run, by name."""
    if hydra is None:
        return {}
    return {
        "config.yaml": OmegaConf.to_yaml(cfg),
        "hydra.yaml": OmegaConf.to_yaml({"hydra": hydra}),
        "overrides.yaml": OmegaConf.to_yaml(hydra.overrides.task),
    }


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
    prepared, chosen = with_chosen_layer(cfg, prepared, folder)
    # All random numbers of training follow from this seed. Splits and corpora have their own.
    pl.seed_everything(cfg.seed, verbose=False)
    used = UsedKeys(folder.fitted_keys_file)
    components = build_components(cfg, prepared.data.target.classes, name, used)
    fit = fit_network
    if not issubclass(get_class(cfg.model._target_), PhasedModel):
        from ser.runs.estimator import fit_estimator  # a network does not need scikit-learn

        fit = fit_estimator
    with nullcontext() if components.representation is None else in_use(Path(cfg.fitted)):
        outcome = fit(cfg, prepared, folder, components, run_loggers)
    return replace(outcome, details={**chosen, **outcome.details})


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
        scoring.predictions_of(split, target, fold.parts[split], predicted)
        for split, predicted in outcome.predictions.items()
    )
    folder.write_predictions(table)
    folder.write_utterances(utterances(fold.parts, prepared.corpus.table))
    result = {
        **_facts(cfg, choices, prepared),
        **outcome.details,
        "run_key": prepared.run_key,
        "options": run_key.digest(run_key.result_options(cfg)),
        "training_audio": len(prepared.training_audio),
        "val": scoring.scores_of(table, "val", target),
        "test": scoring.scores_of(table, "test", target),
        **scoring.test_sets(fold, table, target),
    }
    date = datetime.now(UTC).isoformat(timespec="seconds")
    folder.write_cost({"date": date, **cost})
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
    copies = data.fold.copies
    augmented = {"copies": len(copies), "utterances": int(copies.nunique())}
    raters = scoring.agreement_of(data.target, data.fold)
    return {
        **({} if raters is None else {"raters": raters}),
        **({} if copies.empty else {"augmented": {"choice": choices["augment"], **augmented}}),
        "system": {group: choices[group] for group in groups},
        "fold_index": data.fold.index,
        "fold_count": data.fold.count,
        "seed": cfg.seed,
        "classes": list(data.target.classes),
        **({"tasks": scoring.classes_by_task(data.target)} if data.target.tasks else {}),
        **({"device": ON_GPU} if trains_on_gpu(cfg) else {}),
        "class_counts": data.class_counts().to_dict() if data.target.classes else {},
        "speakers": {
            split: sorted(speakers.loc[ids].dropna().unique())
            for split, ids in data.fold.parts.items()
        },
        "speaker_independent": data.fold.speaker_independent,
        "text_independent": data.fold.text_independent,
        "left_out": len(data.target.labels) - len(data.fold.everyone),
        "remarks": prepared.remarks,
        "versions": {name: version(name) for name in LIBRARIES},
    }


def _commit() -> str | None:
    """Return the commit of the code, marked if files differ from it; None without a checkout."""
    # An installed package may lie below the checkout of something else.
    checkout = CONF.parent
    if not (checkout / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        process = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return None
    return process.stdout.strip() or None
