"""One run, from corpus to test scores: everything is built, trained, tested and written here."""

import gc
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import get_class
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from threadpoolctl import threadpool_limits

from ser import console
from ser.config import build, machine
from ser.config.checks import check
from ser.config.run_key import trains_network
from ser.data.prepare import Prepared, prepare
from ser.errors import BusyError
from ser.inference import evaluate
from ser.results import RunFolder, first_score
from ser.results.fitted import UsedKeys, in_use
from ser.runs import sharing
from ser.runs.begun import Begin, begin_run, description, finish_run, reported
from ser.runs.components import Components, Outcome
from ser.runs.dry import require_buildable
from ser.runs.fitting import fitting_of
from ser.runs.layer import with_chosen_layer
from ser.runs.log import run_log
from ser.runs.network import fit_network
from ser.sweeps.jobs import all_folds
from ser.training.phased import PhasedModel


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
            seconds = run_folder.begin(run_key, description(cfg, hydra))
            messages.begin(run_folder.log_file)
            return seconds

        with reported(run_folder, hydra):
            result = _finished_or_made(cfg, run_folder, choices, begin, wait=not brief)
            if cfg.test and cfg.test_corpus is not None:
                evaluate.evaluate_run(cfg, run_folder, brief=brief)
            if hydra is not None:
                console.one_of_many(result, all_folds(hydra.overrides.task))
            return first_score(result["val"])


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
    begun = begin_run(cfg, prepared, folder, choices, begin)
    outcome = train(cfg, prepared, folder, choices["model"], begun.loggers)
    # A trainer and its module refer to each other. Without a collection, a process that makes many
    # runs would grow by one model and its optimisers per run.
    gc.collect()
    result = finish_run(begun, outcome, time.monotonic() - started)
    sharing.discard(cfg, prepared)
    return result


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
