"""Export of a finished run for use without `ser`: `python -m ser export`.

All fitted parts become one graph from features to class probabilities or values, with an output for
each task. Feature extraction is not part of it. The layout of the exported folder is the one that
model hubs expect.
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
from ser.inference import training_range
from ser.inference.loading import Recogniser, load
from ser.results import RunFolder

Format = Literal["onnx", "safetensors"]
# Optional packages that each format needs.
PACKAGES = {
    "safetensors": ("safetensors",),
    "onnx": ("safetensors", "onnx", "onnxscript", "onnxruntime"),
}
ONNX, WEIGHTS, CONFIG, CARD = "model.onnx", "model.safetensors", "config.json", "README.md"
MODEL_TYPE = "ser"  # marks a folder as an export of this project


def export_run(
    run: Path, *, kind: Format, out: Path | None, licence: str | None, audio: Sequence[Path]
) -> int:
    """Write the model, weights, config and card of a run to a folder, after a check.

    Args:
        run: Folder of a finished run.
        kind: "onnx": ONNX model and weights; "safetensors": weights only.
        out: Folder of the export; None: a folder in outputs/exports, named after the run.
        licence: Licence of the weights; None: the card says that none was chosen.
        audio: Recordings on which the export is compared with the run; empty: utterances of the
            run.

    Returns:
        The exit status, 0.

    Raises:
        UserError: There is no such run, it cannot be expressed as a graph, a package is not
            installed, the folder contains other files, or the exported model predicts otherwise
            than the run.
    """
    missing = [name for name in PACKAGES[kind] if find_spec(name) is None]
    if missing:
        raise UserError(f'--format {kind} needs {", ".join(missing)}: pip install -e ".[export]"')
    torch.set_num_threads(1)
    with threadpool_limits(1):
        recogniser = load(_require_one_run(run))
        cfg = recogniser.folder.require_config()
        out = out or Path("outputs/exports") / export_name(recogniser.result)
        _require_export_folder(out)
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
    # Imported here, because torch's exporter is slow to import: errors of usage come before it.
    from ser.export import card, checking, program
    from ser.export.graph import Graph

    graph = Graph(recogniser).eval()
    facts = model_config(recogniser, cfg)
    traced = program.trace(graph, recogniser.extractor.dim, _traced_frames(recogniser, cfg))
    files = {WEIGHTS: program.to_safetensors(traced)}
    predict = checking.torch_predictor(graph)
    if kind == "onnx":
        about = {"target": facts["target"], "classes": ", ".join(facts["classes"])}
        files[ONNX] = program.to_onnx(traced, list(recogniser.kind.outputs), about)
        predict = checking.onnx_predictor(files[ONNX])
    if recogniser.training_range is not None:
        files[training_range.FILE] = recogniser.training_range.content()
    (out / ONNX).unlink(missing_ok=True)  # of an earlier export, even if this one fails
    features = (
        checking.features_of_recordings(recogniser, audio)
        if audio
        else checking.features_of_run(recogniser, cfg)
    )
    comparison = checking.compare(predict, recogniser, *features)
    text = card.render_card(recogniser, facts, kind, licence, str(comparison))
    results.write_json(out / CONFIG, facts)  # first, because it marks the folder as an export
    for name, content in files.items():
        results.write_bytes(out / name, content)
    results.write_text(out / CARD, text)
    for name in (*files, CONFIG, CARD):
        console.print(f"{out / name}: {(out / name).stat().st_size:,} bytes", markup=False)
    console.print(str(comparison), markup=False)


def _traced_frames(recogniser: Recogniser, cfg: DictConfig) -> int | None:
    """Return a number of frames with several segments and windows; None for vectors."""
    if recogniser.extractor.level != "frame":
        return None
    return (2 * cfg.data.max_frames + 1) * cfg.segments.get("hop", 1)


def model_config(recogniser: Recogniser, cfg: DictConfig) -> dict[str, Any]:
    """Return the content of `config.json`: all that is needed to use the model."""
    result, extractor, kind = recogniser.result, recogniser.extractor, recogniser.kind
    target, bins = recogniser.target
    names = dict(enumerate(recogniser.classes))
    shape: list[str | int] = ["utterances", extractor.dim]
    inputs: dict[str, Any] = {"features": {"shape": shape, "dtype": "float32"}}
    if extractor.level == "frame":
        inputs["features"]["shape"] = ["utterances", "frames", extractor.dim]
        inputs["lengths"] = {"shape": ["utterances"], "dtype": "int64"}
    features: Any = OmegaConf.to_container(cfg.features, resolve=True)
    return {
        "model_type": MODEL_TYPE,
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
        **({"tasks": result["tasks"]} if "tasks" in result else {}),
        "outputs": {
            name: {"shape": ["utterances", task.width], "dtype": "float32"}
            for name, task in kind.outputs.items()
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
    """Return whether the model is a network on sequences of frames or of codes of segments."""
    pooled = recogniser.fitted is not None and recogniser.fitted.pools
    on_segments = getattr(recogniser.classify, "segments", None) is not None
    return recogniser.extractor.level == "frame" and not pooled and not on_segments


def export_name(result: dict[str, Any]) -> str:
    """Return the name of the folder for the export of a run.

    Examples:
        >>> system = {"corpus": "emodb", "target": "emotion", "features": "lld", "model": "cnn"}
        >>> rest = {"fold_index": 3, "seed": 7, "run_key": "493100ac8464df87"}
        >>> export_name({"system": {**system, "fold": "session"}, **rest})
        'emodb-emotion-lld-cnn-session-3-seed-7-493100ac'
    """
    names = result["system"]
    model = "-".join(names[group] for group in ("representation", "model") if group in names)
    system = [names["corpus"], names["target"], names["features"], model, names["fold"]]
    run = [result["fold_index"], "seed", result["seed"], result["run_key"][:8]]
    name = "-".join(map(str, (*system, *run)))
    # The names come from files of the run; whatever they are, they name one folder.
    return name.replace("/", "_").replace("\\", "_")


def _require_one_run(folder: Path) -> Path:
    """Return the folder if it is that of a run, otherwise raise an error with the runs in it."""
    runs = [each.path for each in RunFolder.all_finished(folder)]
    if runs == [folder]:
        return folder
    more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
    raise UserError(
        f"{folder} contains {len(runs)} finished runs; give the folder of one of them: "
        f"{', '.join(map(str, runs[:3]))}{more}"
    )


def _require_export_folder(out: Path) -> None:
    """Raise a UserError unless the folder is new, empty or an earlier export."""
    if not out.exists():
        return
    facts = results.read_json(out / CONFIG) if out.is_dir() else None
    is_export = (facts or {}).get("model_type") == MODEL_TYPE
    if not is_export and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} exists and is not an export; choose a new or an empty folder")
