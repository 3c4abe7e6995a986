"""Valid types and ranges of option values, by the name of the option.

Kept apart from the constructors, so that a wrong value is found before torch is imported, and so
that options of torch and scikit-learn have bounds, too. The ceilings are far above anything useful;
they catch typing errors that would exhaust the memory.
"""

import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from omegaconf import DictConfig, OmegaConf
from pydantic import (
    AfterValidator,
    AllowInfNan,
    ConfigDict,
    InstanceOf,
    TypeAdapter,
    ValidationError,
)

Count = Annotated[int, Ge(1), Le(1_000_000)]
CountOrZero = Annotated[int, Ge(0), Le(1_000_000)]
Positive = Annotated[float, Gt(0), AllowInfNan(False)]
NonNegative = Annotated[float, Ge(0), AllowInfNan(False)]
Number = Annotated[float, AllowInfNan(False)]
Probability = Annotated[float, Ge(0), Lt(1)]  # 1 would drop everything
OpenShare = Annotated[float, Gt(0), Lt(1)]
Share = Annotated[float, Gt(0), Le(1)]
Seed = Annotated[int, Ge(0), Lt(2**32)]
Processes = Annotated[int, Ge(1), Le(1024)]
Width = Annotated[int, Ge(1), Le(65_536)]
Widths = Annotated[list[Width], MaxLen(64)]
Channels = Annotated[list[Width], MinLen(1), MaxLen(16)]
Sizes = Width | Annotated[list[Width], MinLen(1)]
Range = Annotated[list[Number], MinLen(2), MaxLen(2)]
Names = Annotated[list[str | int], MinLen(1)]
Layer = Annotated[int, Ge(0), Le(1_000)]


def _folder_name(text: str) -> str:
    """Return the name of a folder, unless it would lead elsewhere."""
    if not re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]{0,99}", text):
        raise ValueError("must be a name of 1 to 100 letters without slashes or a dot before it")
    return text


FolderName = Annotated[str, AfterValidator(_folder_name)]

# A name with a dot stands for the option of this group or node only, and comes first.
BOUNDS: dict[str, Any] = {
    # top level
    "seed": Seed,
    "seeds": Literal["all", "first"],
    "test": bool,
    "force": bool,
    "share_training": bool | None,
    "skip_faulty": bool,
    "in_memory": bool,
    "train_on": Literal["real", "synthetic", "both"],
    "synthetic_per_class": Count,
    "fit_on": Literal["target", "train", "all"],
    "transfer": Literal["codes", "weights"],
    "calibrate": Literal["none", "temperature"],
    "fitted": Annotated[str, MinLen(1)],
    # corpus, data, target, fold and store
    "corpus.name": FolderName | None,
    "corpus.scale": Annotated[list[Number], MinLen(2), MaxLen(2)] | None,
    "corpus.ratings": str | None,
    "batch_size": Count,
    "max_frames": Count,
    "clip": Positive | None,
    "bins": (
        Literal["extremes", "rounded", "strict", "majority"]
        | Annotated[list[Number], MinLen(2), MaxLen(2)]
        | None
    ),
    "target.names": Annotated[
        list[Literal["activation", "valence", "dominance", "emotion"]], MinLen(1)
    ],
    **{
        f"loss_weights.{name}": Positive
        for name in ("activation", "valence", "dominance", "emotion")
    },
    "labelled_fraction": Share,
    "labelled_seed": Seed,
    "min_agreement": CountOrZero,
    "index": CountOrZero,
    "count": Annotated[int, Ge(1), Le(10_000)],
    "text_groups": Annotated[int, Ge(3), Le(10_000)],
    "split_seed": Seed,
    "test_share": Probability,
    "val_share": OpenShare,
    "fold.train": Count | Names | None,
    "fold.val": Count | Names | None,
    "fold.test": CountOrZero | list[str | int] | None,
    "workers": Processes | None,
    # augmentation
    "spec_augment.masks": Annotated[int, Ge(0), Le(100)],
    "spec_augment.frames": Annotated[int, Ge(1), Le(10_000)],
    "spec_augment.columns": Annotated[int, Ge(1), Le(10_000)],
    "mixup": Positive | None,
    "copies": Annotated[int, Ge(1), Le(100)],
    "noise.snr": Range,
    "gain.decibels": Range,
    "speed.factor": Range,
    "reverb.seconds": Range,
    "reverb.ratio": Range,
    "telephone.high": Positive,
    # features and segments
    "dim": Width | None,  # None: as the files have it
    "rate": Annotated[int, Ge(1_000), Le(1_000_000)],
    "frame": Positive,
    "hop": Positive | None,  # None: features without excerpts
    "points": Annotated[int, Ge(2), Le(1_000_000)],
    "low": NonNegative,
    "high": Positive,
    "floor": Positive,
    "f0_low": Positive,
    "f0_high": Positive,
    "silence": OpenShare,
    "voicing": OpenShare,
    "highpass": Positive,
    "periods": Positive,
    "tract": Annotated[int, Ge(1), Le(1_000)],
    "glottis": Annotated[int, Ge(1), Le(1_000)],
    "leak": OpenShare,
    "octaves": Annotated[int, Ge(2), Le(16)],
    "coefficients": Width,
    "features.layer": (
        Literal["all", "middle", "chosen"] | Layer | Annotated[list[Layer], MinLen(1), MaxLen(100)]
    ),
    "longest": Annotated[float, Ge(1), Le(3_600), AllowInfNan(False)],
    "overlap": Positive,
    "segments.frames": Annotated[int, Ge(1), Le(10_000)],
    "segments.hop": Annotated[int, Ge(1), Le(10_000)],
    "segments.past": Annotated[int, Ge(0), Le(10_000)],
    "segments.future": Annotated[int, Ge(0), Le(10_000)],
    # networks
    "hidden": Widths,
    "channels": Channels,
    "first": Width,
    "last": Width,
    "encoder.kernel": Annotated[int, Ge(1), Le(1_000)],
    "decoder.kernel": Annotated[int, Ge(1), Le(1_000)],
    "width": Width,
    "layers": Annotated[int, Ge(1), Le(64)],
    "units": Width,
    "dropout": Probability | list[Probability],
    "forget_bias": Number,
    "weights_rate": Positive,
    # models and representations
    "size": Width | None,
    "representation.size": Sizes,
    "lower.size": Width,
    "upper.size": Width,
    "corruption": Probability,
    "condition_dropout": Annotated[float, Ge(0), Le(1)],
    "noise": Positive,
    "annealing_epochs": CountOrZero,
    "free_bits": NonNegative,
    "epochs_each": Count,
    "discriminator_rate": Positive,
    "radius": NonNegative,
    "spread": Positive,
    "threshold": Probability,
    "ridge": Positive,
    "stopping.phases": Annotated[list[str], MinLen(1)],
    "grid.C": Annotated[list[Positive], MinLen(1)],
    "classifier.C": Positive,
    "grid.alpha": Annotated[list[Positive], MinLen(1)],
    "regressor.C": Positive,
    "regressor.epsilon": NonNegative,
    "max_iter": Count,
    "jobs": Processes,
    # optimisers
    "lr": Positive,
    "betas": Annotated[list[Probability], MinLen(2), MaxLen(2)],
    "eps": Positive,
    "weight_decay": NonNegative,
    "momentum": Probability,
    # trainer and stopping
    "max_epochs": Count,
    "patience": Count | None,
    "threads": Processes,
    "devices": Processes,
    "runs_per_gpu": Processes,
    "checkpoint_seconds": NonNegative,
    "graphs": bool,
    "packed": bool,
    "stopping.window": Count,
    "tolerance": NonNegative,
}
# Parts without options of a run; networks are checked where the model contains them.
UNBOUNDED = ("hydra", "networks", "emotions", "published", "paper", "report")


