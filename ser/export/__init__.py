"""A finished run as a folder that others can use without `ser`: `python -m ser export`.

Whatever was fitted goes into one graph, from features to probabilities; features stay what their
extractor makes of sound. The folder has the shape that model hubs expect.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from ser import results
from ser.console import console
from ser.errors import UserError
from ser.inference.loading import Recogniser, load
from ser.results import RunFolder

Format = Literal["onnx", "safetensors"]
# What each format needs beyond what is always there.
NEEDED = {
    "safetensors": ("safetensors",),
    "onnx": ("safetensors", "onnx", "onnxscript", "onnxruntime"),
}
ONNX, WEIGHTS, CONFIG, CARD = "model.onnx", "model.safetensors", "config.json", "README.md"
KIND = "ser"  # what a config.json of ours says of itself


def export(
    run: Path, *, kind: Format, out: Path | None, licence: str | None, audio: Sequence[Path]
) -> int:
    """Writes a run's model, weights, config and card into a folder, and holds it against the run.

    Args:
        run: folder of one finished run.
        kind: "onnx": a model of ONNX and its weights; "safetensors": the weights alone.
        out: folder; None: in outputs/exports, named by what was run.
        licence: of the weights; None: the card says that somebody has to choose.
        audio: recordings on whose features both are compared; none: utterances of the run.

    Returns:
        0.

    Raises:
        UserError: no such run, one that cannot be a graph, a package that is not there, a folder
            that holds something else, or a model that tells something else than the run.
    """
    missing = [name for name in NEEDED[kind] if find_spec(name) is None]
    if missing:
        raise UserError(f'--format {kind} needs {", ".join(missing)}: pip install -e ".[export]"')
    torch.set_num_threads(1)
    with threadpool_limits(1):
        recogniser = load(_one(run))
        cfg = OmegaConf.load(run / ".hydra" / "config.yaml")
        assert isinstance(cfg, DictConfig)
        out = out or Path("outputs/exports") / named(recogniser.result)
        _require_ours(out)
        _write(recogniser, cfg, kind, out, licence, audio)
    return 0


def _write(
    recogniser: Recogniser,
    cfg: DictConfig,
    kind: Format,
    out: Path,
    licence: str | None,
    audio: Sequence[Path],
) -> None:
    # Imported here: what can be told of an export is told before torch's exporter is loaded.
    from ser.export import card, checking, program
    from ser.export.graph import Graph

    graph = Graph(recogniser).eval()
    facts = config(recogniser, cfg)
    longest = None
    if recogniser.extractor.level == "frame":
        longest = (2 * cfg.data.max_frames + 1) * cfg.segments.get("hop", 1)
    made = program.traced(graph, recogniser.extractor.dim, longest)
    files = {WEIGHTS: program.as_safetensors(made)}
    tell = checking.by_torch(graph)
    if kind == "onnx":
        files[ONNX] = program.as_onnx(made, {"classes": ", ".join(facts["classes"])})
        tell = checking.by_onnx(files[ONNX])
    (out / ONNX).unlink(missing_ok=True)  # an earlier one, whatever comes of this
    on = checking.of_audio(recogniser, audio) if audio else checking.of_run(recogniser, cfg)
    checked = checking.checked(tell, recogniser, *on)
    text = card.card(recogniser, facts, kind, licence, str(checked))
    results.write_json(out / CONFIG, facts)  # first: it marks the folder as ours
    for name, content in files.items():
        results.write_bytes(out / name, content)
    results.write_text(out / CARD, text)
    for name in (*files, CONFIG, CARD):
        console.print(f"{out / name}: {(out / name).stat().st_size:,} bytes", markup=False)
    console.print(str(checked), markup=False)


def config(recogniser: Recogniser, cfg: DictConfig) -> dict[str, Any]:
    """The content of `config.json`: what somebody must know to use the model."""
    result, extractor = recogniser.result, recogniser.extractor
    target, bins = recogniser.target
    names = dict(enumerate(recogniser.classes))
    wide: list[str | int] = ["utterances", extractor.dim]
    inputs: dict[str, Any] = {"features": {"shape": wide, "dtype": "float32"}}
    if extractor.level == "frame":
        inputs["features"]["shape"] = ["utterances", "frames", extractor.dim]
        inputs["lengths"] = {"shape": ["utterances"], "dtype": "int64"}
    features: Any = OmegaConf.to_container(cfg.features, resolve=True)
    return {
        "model_type": KIND,
        "system": result["system"],
        "fold": result["fold_index"],
        "seed": result["seed"],
        "run_key": result["run_key"],
        "target": target,
        "bins": bins,
        "classes": list(recogniser.classes),
        "id2label": {str(number): name for number, name in names.items()},
        "label2id": {name: number for number, name in names.items()},
        "inputs": inputs,
        "outputs": {
            "probabilities": {"shape": ["utterances", len(names)], "dtype": "float32"},
        },
        "window": cfg.data.max_frames if _has_windows(recogniser) else None,
        "temperature": result.get("temperature"),
        "sampling_rate": features.get("rate"),
        "features": features,
        "signature": extractor.signature,
        "columns": list(extractor.columns),
        "versions": result["versions"],
    }


def _has_windows(recogniser: Recogniser) -> bool:
    """Whether a network sees frames, or codes of segments, in their order."""
    pooled = recogniser.fitted is not None and recogniser.fitted.pools
    one_by_one = getattr(recogniser.classify, "segments", None) is not None
    return recogniser.extractor.level == "frame" and not pooled and not one_by_one


def named(result: dict[str, Any]) -> str:
    """The folder of a run's export.

    Examples:
        >>> system = {"corpus": "emodb", "target": "emotion", "features": "lld", "model": "cnn"}
        >>> rest = {"fold_index": 3, "seed": 7, "run_key": "493100ac8464df87"}
        >>> named({"system": {**system, "fold": "session"}, **rest})
        'emodb-emotion-lld-cnn-session-3-seed-7-493100ac'
    """
    names = result["system"]
    model = "-".join(names[group] for group in ("representation", "model") if group in names)
    what = [names["corpus"], names["target"], names["features"], model, names["fold"]]
    which = [result["fold_index"], "seed", result["seed"], result["run_key"][:8]]
    return "-".join(map(str, (*what, *which)))


def _one(folder: Path) -> Path:
    """The folder, if it is that of a run, or else says which ones lie below it."""
    runs = [each.path for each in RunFolder.all_finished(folder)]
    if runs == [folder]:
        return folder
    more = f", and {len(runs) - 3} more" if len(runs) > 3 else ""
    raise UserError(
        f"{folder} holds {len(runs)} finished runs, and one is exported, by its own folder: "
        f"{', '.join(map(str, runs[:3]))}{more}"
    )


def _require_ours(out: Path) -> None:
    if not out.exists():
        return
    told = results.read_json(out / CONFIG) if out.is_dir() else None
    ours = (told or {}).get("model_type") == KIND
    if not ours and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is there, and no export: a new folder, or an empty one")
