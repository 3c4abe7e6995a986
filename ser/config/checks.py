"""Validate a configuration before anything is loaded."""

import inspect
import typing
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from ser.config import CONF, choices, targets
from ser.config.explain import nearest
from ser.config.run_key import classifies_segments, reading
from ser.errors import UserError

TOP_LEVEL = {
    "seed": int,
    "test": bool,
    "force": bool,
    "skip_faulty": bool,
    "in_memory": bool,
    "train_on": Literal["real", "synthetic", "both"],
    "synthetic_per_class": int,
    "fit_on": Literal["target", "train", "all"],
    "transfer": Literal["codes", "weights"],
    "calibrate": Literal["none", "temperature"],
}


def check(cfg: DictConfig) -> None:
    """Validate the options of a configuration and their combination.

    Names and types of options are compared with the signatures of what they configure.
    Combinations are checked of those parts only whose own options are valid.

    Raises:
        UserError: One line per problem: the option, its value, and the nearest or all valid
            choices.
    """
    problems = list(_option_problems(cfg))
    invalid = {part for part, _ in problems}
    messages = [message for _, message in problems]
    for parts, combination_problems in COMBINATIONS:
        if invalid.isdisjoint(parts):
            messages += combination_problems(cfg)
    if messages:
        raise UserError("\n".join(messages))


