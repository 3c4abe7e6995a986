"""Where the curves of a run are shown, beside its own `metrics.csv`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger


@dataclass(frozen=True)
class Identity:
    """What loggers may call a run.

    Attributes:
        folder: of the run.
        names: what was chosen of each config group, e.g. {"model": "mlp"}.
        config: the part of the config that can change a result.
        hash: of the run; equal runs have equal ones.
        remarks: what must stand beside the scores wherever they are shown.
        seed: of the run.
        fold: its number.
    """

    folder: Path
    names: Mapping[str, str]
    config: Mapping[str, Any]
    hash: str
    remarks: Sequence[str]
    seed: int
    fold: int


def tensorboard(run: Identity) -> TensorBoardLogger:
    """`tensorboard --logdir outputs/runs`."""
    return TensorBoardLogger(run.folder, name="", version="tensorboard")


def wandb(
    run: Identity, *, project: str, group: str | None, mode: str | None, tags: list[str]
) -> WandbLogger:
    """Weights & Biases; offline unless `mode` or `WANDB_MODE` says otherwise.

    The id is the run's hash, so that a resumed run goes on rather than being doubled. Online
    without a network blocks for 100 s, hence the default; `wandb sync` uploads offline runs.

    Args:
        run: what is run.
        project: of Weights & Biases.
        group: null: corpus, target and features.
        mode: "online", "offline" or "disabled"; null: `WANDB_MODE`, or else offline.
        tags: beside corpus, target, features, fold and seed.
    """
    import wandb as client

    names = run.names
    about = [names["corpus"], names["target"], names["features"]]
    return WandbLogger(
        project=project,
        save_dir=run.folder,
        id=run.hash,
        name=f"{names['model']} fold {run.fold} seed {run.seed}",
        group=group or " ".join(about),
        job_type=names["model"],
        notes="; ".join(run.remarks) or None,
        tags=[*about, names["fold"], f"fold {run.fold}", f"seed {run.seed}", *tags],
        config=dict(run.config),
        mode=mode or os.environ.get("WANDB_MODE", "offline"),
        resume="allow",
        settings=client.Settings(silent=True),
    )


def finish(logger: Logger, scores: Mapping[str, Any], predictions: pd.DataFrame) -> None:
    """Logs the final scores and, where a logger draws one, the confusion matrix of the test part.

    Args:
        logger: one of the run's.
        scores: by part, as in `result.json`.
        predictions: as in `predictions.csv`.
    """
    summary = {
        f"{part}/{name}": value
        for part, found in scores.items()
        if found
        for name, value in found.items()
        if isinstance(value, float)
    }
    if isinstance(logger, WandbLogger):
        import wandb as client

        part = "test" if scores.get("test") else "val"
        rows = predictions[predictions["part"] == part]
        classes = [c.removeprefix("p_") for c in predictions.columns if c.startswith("p_")]
        numbers = {name: number for number, name in enumerate(classes)}
        plot = client.plot.confusion_matrix(
            y_true=rows["truth"].map(numbers).tolist(),
            preds=rows["prediction"].map(numbers).tolist(),
            class_names=classes,
            title=f"{part} confusion",
        )
        logger.experiment.summary.update(summary)
        logger.experiment.log({f"{part}/confusion": plot})
        logger.experiment.finish()
    else:
        logger.log_metrics(summary)
        logger.finalize("success")
