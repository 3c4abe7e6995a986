"""The config: what identifies a run, and what is checked before anything is loaded.

Imported by `train.py` before Hydra starts, so it imports nothing heavy at its top.
"""

import hashlib
import inspect
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from ser.errors import UserError

CONF = Path(__file__).parent.parent / "conf"

# What cannot change a result, and so is no part of a run's identity. The corpus' root is replaced
# by its fingerprint, that of features by a digest of its files, see `ser.prepare`.
NO_PART_OF_IDENTITY = (
    "corpus.root",
    "features.root",
    "store",
    "fitted",
    "logger",
    "force",
    "in_memory",
    "published",
    "emotions",  # as far as used they are in the target
    "paper",
    "report",
    "trainer.accelerator",
    "trainer.runs_per_gpu",
    "trainer.checkpoint_seconds",
    "model.jobs",
    "networks",  # those used are in the model
)
SEGMENT_NETWORKS = "ser.networks.segment."
TOP_LEVEL = {
    "seed": int,
    "test": bool,
    "force": bool,
    "skip_faulty": bool,
    "in_memory": bool,
    "train_on": Literal["real", "synthetic", "both"],
    "synthetic_per_class": int,
    "fit_on": Literal["target", "train", "all"],
    "hand_on": Literal["codes", "weights"],
}


def register_resolvers() -> None:
    """Makes `${run_name:}` known, the folder of a run, and `${stem:path}`, a file's bare name."""
    OmegaConf.register_new_resolver("run_name", _run_name, replace=True)
    OmegaConf.register_new_resolver("stem", lambda path: path and Path(path).stem, replace=True)


def identity(cfg: DictConfig) -> dict[str, Any]:
    """The part of a config that can change a result, resolved, as plain dicts and lists."""
    # Resolved key by key: Hydra's own node refers to what is not known yet.
    found = {
        str(key): OmegaConf.to_container(cfg[key], resolve=True)
        if OmegaConf.is_config(cfg[key])
        else cfg[key]
        for key in cfg
        if key != "hydra"
    }
    for path in NO_PART_OF_IDENTITY:
        *parents, last = path.split(".")
        node: Any = found
        for parent in parents:
            node = node[parent]
        node.pop(last, None)
    trainer: Any = found["trainer"]
    if trainer.get("devices") == 1:
        del trainer["devices"]  # one is like another; several draw other numbers
    for rule in ("patience", "stopping"):
        if trainer.get(rule) is None:
            trainer.pop(rule, None)  # as before there was any
    if found.get("test"):
        del found["test"]  # the rule; only a run that is not tested is a run of its own
    if found.get("representation") is None:
        found.pop("representation", None)
    if not sees_segments(cfg):
        found.pop("segments", None)
    for key, usual in (("fit_on", "target"), ("hand_on", "codes")):
        if found.get(key) == usual:
            del found[key]
    if found.get("train_on") == "real":
        del found["train_on"], found["synthetic_per_class"]
    return found


def sees_segments(cfg: DictConfig) -> bool:
    """Whether a representation, or the model, is to see segments of frames."""
    if cfg.features.level == "utterance":
        return False
    return cfg.get("representation") is not None or classifies_segments(cfg)


def classifies_segments(cfg: DictConfig) -> bool:
    """Whether the model sees segments one by one; told by where its network is defined.

    Its attribute `level` says the same, but for that torch would have to be loaded.
    """
    return str(cfg.model.get("encoder", {}).get("_target_")).startswith(SEGMENT_NETWORKS)


def reading(cfg: DictConfig) -> str | None:
    """Under which class a representation that is told one makes codes; None: none."""
    module = (cfg.get("representation") or {}).get("module") or {}
    return module.get("reading")