def _option_problems(cfg: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield invalid options: the part of the configuration (e.g. "model") and a message."""
    for key, kind in TOP_LEVEL.items():
        if problem := _type_problem(key, cfg[key], kind):
            yield key, problem
        elif key == "seed" and cfg.seed < 0:
            yield key, f"seed={cfg.seed}: seeds count from 0"
    for path, node in targets(cfg, ""):
        for problem in _node_problems(path, node):
            yield path.partition(".")[0], problem


def _node_problems(path: str, node: DictConfig) -> Iterator[str]:
    """Compare the arguments of one node with the signature of its target.

    By the convention of this project, arguments that code passes are positional and arguments
    that the configuration sets are keyword-only. So a partial node must set every keyword-only
    argument without default.
    """
    from hydra.utils import get_object

    try:
        target = get_object(node._target_)
    except ImportError:
        yield f"{path}._target_={node._target_}: nothing of this name"
        return
    try:
        signature = inspect.signature(target)
    except ValueError:  # a builtin without signature
        return
    known = {n: p for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    takes_any = len(known) < len(signature.parameters)
    given = [str(key) for key in node if str(key) not in ("_target_", "_partial_")]
    for name in given:
        if name not in known and not takes_any:
            yield f"{path}.{name}: {nearest(name, known)}"
    partial = bool(node.get("_partial_", False))
    for name, parameter in known.items():
        required = parameter.default is parameter.empty and (
            parameter.kind is parameter.KEYWORD_ONLY or not partial
        )
        if required and name not in given:
            yield f"{path}.{name} is missing"
    if str(node._target_).startswith("ser."):
        yield from _type_problems(path, node, target)


def _type_problems(path: str, node: DictConfig, target: Any) -> Iterator[str]:
    """Compare the arguments of one node with the annotations of its target."""
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    for name in map(str, node):
        value = node[name]
        if name in hints and not (OmegaConf.is_dict(value) and "_target_" in value):
            problem = _type_problem(f"{path}.{name}", value, hints[name])
            if problem:
                yield problem


def _type_problem(path: str, value: Any, kind: Any) -> str | None:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    try:
        # Strict for scalars ("10" is not a number), lenient for sequences (YAML has only lists).
        TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
            plain, strict=not isinstance(plain, list)
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"][0].lower() + error.errors()[0]["msg"][1:]
        close = get_close_matches(str(plain), [str(each) for each in _literals(kind)], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        return f"{path}={plain}: {reason}{hint}"
    return None


def _literals(kind: Any) -> list[Any]:
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    return [literal for inner in typing.get_args(kind) for literal in _literals(inner)]


def _level_problems(cfg: DictConfig) -> Iterator[str]:
    """Compare the level of the features with the level that the model needs."""
    from hydra.utils import get_object

    # The level is an attribute of the encoder, or of a model without encoder.
    node = cfg.model.encoder if "encoder" in cfg.model else cfg.model
    needed = get_object(node._target_).level
    level = "utterance" if _pools(cfg) else cfg.features.level
    if needed == level or (needed == "segment" and level == "frame"):
        return
    name = _class_name(node)
    if _pools(cfg):
        yield (
            f"{name} needs {needed}s, but this representation has one code per utterance: model=mlp"
        )
        return
    needed = "frame" if needed == "segment" else needed
    suitable = [name for name in choices("features") if _level_of(name) == needed]
    yield (
        f"{name} needs {needed}-level features, but these are {level}-level: "
        f"features={'|'.join(suitable)}"
    )


def _level_of(features: str) -> str:
    node = OmegaConf.load(CONF / "features" / f"{features}.yaml")
    assert isinstance(node, DictConfig)
    return node.level


def _class_name(node: DictConfig) -> str:
    return node._target_.rpartition(".")[2]


def _pools(cfg: DictConfig) -> bool:
    """Return whether a representation turns the frames of an utterance into one code."""
    from hydra.utils import get_object

    node = cfg.representation
    return node is not None and get_object(node.get("upper", node)._target_).pools


def _representation_problems(cfg: DictConfig) -> Iterator[str]:
    if cfg.representation is None:
        if cfg.train_on != "real":
            yield (
                f"train_on={cfg.train_on} needs a representation that can generate samples: "
                "representation=aae"
            )
        for key, default in (("fit_on", "target"), ("transfer", "codes")):
            if cfg[key] != default:
                yield f"{key}={cfg[key]} is for a representation, and there is none"
        return
    if cfg.features.level != "utterance" and "transform" in cfg.representation:
        yield (
            f"{_class_name(cfg.representation.transform)} needs utterance-level features, e.g. "
            "features=is10; networks also accept frames: representation=vae"
        )
    if cfg.features.level == "utterance" and "upper" in cfg.representation:
        yield "this representation needs frame-level features, e.g. features=fft128"
    if cfg.synthetic_per_class < 1:
        yield f"synthetic_per_class={cfg.synthetic_per_class}: at least 1"
    yield from _reading_problems(cfg)
    yield from _transfer_problems(cfg)
    # Models that tune their options in inner folds also choose the code size there.
    yield from _tuned_problems(cfg) if "grid" in cfg.model else _untuned_problems(cfg)


def _tuned_problems(cfg: DictConfig) -> Iterator[str]:
    if cfg.fit_on != "target":
        yield (
            f"fit_on={cfg.fit_on}: with model=svm and model=logistic a representation is "
            "fitted on inner folds of labelled utterances: fit_on=target"
        )


def _untuned_problems(cfg: DictConfig) -> Iterator[str]:
    size = cfg.representation.get("upper", cfg.representation).size
    if not isinstance(size, int):
        yield (
            f"representation.size={size}: only model=svm and model=logistic choose one of several; "
            "this model takes one number"
        )
    if cfg.train_on != "real":
        yield f"train_on={cfg.train_on} is for model=svm and model=logistic"


def _transfer_problems(cfg: DictConfig) -> Iterator[str]:
    """Weights can be transferred between networks of equal widths only."""
    if cfg.transfer == "codes":
        return
    module = cfg.representation.get("module", {})
    if "corruption" not in module or not classifies_segments(cfg):
        yield (
            "transfer=weights is for a denoising autoencoder and a network of its shape: "
            "representation=dae_tied|dae_untied|dae_deep model=pyramid"
        )
        return
    widths = [*module.hidden, cfg.representation.size]
    if cfg.model.encoder.hidden != widths:
        yield (
            f"model.encoder.hidden={cfg.model.encoder.hidden}: transfer=weights needs the widths "
            f"of the representation, {widths}"
        )


def _reading_problems(cfg: DictConfig) -> Iterator[str]:
    """Check the class that a conditional representation encodes test utterances with."""
    from hydra.utils import get_object

    module = cfg.representation.get("module")
    if module is None or "reading" not in module:
        return
    given = f"representation.module.reading={'null' if reading(cfg) is None else reading(cfg)}"
    if reading(cfg) is None and module.condition_dropout == 0:
        yield (
            f"{given} encodes without a class, which training must have included: "
            "representation.module.condition_dropout=0.5, or representation=cvae_null"
        )
    model = get_object(cfg.model._target_)
    if reading(cfg) == "marginal" and not getattr(model, "takes_variants", False):
        yield (
            f"{given} needs a model that averages over codes, and {model.__name__} does not: "
            "model=lstm, model=mlp, or representation=cvae_null"
        )
    if reading(cfg) == "oracle" and "grid" in cfg.model:
        yield f"{given} is not for model=svm and model=logistic: representation=cvae_null"


def _test_corpus_problems(cfg: DictConfig) -> Iterator[str]:
    from hydra.utils import get_object

    if cfg.test_corpus is None:
        return
    if "corpus" not in cfg.test_corpus:
        names = ", ".join(choices("test_corpus"))
        yield f"test_corpus: there is no such corpus; there are {names}"
    if reading(cfg) == "oracle":
        yield (
            "test_corpus: reading=oracle needs the true classes, so another corpus cannot be "
            "encoded"
        )
    if "root" in cfg.features:
        name = get_object(cfg.features._target_).__name__
        yield f"test_corpus: {name} reads features of one corpus from features.root"


def _calibration_problems(cfg: DictConfig) -> Iterator[str]:
    if cfg.calibrate != "none" and "grid" in cfg.model:
        yield (
            f"calibrate={cfg.calibrate} is for networks: model=svm and model=logistic fit a "
            "temperature of their own, on scores of speakers left out"
        )


# Parts of a configuration that must be valid by themselves, and the check of their combination.
_SYSTEM = ("model", "features", "representation")
COMBINATIONS = (
    (_SYSTEM, _level_problems),
    (
        (*_SYSTEM, "train_on", "synthetic_per_class", "fit_on", "transfer"),
        _representation_problems,
    ),
    (("features", "representation", "test_corpus"), _test_corpus_problems),
    (("model", "calibrate"), _calibration_problems),
)
