"""What was exported beside the run that it came of, on the same features."""

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
from ser.inference.loading import Recogniser, is_defined_in
from ser.inference.predict import extract
from ser.inference.recordings import Excerpt, excerpts, recordings

TOLERANCE = 1e-4
UTTERANCES = 8  # of the run's own that are looked at
TOGETHER = 8  # in a batch
CORPORA = "ser.corpora."

# Arrays by the names of inputs -> (N, C) probabilities.
Tell = Callable[[Mapping[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Checked:
    """What a check has found.

    Attributes:
        on: what of, in words.
        difference: the largest of two probabilities that should be the same.
    """

    on: str
    difference: float

    def __str__(self) -> str:
        return f"on {self.on} probabilities differ from PyTorch's by {self.difference:.1e} at most"


def checked(tell: Tell, recogniser: Recogniser, on: str, arrays: Sequence[np.ndarray]) -> Checked:
    """Compares, in batches of several lengths.

    Args:
        tell: what was exported.
        recogniser: it was made of.
        on: what the features are of, in words.
        arrays: features of utterances.

    Raises:
        UserError: it tells something else.
    """
    found = []
    for start in range(0, len(arrays), TOGETHER):
        some = arrays[start : start + TOGETHER]
        found.append(np.abs(tell(padded(some)) - recogniser(some)).max())
    difference = float(np.max(found))
    if not difference <= TOLERANCE:
        raise UserError(
            f"what was exported of {recogniser.folder.path} tells probabilities that differ by "
            f"{difference:.1e} from the run's own on {on}, and {TOLERANCE:g} is allowed: "
            "nothing was written; python -m ser predict tells what the run itself does"
        )
    return Checked(on, difference)


def padded(arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Features of N utterances, (D,) or (T, F) each, as inputs by name."""
    if arrays[0].ndim == 1:
        return {"features": np.stack(arrays)}
    lengths = np.array([len(each) for each in arrays])
    features = np.zeros((len(arrays), lengths.max(), arrays[0].shape[1]), np.float32)
    for row, each in zip(features, arrays, strict=True):
        row[: len(each)] = each
    return {"features": features, "lengths": lengths}


def by_onnx(content: bytes) -> Tell:
    """A model of ONNX under onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, dict(inputs))[0]


def by_torch(graph: Graph) -> Tell:
    """A graph as it is."""

    def tell(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return graph(*(torch.from_numpy(each) for each in inputs.values())).numpy()

    return tell


# ---- features to compare on


def of_audio(recogniser: Recogniser, paths: Sequence[Path]) -> tuple[str, list[np.ndarray]]:
    """Features of recordings, and what they are in words.

    Raises:
        UserError: there are none that can be used.
    """
    found = [extract(each, [recogniser.extractor]) for each in _listed(paths)]
    arrays = _arrays(found, recogniser)
    if not arrays:
        raise UserError(f"--audio {paths[0]}: {found[0].reason}")
    return "1 recording" if len(arrays) == 1 else f"{len(arrays)} recordings", arrays


def of_run(recogniser: Recogniser, cfg: DictConfig) -> tuple[str, list[np.ndarray]]:
    """Features of utterances that the run told of or, where its corpus is gone, drawn ones."""
    own = [extract(each, [recogniser.extractor]) for each in _utterances(recogniser, cfg)]
    arrays = _arrays(own, recogniser)
    if arrays:
        return f"{len(arrays)} utterances that the run told of", arrays
    return "features drawn by lot", drawn(recogniser, cfg.data.max_frames)


def drawn(recogniser: Recogniser, max_frames: int) -> list[np.ndarray]:
    """Features with the mean and the spread of the training part's, some longer than a window."""
    rng = np.random.default_rng(0)
    # Of the first standardisation that features go through.
    first = next(each for each in Graph(recogniser).modules() if hasattr(each, "scale"))
    mean, scale = (getattr(first, name).numpy() for name in ("mean", "scale"))
    counts: list[tuple[int, ...]] = [()] * TOGETHER
    if recogniser.extractor.level == "frame":
        counts = [(1,), (7,), (120,), (max_frames,), (max_frames + 300,)]
    return [
        (mean + scale * rng.normal(size=(*count, len(mean)))).astype(np.float32) for count in counts
    ]


def _utterances(recogniser: Recogniser, cfg: DictConfig) -> list[Excerpt]:
    node: Any = cfg.corpus
    # Read, and never made anew; and nothing is called that is no corpus.
    there = node.get("root") is not None and Path(node.root).exists()
    if not there or not is_defined_in((CORPORA,), str(node._target_)):
        return []
    try:
        table = build(node).table
    except UserError:  # no longer what it was
        return []
    told = recogniser.folder.read_predictions()
    ids = [each for each in told["utterance"][::-1] if each in table.index]
    chosen = sorted({round(n) for n in np.linspace(0, len(ids) - 1, UTTERANCES)}) if ids else []
    rows = table.loc[[ids[n] for n in chosen]]
    return [Excerpt(Path(row.file), row.start, row.end) for row in rows.itertuples()]


def _listed(paths: Sequence[Path]) -> list[Excerpt]:
    return list(excerpts(recordings(paths), None, None))


def _arrays(found: Sequence[Excerpt], recogniser: Recogniser) -> list[np.ndarray]:
    return [each.arrays[recogniser.extractor.signature] for each in found if each.reason is None]