def bound_problems(cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield each option whose value has a wrong type or is out of range.

    Args:
        cfg: Configuration whose interpolations can be resolved.

    Yields:
        The dotted path of the option, and a message.
    """
    for path, value, kind in _options(cfg, ""):
        if problem := type_problem(path, value, kind):
            yield path, problem


def bound_of(path: str) -> Any:
    """Return the type and range of the option at a dotted path; None: there is none."""
    names = path.split(".")
    return BOUNDS.get(".".join(names[-2:])) or BOUNDS.get(names[-1])


def type_problem(path: str, value: Any, kind: Any) -> str | None:
    """Return a message if a value is not of a type or out of its range."""
    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    try:
        # Strict: "10" is not a number.
        _adapter(kind).validate_python(plain, strict=True)
    except ValidationError as error:
        # Of a number or a list, the message about the one that is given.
        errors = error.errors()
        reason = errors[-1 if isinstance(plain, list) else 0]["msg"]
        reason = reason[0].lower() + reason[1:]
        close = get_close_matches(str(plain), [str(each) for each in _literals(kind)], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{path}={_shown(plain)}: {reason}{hint}"
    return None


@cache
def _adapter(kind: Any) -> TypeAdapter:
    if is_dataclass(kind):  # only a node can make one
        return TypeAdapter(InstanceOf[kind])
    return TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))


def _options(node: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield all options that have a bound: the dotted path, the value and the bound."""
    is_node = OmegaConf.is_dict(node) and "_target_" in node
    if path and not is_node and (kind := bound_of(path)) is not None:
        yield path, node, kind
    elif OmegaConf.is_dict(node):
        for key in node:
            if key not in UNBOUNDED:
                yield from _options(node[key], f"{path}.{key}".lstrip("."))


def _literals(kind: Any) -> list[Any]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [literal for inner in get_args(kind) for literal in _literals(inner)]


def _shown(value: Any) -> str:
    """Return a value as one line of at most 100 characters."""
    text = "null" if value is None else str(value)
    text = text if text.isprintable() else repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
