"""The options that identify a run, and the name of its folder."""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ser.config.machine import accelerator

# Options that cannot change a result. In the key of a run, a fingerprint of the corpus takes the
# place of its root, and a digest of the files that of `features.root` and of the folder of a
# pretrained encoder (see `ser.data.fingerprint`). `trainer.accelerator` is left out on CPUs only,
# as before there were keys of runs on GPUs.
WITHOUT_EFFECT = (
    "corpus.root",
    "corpus.ratings",
    "features.root",
    "features.device",
    "store",
    "fitted",
    "logger",
    "force",
    "seeds",
    "share_training",
    "in_memory",
    "published",
    "emotions",  # the target contains those that are used
    "paper",
    "report",
    "test_corpus",
    "trainer.accelerator",
    "trainer.runs_per_gpu",
    "trainer.checkpoint_seconds",
    "model.jobs",
    "layer_choice.jobs",
    "networks",  # the model contains those that are used
)
RUN_NAME = "${run_name:}"
EMOTION = "emotion"  # the task that has classes whatever the rule for attributes
SEGMENT_NETWORKS = "ser.networks.segment."


def register_resolvers() -> None:
    """Register `${run_name:}`, the folder of a run, and `${stem:path}`, the stem of a path."""
    OmegaConf.register_new_resolver("run_name", _run_name, replace=True)
    OmegaConf.register_new_resolver("stem", lambda path: path and Path(path).stem, replace=True)


def result_options(cfg: DictConfig) -> dict[str, Any]:
    """Return the options that can change a result, resolved, as plain dicts and lists.

    The project's own classes are named without their module, so that modules can move. Classes of
    other libraries keep their full path.
    """
    # Resolved key by key, because Hydra's own node refers to values that are not known yet.
    options: dict[str, Any] = {
        str(key): OmegaConf.to_container(cfg[key], resolve=True)
        if OmegaConf.is_config(cfg[key])
        else cfg[key]
        for key in cfg
        if key != "hydra"
    }
    for path in WITHOUT_EFFECT:
        *parents, last = path.split(".")
        node: Any = options
        for parent in parents:
            node = node.get(parent, {})
        node.pop(last, None)
    corpus: Any = options["corpus"]
    if corpus.get("scale") is None:  # as of manifests before there was the option
        corpus.pop("scale", None)
    if "model" in options["features"]:  # the folder of an encoder can move, but keeps its name
        options["features"]["model"] = Path(str(options["features"]["model"])).name
    if not chooses_layer(cfg):
        options.pop("layer_choice", None)
    encoder = options["model"].get("encoder")
    if isinstance(encoder, dict) and encoder.get("weights_rate") == 1:  # as before the option
        del encoder["weights_rate"]
    if not sees_segments(cfg):
        del options["segments"]
    data = options["data"]
    if data.get("mixup") is None:
        data.pop("mixup", None)
    if not data.get("spec_augment", {}).get("masks"):
        data.pop("spec_augment", None)
    if options.get("augment") is None:
        options.pop("augment", None)
    else:  # a digest of the recordings takes the place of their folders
        for kind in options["augment"].values():
            if isinstance(kind, dict):
                kind.pop("root", None)
    if not predicts_values(cfg):  # these options of values are not used
        options["model"].pop("loss", None)
        options["model"].pop("clip", None)
    target: Any = options["target"]
    if target.get("labels") in (None, "corpus", "mean"):  # as before there was the option
        target.pop("labels", None)
    if target.get("weights") is None:
        target.pop("weights", None)
    trainer: Any = options["trainer"]
    if trainer.get("packed"):  # all numbers of a pack depend on its generator
        trainer["packed"] = "SplitMix64, own steps"
    else:  # as before there was the option
        trainer.pop("packed", None)
    alone = trains_on_gpu(cfg) and trainer["devices"] == 1 and not trainer.get("packed")
    if not (alone and trainer.get("graphs")):  # no steps are captured
        trainer.pop("graphs", None)
    if cfg.train_on == "real":
        del options["synthetic_per_class"]
    if trains_on_gpu(cfg):
        options["trainer"]["accelerator"] = "gpu"
    return _without_modules(options)


