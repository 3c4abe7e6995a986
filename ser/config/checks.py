"""What is wrong with a config, found before anything is loaded."""

import inspect
import typing
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
    """Finds what is wrong with a config, before anything is loaded.

    Names and types of options are held against the signatures of what they configure.

    Raises:
        UserError: names the option, what it is, and the nearest or all valid choices.
    """
    for key, kind in TOP_LEVEL.items():
        _require_type(key, cfg[key], kind)
    if cfg.seed < 0:
        raise UserError(f"seed={cfg.seed}: seeds count from 0")
    for path, node in targets(cfg, ""):
        _check_target(path, node)
    _check_levels(cfg)
    _check_representation(cfg)
    _check_test_corpus(cfg)
    if cfg.calibrate != "none" and "grid" in cfg.model:
        raise UserError(
            f"calibrate={cfg.calibrate} is for networks: model=svm and model=logistic fit a "
            "temperature of their own, on scores of speakers left out"
        )


def _check_test_corpus(cfg: DictConfig) -> None:
    from hydra.utils import get_object

    if cfg.test_corpus is None:
        return
    if "corpus" not in cfg.test_corpus:
        names = ", ".join(choices("test_corpus"))
        raise UserError(f"test_corpus: there is no such corpus; there are {names}")
    if reading(cfg) == "oracle":
        raise UserError("test_corpus: codes under the true class can be made of no other corpus")
    if "root" in cfg.features:
        name = get_object(cfg.features._target_).__name__
        raise UserError(f"test_corpus: {name} reads features of one corpus from features.root")