def digest(content: Mapping[str, Any]) -> str:
    """A short name for plain content: 16 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _run_name(*, _root_: DictConfig) -> str:
    choices = _root_.hydra.runtime.choices
    groups = ("corpus", "target", "features", "model", "fold")
    named = {group: choices[group] for group in groups}
    if _root_.representation is not None:
        named["model"] = f"{choices['representation']}-{choices['model']}"
    name = "/".join(named.values())
    return f"{name}-{_root_.fold.index}/seed-{_root_.seed}-{digest(identity(_root_))[:8]}"


def build(node: DictConfig) -> Any:
    """Hydra's `instantiate`, with lists and dicts as plain ones and our errors as they are.

    Raises:
        UserError: as whatever else is raised by what is instantiated; Hydra would wrap it.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        return instantiate(node, _convert_="all")
    except InstantiationException as error:
        if error.__cause__ is None:
            raise
        raise error.__cause__ from None


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
    for path, node in _targets(cfg, ""):
        _check_target(path, node)
    _check_levels(cfg)
    _check_representation(cfg)


def _targets(node: Any, path: str) -> Iterator[tuple[str, DictConfig]]:
    if not OmegaConf.is_dict(node):
        return
    if "_target_" in node:
        yield path, node
    for key in node:
        if key != "hydra":
            yield from _targets(node[key], f"{path}.{key}".lstrip("."))


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
            raise UserError(f"{path}.{name}: {_nearest(name, known)}")
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
        choices = [str(choice) for choice in _choices(kind)]
        close = get_close_matches(str(plain), choices, n=1)
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
        for key, usual in (("fit_on", "target"), ("hand_on", "codes")):
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
    _check_handing_on(cfg)
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


def _check_handing_on(cfg: DictConfig) -> None:
    """Weights go from a pyramid to a pyramid of the same widths."""
    if cfg.hand_on == "codes":
        return
    module = cfg.representation.get("module", {})
    if "corruption" not in module or not classifies_segments(cfg):
        raise UserError(
            "hand_on=weights is for a denoising autoencoder and a network of its shape: "
            "representation=dae_tied|dae_untied|dae_deep model=pyramid"
        )
    widths = [*module.hidden, cfg.representation.size]
    if cfg.model.encoder.hidden != widths:
        raise UserError(
            f"model.encoder.hidden={cfg.model.encoder.hidden}: with hand_on=weights as the "
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


def _nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    if close:
        return f"there is no such option; did you mean {close[0]}?"
    return f"there is no such option; there are {', '.join(known)}"


def explain(overrides: Sequence[str]) -> list[str]:
    """Why Hydra could not compose these overrides, in words, as far as this can tell.

    Examples:
        >>> explain(["model=mpl", "trainer.max_epoch=3"])[1]
        'trainer.max_epoch: there is no such option; did you mean max_epochs?'
    """
    # What Hydra has of its own (launchers, sweepers) it explains well enough.
    overrides = [text for text in overrides if not text.startswith("hydra")]
    groups = [text for text in overrides if (CONF / text.partition("=")[0]).is_dir()]
    wrong = [reason for text in groups if (reason := _explain_group(text))]
    if wrong:
        return wrong
    options = [text.lstrip("+~").partition("=")[0] for text in overrides if text not in groups]
    return [reason for option in options if (reason := _explain_option(option, groups))]


def _explain_group(text: str) -> str | None:
    key, _, value = text.partition("=")
    files = (CONF / key).rglob("*.yaml")
    choices = sorted(str(file.relative_to(CONF / key).with_suffix("")) for file in files)
    if value in choices:
        return None
    close = get_close_matches(value, choices, n=1)
    hint = f"did you mean {key}={close[0]}? " if close else ""
    return f"{key}={value}: there is no such {key}; {hint}there are {', '.join(choices)}"


def _explain_option(key: str, groups: list[str]) -> str | None:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            node: Any = compose("train", groups)
    except HydraException:  # which Hydra itself has told by now
        return None
    path = ""
    for name in key.split("."):
        if not OmegaConf.is_dict(node):
            return None
        if name not in node:
            options = [str(option) for option in node if option not in ("_target_", "_partial_")]
            return f"{path}{name}: {_nearest(name, options)}"
        node, path = node[name], f"{path}{name}."
    return None
