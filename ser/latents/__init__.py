"""What the latents of a finished run encode, measured by linear probes and drawn as a map.

parthasarathy2019 (sections 3 and 4.1) intends y to encode the emotion and z everything else; this
analysis tests whether they do.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from rich.markup import escape
from threadpoolctl import threadpool_limits

from ser.console import console
from ser.data.targets import LEVELS
from ser.errors import UserError
from ser.inference.restore import restore
from ser.latents.encode import describe, encode
from ser.latents.page import Audio, write_page
from ser.latents.probes import probe
from ser.latents.verdict import show, verdict
from ser.models.aae import AAE
from ser.plots.maps import Atlas, colourings, embed
from ser.plots.picture import draw
from ser.results import RunFolder, write_json

SCORES, PICTURE, PAGE = "probe.json", "map.png", "map.html"
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
        target = data.target
        # Values are probed and coloured by their levels.
        label, labels = (
            (f"level of {target.name}", LEVELS)
            if target.is_value
            else (target.name, target.classes)
        )
        scores = probe(codes, table, label, data.fold.speaker_independent)
        assert model.classifier is not None
        conclusion = verdict(scores, model.classifier, label)
        show(scores, conclusion, result["remarks"])
        drawn = [name for name in codes if name != model.classifier] or list(codes)
        atlas = Atlas(
            f"{' + '.join(drawn)} of {_system(result)}",
            result["remarks"],
            table,
            embed(np.concatenate([codes[name] for name in drawn], axis=1)),
            colourings(table, label, labels),
        )
        draw(run.latents / PICTURE, atlas)
        write_page(run.latents / PAGE, atlas, scores, conclusion, audio)
    content = {
        "run_key": result["run_key"],
        "remarks": result["remarks"],
        "verdict": conclusion,
        "scores": [asdict(score) for score in scores],
    }
    write_json(run.latents / SCORES, content)
    console.print(f"\nResults: {escape(f'{run.latents}: {SCORES}, {PICTURE}, {PAGE}')}")


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
    if "tasks" in result:
        raise UserError(
            f"{run.path}: predicts {', '.join(result['tasks'])}; give a run of one task"
        )
    return result


def _system(result: dict[str, Any]) -> str:
    system = result["system"]
    what = f"{system['model']} on {system['features']} of {system['corpus']}, {system['target']}"
    return f"{what}, {system['fold']} {result['fold_index']}, seed {result['seed']}"