def _check_target(path: str, node: DictConfig) -> None:
    """Arguments of one node against the signature of its target.

    By this project's convention what `run` hands over is positional and what config sets is
    keyword-only, so that a partial node must set every keyword-only argument without default.
    """
    from hydra.utils import get_object

    try:
        target = get_object(node._target_)
    except ImportError:
        raise UserError(f"{path}._target_={node._target_}: nothing of this name") from None
    try:
        signature = inspect.signature(target)
    except ValueError:  # a builtin, which shows none
        return
    known = {n: p for n, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    takes_any = len(known) < len(signature.parameters)
    given = [str(key) for key in node if str(key) not in ("_target_", "_partial_")]
    for name in given:
        if name not in known and not takes_any:
            raise UserError(f"{path}.{name}: {nearest(name, known)}")
    partial = bool(node.get("_partial_", False))
    for name, parameter in known.items():
        required = parameter.default is parameter.empty and (
            parameter.kind is parameter.KEYWORD_ONLY or not partial
        )
        if required and name not in given:
            raise UserError(f"{path}.{name} is missing")
    if str(node._target_).startswith("ser."):
        constructor = target.__init__ if inspect.isclass(target) else target
        hints = typing.get_type_hints(constructor)
        for name in given:
            if name in hints and not (OmegaConf.is_dict(node[name]) and "_target_" in node[name]):
                _require_type(f"{path}.{name}", node[name], hints[name])


def _require_type(path: str, value: Any, kind: Any) -> None:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    plain = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    try:
        # Strict about scalars ("10" is no number), lenient about sequences (config has lists).
        TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
            plain, strict=not isinstance(plain, list)
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"][0].lower() + error.errors()[0]["msg"][1:]
        names = [str(choice) for choice in _choices(kind)]
        close = get_close_matches(str(plain), names, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"{path}={plain}: {reason}{hint}") from None


def _choices(kind: Any) -> list[Any]:
    if typing.get_origin(kind) is typing.Literal:
        return list(typing.get_args(kind))
    return [choice for inner in typing.get_args(kind) for choice in _choices(inner)]


def _check_levels(cfg: DictConfig) -> None:
    from hydra.utils import get_object

    # A network that encodes says what it takes; other models say so themselves.
    node = cfg.model.encoder if "encoder" in cfg.model else cfg.model
    wants = get_object(node._target_).level
    has = "utterance" if _pools(cfg) else cfg.features.level
    if wants != has and not (wants == "segment" and has == "frame"):
        name = node._target_.rsplit(".")[-1]
        if _pools(cfg):
            raise UserError(
                f"{name} needs {wants}s, and this representation gives an utterance one code: "
                "model=mlp"
            )
        level = "frame" if wants == "segment" else wants
        fitting = [
            path.stem
            for path in sorted((CONF / "features").glob("*.yaml"))
            if OmegaConf.to_container(OmegaConf.load(path)).get("level") == level  # type: ignore[union-attr]
        ]
        raise UserError(
            f"{name} needs {level}-level features, and these are {has}-level: "
            f"features={'|'.join(fitting)}"
        )


def _pools(cfg: DictConfig) -> bool:
    """Whether a representation turns an utterance's frames into one code."""
    from hydra.utils import get_object

    node = cfg.representation
    return node is not None and get_object(node.get("upper", node)._target_).pools


def _check_representation(cfg: DictConfig) -> None:
    if cfg.representation is None:
        if cfg.train_on != "real":
            raise UserError(
                f"train_on={cfg.train_on} needs something that draws: representation=aae does"
            )
        for key, usual in (("fit_on", "target"), ("transfer", "codes")):
            if cfg[key] != usual:
                raise UserError(f"{key}={cfg[key]} is for a representation, and there is none")
        return
    if cfg.features.level != "utterance" and "transform" in cfg.representation:
        raise UserError(
            f"{cfg.representation.transform._target_.rsplit('.')[-1]} needs utterance-level "
            "features, e.g. features=is10; networks take frames, too: representation=vae"
        )
    if cfg.features.level == "utterance" and "upper" in cfg.representation:
        raise UserError("this representation needs frame-level features, e.g. features=fft128")
    _check_reading(cfg)
    if cfg.synthetic_per_class < 1:
        raise UserError(f"synthetic_per_class={cfg.synthetic_per_class}: at least 1")
    _check_transfer(cfg)
    if "grid" in cfg.model:  # its options are chosen by inner folds, so K is, too
        if cfg.fit_on != "target":
            raise UserError(
                f"fit_on={cfg.fit_on}: with model=svm and model=logistic a representation is "
                "fitted on inner folds of labelled utterances: fit_on=target"
            )
        return
    size = cfg.representation.get("upper", cfg.representation).size
    if not isinstance(size, int):
        raise UserError(
            f"representation.size={size}: only model=svm and model=logistic choose one of several; "
            "this model takes one number"
        )
    if cfg.train_on != "real":
        raise UserError(f"train_on={cfg.train_on} is for model=svm and model=logistic")


def _check_transfer(cfg: DictConfig) -> None:
    """Weights go from a pyramid to a pyramid of the same widths."""
    if cfg.transfer == "codes":
        return
    module = cfg.representation.get("module", {})
    if "corruption" not in module or not classifies_segments(cfg):
        raise UserError(
            "transfer=weights is for a denoising autoencoder and a network of its shape: "
            "representation=dae_tied|dae_untied|dae_deep model=pyramid"
        )
    widths = [*module.hidden, cfg.representation.size]
    if cfg.model.encoder.hidden != widths:
        raise UserError(
            f"model.encoder.hidden={cfg.model.encoder.hidden}: with transfer=weights as the "
            f"representation's, {widths}"
        )


def _check_reading(cfg: DictConfig) -> None:
    from hydra.utils import get_object

    module = cfg.representation.get("module")
    if module is None or "reading" not in module:
        return
    told = f"representation.module.reading={'null' if reading(cfg) is None else reading(cfg)}"
    if reading(cfg) is None and module.condition_dropout == 0:
        raise UserError(
            f"{told} makes codes without a class, which training must have seen: "
            "representation.module.condition_dropout=0.5, or representation=cvae_null"
        )
    model = get_object(cfg.model._target_)
    if reading(cfg) == "marginal" and not getattr(model, "takes_variants", False):
        raise UserError(
            f"{told} needs a model that averages over codes, and {model.__name__} does not: "
            "model=lstm, model=mlp, or representation=cvae_null"
        )
    if reading(cfg) == "oracle" and "grid" in cfg.model:
        raise UserError(f"{told} is not for model=svm and model=logistic: representation=cvae_null")
