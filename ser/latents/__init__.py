"""What the latents of a finished run encode, measured by linear probes and drawn as a map.

parthasarathy2019 (sections 3 and 4.1) intends y to encode the emotion and z everything else; this
analysis tests whether they do.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from rich.markup import escape
from threadpoolctl import threadpool_limits

from ser.console import console
from ser.data.targets import Target
from ser.errors import UserError
from ser.inference.restore import restore
from ser.latents.encode import describe, encode
from ser.latents.page import Audio, write_page
from ser.latents.probes import Score, probe
from ser.latents.verdict import show, verdict
from ser.models.aae import AAE
from ser.plots.maps import (
    Atlas,
    Colouring,
    Scale,
    by_target,
    colourings,
    embed,
    general_colourings,
)
from ser.plots.picture import draw
from ser.results import RunFolder, csv_text, write_json, write_text

SCORES, PICTURE, POINTS, PAGE = "probe.json", "map.png", "map.csv", "map.html"
SHOWN = ("part", "truth", "prediction", "speaker", "gender")  # columns of `POINTS`, where known
ADVICE = "python train.py model=aae hydra.run.dir=... trains a run that has latents"


def latents(folder: Path, audio: Audio | None) -> None:
    """Measure, print and draw what the latents of a run encode, into its folder `latents`.

    Args:
        folder: Folder of a finished run with latents.
        audio: How the page contains audio; None to decide by size, see `ser.latents.page`.

    Raises:
        UserError: The folder has no finished run, or one without latents, or its corpus has
            changed since.
    """
    run = RunFolder(folder)
    result = _require_latents(run)
    torch.set_num_threads(1)
    with threadpool_limits(1):  # the order of summation would depend on the number of threads
        prepared, model = restore(folder)
        assert isinstance(model, AAE)
        data = prepared.data
        codes, table = encode(model, data), describe(prepared, model)
        tasks = data.target.tasks or (data.target,)
        columns = {_label(task): f"label_{task.name}" for task in tasks}
        scores = probe(codes, table, columns, data.fold.speaker_independent)
        conclusion = "\n".join(
            verdict(_without(scores, model.predicting, y), y, _label(task))
            for y, task in zip(model.predicting, tasks, strict=True)
        )
        show(scores, conclusion, result["remarks"])
        drawn = [name for name in codes if name not in model.predicting] or list(codes)
        atlas = Atlas(
            f"{' + '.join(drawn)} of {_system(result)}",
            result["remarks"],
            table,
            embed(np.concatenate([codes[name] for name in drawn], axis=1)),
            _colourings(table, tasks),
        )
        draw(run.latents / PICTURE, atlas)
        write_text(run.latents / POINTS, csv_text(_points(atlas), "%.6g"))
        write_page(run.latents / PAGE, atlas, scores, conclusion, audio)
    content = {
        "run_key": result["run_key"],
        "remarks": result["remarks"],
        "verdict": conclusion,
        "scores": [asdict(score) for score in scores],
    }
    write_json(run.latents / SCORES, content)
    files = ", ".join((SCORES, PICTURE, POINTS, PAGE))
    console.print(f"\nResults: {escape(f'{run.latents}: {files}')}")


def _require_latents(run: RunFolder) -> dict[str, Any]:
    """Return the result of a run, after checking that its model has latents.

    Raises:
        UserError: There is no finished run, or its model has no latents.
    """
    try:
        result, cfg = run.require_result(), run.require_config()
    except UserError as error:
        raise UserError(f"{error}; {ADVICE}") from None
    name = OmegaConf.select(cfg, "model._target_")
    is_aae = name is not None and issubclass(get_class(name), AAE)
    if not is_aae or cfg.model.get("classifier") is None:
        raise UserError(f"{run.path}: {name} has no latents; {ADVICE}")
    return result


def _label(task: Target) -> str:
    """Return what is probed of a task: its classes, or the levels of a value."""
    return f"level of {task.name}" if task.is_value else task.name


def _without(scores: Sequence[Score], predicting: Sequence[str], own: str) -> list[Score]:
    """Return the scores without those of the latents that predict other tasks."""
    return [score for score in scores if score.latent not in predicting or score.latent == own]


def _colourings(table: pd.DataFrame, tasks: Sequence[Target]) -> list[Colouring | Scale]:
    if len(tasks) == 1:
        return colourings(table, tasks[0].name, tasks[0].classes)
    by_task = [by_target(task.name, table[f"truth_{task.name}"], task.classes) for task in tasks]
    return [*by_task, *general_colourings(table)]


def _points(atlas: Atlas) -> pd.DataFrame:
    """Return the numbers behind the maps: one row per utterance with its place in each."""
    table = atlas.table[[name for name in SHOWN if name in atlas.table]]
    for each in atlas.maps:
        name = each.name.lower()
        table = table.assign(**{f"{name}_x": each.points[:, 0], f"{name}_y": each.points[:, 1]})
    return table.rename_axis("utterance").reset_index()


def _system(result: dict[str, Any]) -> str:
    system = result["system"]
    what = f"{system['model']} on {system['features']} of {system['corpus']}, {system['target']}"
    return f"{what}, {system['fold']} {result['fold_index']}, seed {result['seed']}"
