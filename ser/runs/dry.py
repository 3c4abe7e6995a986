"""Build the networks of a configuration without memory for their weights, before data are read.

What networks refuse (phases that do not go together, a dropout per layer that is no list of that
length, sizes that do not fit) is then known before features are extracted.
"""

from collections.abc import Iterator

import torch
from omegaconf import DictConfig, ListConfig, OmegaConf

from ser.config import build
from ser.config.run_key import (
    EMOTION,
    classifies_segments,
    predicts_values,
    segment_length,
    tasks_of,
)
from ser.data.batches import Head, Task
from ser.data.targets import LEVELS
from ser.errors import UserError
from ser.training.phased import PhasedModel

LARGEST = 2_000_000_000  # parameters; with Adam 32 GB
CLASSES = 4  # where the corpus decides; networks are built with any number


def require_buildable(cfg: DictConfig) -> None:
    """Check that the networks of a configuration can be built.

    Raises:
        UserError: What prevents it.
    """
    parts = list(_representations(cfg)) if cfg.representation is not None else []
    if "grid" not in cfg.model:
        parts.append("model")
    for part in parts:
        try:
            with torch.device("meta"):
                count = _parameters(cfg, part)
        except UserError as error:
            raise UserError(f"{part}: {error}") from error
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{part} cannot be built: {type(error).__name__}: {reason}") from error
        if count > LARGEST:
            raise UserError(f"{part}: {count:,} parameters; at most {LARGEST:,} are allowed")


def _representations(cfg: DictConfig) -> Iterator[str]:
    """Yield the paths of the representations that are networks."""
    node = cfg.representation
    for name in ("lower", "upper") if "lower" in node else ("",):
        path = f"representation.{name}".rstrip(".")
        if "module" in (node[name] if name else node):
            yield path


def unbuilt_model(cfg: DictConfig) -> PhasedModel:
    """Return the network of a model without memory for its weights.

    Args:
        cfg: Configuration that `require_buildable` accepts.
    """
    with torch.device("meta"):
        model: PhasedModel = build(cfg.model)(_task(cfg, "model"))
    return model


def _parameters(cfg: DictConfig, part: str) -> int:
    """Build a network and its phases, and return the number of its parameters."""
    if part == "model":
        model = unbuilt_model(cfg)
    else:
        node = OmegaConf.select(cfg, part)
        size = max(node.size) if isinstance(node.size, ListConfig) else node.size
        model = build(node.module)(_task(cfg, part), size)
    if not model.phases:
        raise UserError("phases: there are none")
    return sum(parameter.numel() for parameter in model.parameters())


def _task(cfg: DictConfig, part: str) -> Task:
    """Return what a network is built for, as far as it is known before data are read."""
    classes = cfg.target.get("classes")
    count = len(classes) if classes else CLASSES
    layers = len(build(cfg.features).layers) if "layer" in cfg.features else 1
    heads = _heads(cfg, count) if part == "model" else ()
    return Task(_inputs(cfg, part), 0 if heads else count, None, {}, layers=layers, heads=heads)


def _heads(cfg: DictConfig, classes: int) -> tuple[Head, ...]:
    """Return the heads of values or several tasks; none for classes.

    Args:
        cfg: Configuration of the run.
        classes: Number of classes of emotions.
    """
    if not tasks_of(cfg):
        return (Head("value", 0),) if predicts_values(cfg) else ()
    levels = 0 if predicts_values(cfg) else len(LEVELS)
    return tuple(Head(name, classes if name == EMOTION else levels) for name in tasks_of(cfg))


def _inputs(cfg: DictConfig, part: str) -> int:
    """Return the width of the input of a network."""
    is_model = part == "model"
    if is_model and cfg.representation is not None and cfg.transfer == "codes":
        return cfg.representation.get("upper", cfg.representation).size
    if part.endswith("upper"):
        return cfg.representation.lower.size
    sees_segments = classifies_segments(cfg) if is_model else cfg.features.level == "frame"
    dim = cfg.features.get("dim") or build(cfg.features).dim
    return dim * segment_length(cfg) if sees_segments else dim