def _without_modules(node: Any) -> Any:
    """Return a configuration with the project's own classes named without their module."""
    if isinstance(node, list):
        return [_without_modules(each) for each in node]
    if not isinstance(node, dict):
        return node
    copy = {key: _without_modules(value) for key, value in node.items()}
    if str(copy.get("_target_")).startswith("ser."):
        copy["_target_"] = copy["_target_"].rpartition(".")[2]
    return copy


def chooses_layer(cfg: DictConfig) -> bool:
    """Whether a run chooses one layer of a pretrained encoder before anything else is fitted."""
    return cfg.features.get("layer") == "chosen"


def sees_segments(cfg: DictConfig) -> bool:
    """Whether a representation or the model sees segments of frames."""
    if cfg.features.level == "utterance":
        return False
    return cfg.get("representation") is not None or classifies_segments(cfg)


def segment_length(cfg: DictConfig) -> int:
    """Return the number of frames of a segment."""
    segments = cfg.segments
    return segments.get("frames") or segments.past + 1 + segments.future


def classifies_segments(cfg: DictConfig) -> bool:
    """Whether the model sees segments one by one.

    Read from the module of its network, because its attribute `level` would need torch.
    """
    return str(cfg.model.get("encoder", {}).get("_target_")).startswith(SEGMENT_NETWORKS)


def tasks_of(cfg: DictConfig) -> tuple[str, ...]:
    """Return the names of the tasks that are predicted together; empty if there is but one."""
    names = _names(cfg)
    return names if len(names) > 1 else ()


def predicts_values(cfg: DictConfig) -> bool:
    """Whether the target, or one of its tasks, is a value and not a class."""
    if "bins" not in cfg.target or cfg.target.bins is not None:
        return False
    return set(_names(cfg)) != {EMOTION}


def has_values_only(cfg: DictConfig) -> bool:
    """Whether the target, or each of its tasks, is a value."""
    return predicts_values(cfg) and EMOTION not in _names(cfg)


def _names(cfg: DictConfig) -> tuple[str, ...]:
    """Return the names of tasks; none if the target has no such option, or no valid one."""
    names = cfg.target.get("names")
    return tuple(map(str, names)) if OmegaConf.is_list(names) else ()


def trains_network(cfg: DictConfig) -> bool:
    """Whether a network is trained: the model, or a representation for an estimator."""
    learned = cfg.representation is not None and "transform" not in cfg.representation
    return learned or "grid" not in cfg.model


def trains_on_gpu(cfg: DictConfig) -> bool:
    """Whether a network is trained on a GPU, whose results differ from those of a CPU."""
    return trains_network(cfg) and accelerator(cfg.trainer.accelerator) == "gpu"


def reading(cfg: DictConfig) -> str | None:
    """Return the class on which codes of a conditional representation depend, or None."""
    module = (cfg.get("representation") or {}).get("module") or {}
    return module.get("reading")


def digest(content: Mapping[str, Any]) -> str:
    """Return a hash of plain content, 16 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def run_name(cfg: DictConfig, choices: Mapping[str, str], options: Mapping[str, Any]) -> str:
    """Return the folder of a run, relative to that of all runs.

    Args:
        cfg: Configuration of the run.
        choices: Choice of each config group.
        options: `result_options` of the run.
    """
    groups = ("corpus", "target", "features", "model", "fold")
    names = {group: choices[group] for group in groups}
    names["corpus"] += _content_name(cfg.corpus.get("root"))
    if cfg.representation is not None:
        names["model"] = f"{choices['representation']}-{choices['model']}"
    name = "/".join(names.values())
    return f"{name}-{cfg.fold.index}/seed-{cfg.seed}-{digest(options)[:8]}"


def _run_name(*, _root_: DictConfig) -> str:
    return run_name(_root_, _root_.hydra.runtime.choices, result_options(_root_))


def _content_name(root: str | None) -> str:
    """Return what distinguishes corpora that are given by a file: its name and its content.

    Returns:
        E.g. "/recordings-1f0c93d2"; "" for a folder, and for a file that does not exist.
    """
    file = Path(root or "").expanduser()
    if not file.is_file():
        return ""
    facts = file.stat()
    content = _file_digest(file.absolute(), facts.st_mtime_ns, facts.st_size)
    return f"/{file.stem}-{content}"


@cache
def _file_digest(file: Path, modified: int, size: int) -> str:
    """Return a digest of a file, which is read again when it changes."""
    return hashlib.blake2b(file.read_bytes(), digest_size=4).hexdigest()
