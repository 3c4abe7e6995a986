"""Combinations of options that do not fit together, each part of which is valid by itself."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ser.config import CONF, build, choices
from ser.config.explain import nearest
from ser.config.layers import choice_problems, has_layers, layer_problems
from ser.config.libraries import library_problem, options_of
from ser.config.packs import pack_problems
from ser.config.raters import rater_problems
from ser.config.run_key import (
    classifies_segments,
    predicts_values,
    reading,
)
from ser.config.static import class_attribute
from ser.config.tasks import target_problems, value_problems
from ser.errors import UserError


def _level_problems(cfg: DictConfig) -> Iterator[str]:
    """Compare the level of the features with the level that the model needs."""
    # The level is an attribute of the encoder, or of a model without encoder.
    node = cfg.model.encoder if "encoder" in cfg.model else cfg.model
    needed = class_attribute(node._target_, "level")
    level = "utterance" if _pools(cfg) else cfg.features.level
    if needed == level or (needed == "segment" and level == "frame"):
        return
    if _pools(cfg):
        yield (
            f"this model needs {needed}s, but this representation has one code per utterance: "
            "model=mlp"
        )
        return
    needed = "frame" if needed == "segment" else needed
    suitable = [name for name in choices("features") if _level_of(name) == needed]
    yield (
        f"this model needs {needed}-level features, but these are {level}-level: "
        f"features={'|'.join(suitable)}"
    )


def _pooling_problems(cfg: DictConfig) -> Iterator[str]:
    """Check that the pools of a convolutional network leave one window of its last convolution."""
    encoder: Any = cfg.model.get("encoder") or {}
    pool = class_attribute(encoder.get("_target_", ""), "pool")
    if pool is None:
        return
    longest = encoder.kernel * pool ** len(encoder.channels)
    if cfg.data.max_frames > longest:
        yield (
            f"data.max_frames={cfg.data.max_frames}: {len(encoder.channels)} channels, each pooled "
            f"by {pool}, leave a last convolution of {encoder.kernel} frames for at most {longest}"
        )


def _level_of(features: str) -> str:
    node = OmegaConf.load(CONF / "features" / f"{features}.yaml")
    assert isinstance(node, DictConfig)
    return node.get("features", node).level  # one that extends another is a package of its own


def _class_name(node: DictConfig) -> str:
    return node._target_.rpartition(".")[2]


def _pools(cfg: DictConfig) -> bool:
    """Return whether a representation turns the frames of an utterance into one code."""
    node = cfg.representation
    return node is not None and class_attribute(node.get("upper", node)._target_, "pools")


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
    yield from _reading_problems(cfg)
    yield from _transfer_problems(cfg)
    # Models that tune their options in inner folds also choose the code size there.
    yield from _tuned_problems(cfg) if "grid" in cfg.model else _untuned_problems(cfg)


def _tuned_problems(cfg: DictConfig) -> Iterator[str]:
    if cfg.fit_on != "target":
        yield (
            f"fit_on={cfg.fit_on}: with model=svm|logistic|ridge|svr a representation is "
            "fitted on inner folds of labelled utterances: fit_on=target"
        )
    if has_layers(cfg):
        yield (
            f"features.layer={cfg.features.layer}: inner folds choose a layer or the code size of "
            "a representation, not both: features.layer=middle, or representation=identity"
        )


def _untuned_problems(cfg: DictConfig) -> Iterator[str]:
    size = cfg.representation.get("upper", cfg.representation).size
    if not isinstance(size, int):
        yield (
            f"representation.size={size}: only model=svm|logistic|ridge|svr choose one of several; "
            "this model takes one number"
        )
    if cfg.train_on != "real":
        yield f"train_on={cfg.train_on} is for model=svm|logistic|ridge"


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
    module = cfg.representation.get("module")
    if module is None or "reading" not in module:
        return
    given = f"representation.module.reading={'null' if reading(cfg) is None else reading(cfg)}"
    if reading(cfg) is None and module.condition_dropout == 0:
        yield (
            f"{given} encodes without a class, which training must have included: "
            "representation.module.condition_dropout=0.5, or representation=cvae_null"
        )
    takes_variants = class_attribute(cfg.model._target_, "takes_variants")
    if reading(cfg) == "marginal" and not takes_variants:
        yield (
            f"{given} needs a model that averages over codes, and this model does not: "
            "model=lstm, model=mlp, or representation=cvae_null"
        )
    if reading(cfg) == "oracle" and "grid" in cfg.model:
        yield f"{given} is not for model=svm|logistic|ridge: representation=cvae_null"


def _test_corpus_problems(cfg: DictConfig) -> Iterator[str]:
    if cfg.test_corpus is None:
        return
    if not isinstance(cfg.test_corpus, DictConfig) or "corpus" not in cfg.test_corpus:
        names = ", ".join(choices("test_corpus"))
        yield f"test_corpus: there is no such corpus; there are {names}"
    if reading(cfg) == "oracle":
        yield (
            "test_corpus: reading=oracle needs the true classes, so another corpus cannot be "
            "encoded"
        )
    if "root" in cfg.features:
        yield (
            "test_corpus: these features are read from files of one corpus, in features.root; "
            "`python -m ser evaluate` tests the finished run with features.root=... of another"
        )


def _augmentation_problems(cfg: DictConfig) -> Iterator[str]:
    if cfg.get("augment") is None:
        return
    if "root" in cfg.features:
        yield "augment: these features are read from files, so there is no audio to corrupt"
    if not cfg.in_memory:
        yield "augment: features of copies are kept in memory: in_memory=true"


def _perturbation_problems(cfg: DictConfig) -> Iterator[str]:
    """Check that SpecAugment gets frames, and mixup a model that takes mixtures."""
    masks, mixup = cfg.data.get("spec_augment"), cfg.data.get("mixup")
    if masks is not None and masks.masks:
        node = cfg.model.encoder if "encoder" in cfg.model else cfg.model
        if cfg.representation is not None or class_attribute(node._target_, "level") != "frame":
            yield (
                "data.spec_augment.masks: SpecAugment is for models of frames without a "
                "representation: model=cnn|lstm|blstm features=logmel40"
            )
    if mixup is not None and not class_attribute(cfg.model._target_, "takes_mixtures"):
        yield (
            f"data.mixup={mixup} is for networks that are trained by cross-entropy alone: "
            "model=mlp|cnn|lstm|blstm"
        )


def _stopping_problems(cfg: DictConfig) -> Iterator[str]:
    """Compare stopping criteria with the phases, layers and loss names that they are about."""
    node = cfg.representation or {}
    for path, part in (
        ("representation", node),
        *((f"representation.{name}", node[name]) for name in ("lower", "upper") if name in node),
    ):
        module: Any = part.get("module") or {}
        stopping: Any = part.get("stopping") or {}
        if "epochs_each" in module:
            layers = len(module.hidden) + 1
            needed = module.epochs_each * (layers - 1) + 1
            if stopping.max_epochs < needed:
                yield (
                    f"{path}.stopping.max_epochs={stopping.max_epochs}: {layers} layers with "
                    f"epochs_each={module.epochs_each} need {needed} or more"
                )
        yield from _phase_problems(f"{path}.stopping", stopping, module)
    yield from _phase_problems("trainer.stopping", cfg.trainer.stopping or {}, cfg.model)


def _phase_problems(
    path: str, stopping: Mapping[str, Any], network: Mapping[str, Any]
) -> Iterator[str]:
    """Check that a criterion refers to phases that a network with a list of phases has."""
    if "phases" not in network:
        return
    names = [*(stopping.get("phases") or []), *(stopping.get("below") or {})]
    for name in names:
        if name not in network["phases"]:
            listing = ", ".join(network["phases"])
            yield f"{path}: there is no phase {name}; the phases are {listing}"


def _calibration_problems(cfg: DictConfig) -> Iterator[str]:
    if cfg.calibrate != "none" and "grid" in cfg.model:
        yield (
            f"calibrate={cfg.calibrate} is for networks: model=svm|logistic|ridge fit a "
            "temperature of their own, on scores of speakers left out"
        )


def _grid_problems(cfg: DictConfig) -> Iterator[str]:
    """Check every value that inner folds may choose, as an option of what learns."""
    from hydra.utils import get_object

    kind = "regressor" if predicts_values(cfg) else "classifier"
    if "grid" not in cfg.model or kind not in cfg.model:
        return
    learner = cfg.model[kind]
    target = get_object(learner._target_)
    known = inspect.signature(target).parameters
    for option, values in cfg.model.grid.items():
        if option not in known:
            yield f"model.grid.{option}: {nearest(str(option), known)}"
            continue
        if not values:
            yield f"model.grid.{option}={list(values)}: must have at least one value"
        for value in values:
            options = {**options_of(learner), str(option): value}
            if problem := library_problem(f"model.grid.{option}={value}", options, target):
                yield problem


def _feature_problems(cfg: DictConfig) -> Iterator[str]:
    """Build the extractor, which checks its options, and ask for its columns."""
    if "root" in cfg.features or "model" in cfg.features:  # these depend on files
        return
    try:
        _ = build(cfg.features).columns
    except UserError as error:
        yield str(error)


# Parts of a configuration, and the check of their combination.
Combination = tuple[tuple[str, ...], Callable[[DictConfig], Iterator[str]]]

# Parts of a configuration that must be valid by themselves, and the check of their combination.
_SYSTEM = ("model", "features", "representation")
LIGHT_COMBINATIONS = (
    (_SYSTEM, _level_problems),
    (
        (*_SYSTEM, "train_on", "synthetic_per_class", "fit_on", "transfer"),
        _representation_problems,
    ),
    (("features", "representation", "test_corpus"), _test_corpus_problems),
    (("features", "augment", "in_memory"), _augmentation_problems),
    (("model", "data", "representation"), _perturbation_problems),
    (_SYSTEM, layer_problems),
    (("features", "layer_choice", "target"), choice_problems),
    (("model", "data"), _pooling_problems),
    (("model", "calibrate"), _calibration_problems),
    (("target", "test_corpus"), target_problems),
    (("model", "target", "calibrate", "data", "representation", "train_on"), value_problems),
    (("model", "target", "calibrate", "representation"), rater_problems),
    (("model", "representation", "trainer"), _stopping_problems),
    (
        (
            "model",
            "features",
            "representation",
            "target",
            "augment",
            "data",
            "in_memory",
            "trainer",
        ),
        pack_problems,
    ),
)
# These import what they check.
COMBINATIONS = (
    *LIGHT_COMBINATIONS,
    (("model", "target"), _grid_problems),
    (("features",), _feature_problems),
)
