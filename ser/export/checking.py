"""Comparison of an exported model with its run, on the same features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from ser.config import build
from ser.errors import UserError
from ser.export.graph import Graph
from ser.inference.loading import Recogniser
from ser.inference.predict import extract
from ser.inference.recordings import Excerpt, excerpts, recordings

TOLERANCE = 1e-4
UTTERANCES = 8  # of the run that are compared
BATCH = 8

# Arrays by names of inputs -> (N, width) probabilities and values, tasks side by side.
Predict = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        data: Description of the utterances, e.g. "3 recordings".
        difference: Largest absolute difference of two predictions.
        noun: What was compared: "probabilities" or "values".
    """

    data: str
    difference: float
    noun: str

    def __str__(self) -> str:
        return (
            f"the largest difference to the {self.noun} of the run in PyTorch is "
            f"{self.difference:.1e}, on {self.data}"
        )


def compare(
    predict: Predict, recogniser: Recogniser, data: str, arrays: Sequence[np.ndarray]
) -> Comparison:
    """Compare an exported model with its run, in batches of utterances of different lengths.

    Args:
        predict: Exported model.
        recogniser: Run that it was made from.
        data: Description of the utterances.
        arrays: Features of each utterance.

    Raises:
        UserError: The predictions differ by more than `TOLERANCE`.
    """
    differences = []
    for start in range(0, len(arrays), BATCH):
        batch = arrays[start : start + BATCH]
        differences.append(np.abs(predict(pad(batch)) - recogniser(batch)).max())
    difference = float(np.max(differences))
    if not difference <= TOLERANCE:
        raise UserError(
            f"the exported model gives {recogniser.kind.NOUN} that differ by {difference:.1e} from "
            f"those of {recogniser.folder.path} on {data}; the tolerance is {TOLERANCE:g}. Nothing "
            "was written. python -m ser predict uses the run itself"
        )
    return Comparison(data, difference, recogniser.kind.NOUN)


def pad(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return features of N utterances, (D,) or (T, F) each, as inputs by name."""
    if arrays[0].ndim == 1:
        return {"features": np.stack(arrays)}
    lengths = np.array([len(each) for each in arrays])
    features = np.zeros((len(arrays), lengths.max(), arrays[0].shape[1]), np.float32)
    for row, each in zip(features, arrays, strict=True):
        row[: len(each)] = each
    return {"features": features, "lengths": lengths}


def onnx_predictor(content: bytes) -> Predict:
    """Return a function that runs an ONNX model with onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: np.concatenate(session.run(None, dict(inputs)), axis=1)


def torch_predictor(graph: Graph) -> Predict:
    """Return a function that runs a graph with torch."""

    def predict(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            outputs = graph(*(torch.from_numpy(each) for each in inputs.values()))
            return torch.cat(outputs, dim=1).numpy()

    return predict


# ---- features to compare on, with a description


def features_of_recordings(
    recogniser: Recogniser, paths: Sequence[Path]
) -> tuple[str, list[np.ndarray]]:
    """Return features of recordings.

    Args:
        recogniser: Run whose features are extracted.
        paths: Recordings, or folders that are searched for them.

    Raises:
        UserError: No recording can be used.
    """
    files = excerpts(recordings(paths), None, None)
    extracted = [extract(each, [recogniser.extractor]) for each in files]
    arrays = _arrays(extracted, recogniser)
    if not arrays:
        raise UserError(f"--audio {paths[0]}: {extracted[0].reason}")
    return "1 recording" if len(arrays) == 1 else f"{len(arrays)} recordings", arrays


def features_of_run(recogniser: Recogniser, cfg: DictConfig) -> tuple[str, list[np.ndarray]]:
    """Return features of utterances of the run, or random ones if its corpus is not available."""
    utterances = _utterances(recogniser, cfg)
    extracted = [extract(each, [recogniser.extractor]) for each in utterances]
    arrays = _arrays(extracted, recogniser)
    if arrays:
        return f"{len(arrays)} utterances of the run", arrays
    return "random features", random_features(recogniser, cfg.data.max_frames)


def random_features(recogniser: Recogniser, max_frames: int) -> list[np.ndarray]:
    """Draw features with the mean and deviation of the training split, some longer than a window.

    Args:
        recogniser: Run that the features are for.
        max_frames: Length of its windows.
    """
    rng = np.random.default_rng(0)
    # The first standardisation that features pass through.
    first = next(each for each in Graph(recogniser).modules() if hasattr(each, "scale"))
    mean, scale = (getattr(first, name).numpy() for name in ("mean", "scale"))
    shapes: list[tuple[int, ...]] = [()] * BATCH
    if recogniser.extractor.level == "frame":
        shapes = [(1,), (7,), (120,), (max_frames,), (max_frames + 300,)]
    return [
        (mean + scale * rng.normal(size=(*shape, len(mean)))).astype(np.float32) for shape in shapes
    ]


def _utterances(recogniser: Recogniser, cfg: DictConfig) -> list[Excerpt]:
    """Return utterances that the run has predicted, spread evenly; none without its corpus."""
    node: Any = cfg.corpus
    # The corpus is only read: it must exist.
    if node.get("root") is None or not Path(node.root).exists():
        return []
    try:
        table = build(node).table
    except UserError:  # the corpus has changed
        return []
    predictions = recogniser.folder.read_predictions()
    ids = [each for each in predictions["utterance"][::-1] if each in table.index]
    chosen = sorted({round(n) for n in np.linspace(0, len(ids) - 1, UTTERANCES)}) if ids else []
    rows = table.loc[[ids[n] for n in chosen]]
    return [Excerpt(Path(row.file), row.start, row.end) for row in rows.itertuples()]


def _arrays(extracted: Sequence[Excerpt], recogniser: Recogniser) -> list[np.ndarray]:
    """Return the features of the utterances that could be extracted."""
    signature = recogniser.extractor.signature
    return [each.arrays[signature] for each in extracted if each.reason is None]
