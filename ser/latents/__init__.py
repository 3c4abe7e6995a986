"""What the latents of a finished run hold, measured by probes and drawn as a map.

parthasarathy2019 (sections 3 and 4.1) means y to take the emotion and z whatever else makes speech
what it is: this says whether they do.
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
from rich.table import Table
from threadpoolctl import threadpool_limits

from ser import results
from ser.console import console
from ser.data.datamodule import DataModule
from ser.data.prepare import Prepared
from ser.errors import UserError
from ser.inference.restore import restore
from ser.latents.page import Audio, write_page
from ser.latents.probes import HELD_OUT, TRAINED, Score, percent, probed
from ser.models.aae import AAE
from ser.plots.map import Atlas, colourings, draw, maps
from ser.training.prediction import probabilities

FOLDER, SCORES, PICTURE, PAGE = "latents", "probe.json", "map.png", "map.html"


def latents(folder: Path, audio: Audio | None) -> None:
    """Measures, prints and draws what a run's latents hold, into `latents/` of its folder.

    Args:
        folder: of a finished run with latents.
        audio: what the page does with audio; None: by size, see `ser.latents.page`.

    Raises:
        UserError: no finished run, or one without latents; its corpus has changed since.
    """
    _require_latents(folder)
    torch.set_num_threads(1)
    with threadpool_limits(1):  # several threads would sum in an order of their own
        prepared, model = restore(folder)
        assert isinstance(model, AAE)
        data = prepared.data
        result = results.read_json(folder / results.RESULT)
        assert result is not None
        codes, table = encoded(model, data), described(prepared, model)
        found = probed(codes, table, data.target.name, data.fold.speaker_independent)
        assert model.classifier is not None
        told = verdict(found, model.classifier, data.target.name)
        show(found, told, result["remarks"])
        mapped = [name for name in codes if name != model.classifier] or list(codes)
        atlas = Atlas(
            f"{' + '.join(mapped)} of {_system(result)}",
            result["remarks"],
            table,
            maps(np.concatenate([codes[name] for name in mapped], axis=1)),
            colourings(table, data.target),
        )
        draw(folder / FOLDER / PICTURE, atlas)
        write_page(folder / FOLDER / PAGE, atlas, found, told, audio)
    content = {
        "run_key": result["run_key"],
        "remarks": result["remarks"],
        "verdict": told,
        "scores": [asdict(score) for score in found],
    }
    results.write_json(folder / FOLDER / SCORES, content)
    lies = f"{folder / FOLDER}: {SCORES}, {PICTURE}, {PAGE}"
    console.print(f"\nScores and map lie in {escape(lies)}")


def _require_latents(folder: Path) -> None:
    """Says what is needed before anything is loaded.

    Raises:
        UserError: no finished run, or one of a model without latents.
    """
    advice = "python train.py model=aae hydra.run.dir=... trains one that has latents"
    config = folder / ".hydra" / "config.yaml"
    if results.read_json(folder / results.RESULT) is None or not config.exists():
        raise UserError(f"{folder} holds no finished run (no {results.RESULT}); {advice}")
    model = OmegaConf.load(config).model
    name = model._target_
    if not issubclass(get_class(name), AAE) or model.classifier is None:
        raise UserError(f"{folder}: {name} has no latents; {advice}")


def encoded(model: AAE, data: DataModule) -> dict[str, np.ndarray]:
    """Codes (N, K) by latent, of train, val and test in the order of the fold.

    Codes of an utterance's windows are averaged, as its probabilities are.
    """
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in model.latents}
    with torch.inference_mode():
        for part, ids in data.fold.parts.items():
            for batch in data.split_dataloader(part) if len(ids) else ():
                for name, code in model.encode(batch).items():
                    if batch.windows is not None:
                        sums = code.new_zeros(len(batch.y), code.shape[1])
                        counts = torch.bincount(batch.windows)[:, None]
                        code = sums.index_add_(0, batch.windows, code) / counts
                    rows[name].append(code)
    return {name: torch.cat(found).numpy() for name, found in rows.items()}


def described(prepared: Prepared, model: AAE) -> pd.DataFrame:
    """Each utterance's columns of the corpus, with `part`, `truth` and `prediction`.

    Returns:
        Indexed by utterance id, in the order of `encoded`.
    """
    data = prepared.data
    names = np.asarray(data.target.classes)
    parts = []
    for part, ids in data.fold.parts.items():
        if len(ids):
            table = prepared.corpus.table.loc[ids].copy()
            table["part"], table["truth"] = part, data.target.labels.loc[ids]
            table["prediction"] = names[probabilities(model, data, part).argmax(dim=1).numpy()]
            parts.append(table)
    return pd.concat(parts)


# ---- telling it


def verdict(found: Sequence[Score], classifier: str, target: str) -> str:
    """One sober sentence: whether the classifier's latent takes the target, the other the rest.

    Args:
        found: of `probed`.
        classifier: name of the latent that classifies.
        target: its name.
    """
    by_key = {(score.latent, score.label, score.side): score for score in found}
    others = [s.latent for s in found if s.latent != classifier and " + " not in s.latent]
    if not others:
        return f"{classifier} is the only latent: there is nothing to divide."
    # Of several others the one that keeps most of the target.
    y, z = classifier, max(others, key=lambda name: by_key[name, target, HELD_OUT].ua or 0)
    y_target, z_target = by_key[y, target, HELD_OUT], by_key[z, target, HELD_OUT]
    y_speaker, z_speaker = by_key[y, "speaker", TRAINED], by_key[z, "speaker", TRAINED]
    for score in (y_target, y_speaker):
        if score.ua is None:
            return f"Whether {y} takes the {target} cannot be said here: {score.how}."
    takes, leaks = y_target.above_chance, z_target.above_chance
    rest = _number(z_speaker.low) > _number(y_speaker.high)
    holds = [takes, takes and not leaks, rest]
    judged = "holds" if all(holds) else "holds in part" if any(holds) else "does not hold"
    too = ("tells it too" if takes else "does") if leaks else "does not"
    return (
        f"Held out, {y} {'tells' if takes else 'does not tell'} the {target} (UA "
        f"{percent(y_target)}, chance {100 * _number(y_target.chance):.1f}) and {z} {too} "
        f"({percent(z_target)}); of the training part's speakers {z} tells "
        f"{'more' if rest else 'no more'} than {y} ({percent(z_speaker)} against "
        f"{percent(y_speaker)}, chance {100 * _number(z_speaker.chance):.1f}): that {y} takes the "
        f"{target} and {z} the rest {judged} in this run."
    )


def show(found: Sequence[Score], told: str, remarks: Sequence[str]) -> None:
    """Prints all scores as one table, with what was measured how."""
    columns = list(dict.fromkeys((score.label, score.side) for score in found))
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("probe, UA %\n(95%)")
    for label, side in columns:
        table.add_column(f"{label}\n{side}", justify="right", no_wrap=True)
    for latent in dict.fromkeys(score.latent for score in found):
        cells = [_cell(score) for score in found if score.latent == latent]
        table.add_row(escape(latent), *cells)
    first = found[: len(columns)]
    chances = ("-" if s.chance is None else f"{100 * s.chance:.1f}" for s in first)
    table.add_row("chance", *chances, style="dim")
    table.add_row("utterances", *(str(s.utterances or "-") for s in first), style="dim")
    console.print()
    console.print(table)
    console.print("\n[bold]bold[/bold]: above chance; 95%: of these speakers' other utterances")
    for score in first:
        console.print(f"[dim]{score.label}, {score.side}: {score.how}[/dim]")
    console.print(f"\n{escape(told)}")
    for remark in remarks:
        console.print(f"[yellow]{escape(remark)}[/yellow]")


def _cell(score: Score) -> str:
    if score.ua is None:
        return "-"
    shown = f"{100 * score.ua:.1f}"
    shown = f"[bold]{shown}[/bold]" if score.above_chance else shown
    return f"{shown}\n[dim]{score.interval}[/dim]"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _system(result: dict[str, Any]) -> str:
    system = result["system"]
    what = f"{system['model']} on {system['features']} of {system['corpus']}, {system['target']}"
    return f"{what}, {system['fold']} {result['fold_index']}, seed {result['seed']}"
