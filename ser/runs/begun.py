"""The beginning and the end of a run: what is printed and written before and after training."""

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger

from ser import console
from ser.config import CONF, build, run_key
from ser.config.run_key import trains_on_gpu
from ser.data.prepare import Prepared
from ser.errors import BusyError, convert_disk_errors
from ser.results import RunFolder, utterances
from ser.runs import banner, loggers, scoring
from ser.runs.components import Outcome
from ser.training.devices import used_gpu

# Prepares the folder for the run with a key, and returns the seconds spent on it before.
Begin = Callable[[str], float]
# What a result says of its device; nothing of a CPU, where runs are repeated bit for bit.
ON_GPU = {"kind": "gpu", "bit_identical": False}
# Libraries whose version can change a result.
LIBRARIES = ("ser", "torch", "pytorch-lightning", "scikit-learn", "numpy", "opensmile")


@dataclass(frozen=True)
class Begun:
    """A run that has begun.

    Attributes:
        cfg: Configuration of the run.
        prepared: Data of the run.
        folder: Folder of the run.
        choices: Choice of each config group.
        loggers: Loggers of its trainings.
        seconds_before: Seconds that earlier processes spent on it.
        commit: Commit of the code.
    """

    cfg: DictConfig
    prepared: Prepared
    folder: RunFolder
    choices: Mapping[str, str]
    loggers: Sequence[Logger]
    seconds_before: float
    commit: str | None


def begin_run(
    cfg: DictConfig,
    prepared: Prepared,
    folder: RunFolder,
    choices: Mapping[str, str],
    begin: Begin,
) -> Begun:
    """Prepare the folder of a run, and print what is trained."""
    commit = _commit()
    seconds_before = begin(prepared.run_key)
    banner.announce(choices, cfg.seed, prepared.corpus, prepared.data, prepared.remarks)
    info = _info(cfg, prepared, folder, choices)
    run_loggers = [build(node)(info) for node in cfg.logger.values()]
    return Begun(cfg, prepared, folder, choices, run_loggers, seconds_before, commit)


def finish_run(begun: Begun, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """Write the files of a run, to which this process has given some seconds."""
    cost = {
        "seconds": begun.seconds_before + seconds,
        "threads": begun.cfg.trainer.threads,
        "commit": begun.commit,
        **({"gpu": name} if trains_on_gpu(begun.cfg) and (name := used_gpu()) else {}),
    }
    return _write(begun, outcome, cost)


@contextmanager
def reported(folder: RunFolder, hydra: DictConfig | None) -> Iterator[None]:
    """Report an error of a run, and remove its folder if it is empty.

    Args:
        folder: Folder of the run.
        hydra: Hydra's own configuration, if Hydra has created the folder.
    """
    try:
        with convert_disk_errors():
            yield
    except Exception as error:
        if hydra is not None:
            folder.remove_if_empty(below=Path(hydra.sweep.dir).absolute())
        if not isinstance(error, BusyError):
            console.failed(folder.path, error)
        raise


def description(cfg: DictConfig, hydra: DictConfig | None) -> dict[str, str]:
    """Return the files in which Hydra would describe the run, by name."""
    if hydra is None:
        return {}
    return {
        "config.yaml": OmegaConf.to_yaml(cfg),
        "hydra.yaml": OmegaConf.to_yaml({"hydra": hydra}),
        "overrides.yaml": OmegaConf.to_yaml(hydra.overrides.task),
    }


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


def _write(begun: Begun, outcome: Outcome, cost: Mapping[str, Any]) -> dict[str, Any]:
    """Write the files of a finished run, `result.json` last, and print its scores."""
    cfg, prepared, folder, choices = begun.cfg, begun.prepared, begun.folder, begun.choices
    target, fold = prepared.data.target, prepared.data.fold
    table = pd.concat(
        scoring.predictions_of(split, target, fold.parts[split], predicted)
        for split, predicted in outcome.predictions.items()
    )
    scoring.warn_of_impossible_values(table, target)
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
    for logger in begun.loggers:
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
        **({"packed": True} if cfg.trainer.get("packed") else {}),
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
