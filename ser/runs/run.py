"""One run, from corpus to tested recogniser.

Here, in `ser.data.prepare` and in `ser.runs.stages` is instantiated what config names.
"""

import gc
import logging
import shutil
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from omegaconf import DictConfig
from pytorch_lightning.loggers import Logger
from threadpoolctl import threadpool_limits

from ser import console, results
from ser.config import build
from ser.config.checks import check
from ser.data.prepare import Prepared, prepare
from ser.errors import convert_disk_errors
from ser.inference import evaluate
from ser.runs import banner, loggers, stages
from ser.runs.stages import Outcome

log = logging.getLogger(__name__)

# Whose versions can change a result.
LIBRARIES = ("ser", "torch", "pytorch-lightning", "scikit-learn", "numpy", "opensmile")


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
            with convert_disk_errors():
                score = _run(cfg, folder, names)
                if cfg.test and cfg.test_corpus is not None:
                    evaluate.after(cfg, folder, brief=brief)
                return score
        except Exception as error:
            results.write_failure(folder, error)
            console.failed(folder, error)
            raise


def _run(cfg: DictConfig, folder: Path, names: Mapping[str, str]) -> float:
    started, commit = time.monotonic(), _commit()
    check(cfg)
    with threadpool_limits(cfg.trainer.threads):
        torch.set_num_threads(cfg.trainer.threads)
        prepared = prepare(cfg)
        done = results.read_json(folder / results.RESULT)
        if done is not None and done["config_hash"] == prepared.hash and not cfg.force:
            console.finished_before(folder, done)
            (folder / "checkpoints" / "last.ckpt").unlink(missing_ok=True)
            return done["val"]["ua"]
        before = _make_way(folder, prepared.hash, force=cfg.force)
        banner.announce(names, cfg.seed, prepared.corpus, prepared.data, prepared.remarks)
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
    return stages.train(cfg, prepared, folder, names["model"], logs), logs


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
        for made in ("checkpoints", "latents", results.REPRESENTATION, results.EVALUATED):
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
    console.report(folder, result, cost["seconds"], names.get("experiment"))
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
    groups = ["corpus", "target", "features", "model", "fold"]
    groups += ["representation"] if cfg.representation is not None else []
    return {
        "system": {group: names[group] for group in groups},
        "fold_index": data.fold.index,
        "fold_count": data.fold.count,
        "seed": cfg.seed,
        "classes": list(data.target.classes),
        "class_counts": data.class_counts().to_dict(),
        "speakers": {
            part: sorted(speakers.loc[ids].unique()) for part, ids in data.fold.parts.items()
        },
        "speaker_independent": data.fold.speaker_independent,
        "text_independent": data.fold.text_independent,
        "left_out": len(data.target.labels) - len(data.fold.everyone),
        "remarks": prepared.remarks,
        "versions": {name: version(name) for name in LIBRARIES},
    }
