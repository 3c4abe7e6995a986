"""What of a config identifies a run."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

# What cannot change a result, and so is no part of a run's identity. The corpus' root is replaced
# by its fingerprint, that of features by a digest of its files, see `ser.data.prepare`.
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
    "test_corpus",
    "trainer.accelerator",
    "trainer.runs_per_gpu",
    "trainer.checkpoint_seconds",
    "model.jobs",
    "networks",  # those used are in the model
)
SEGMENT_NETWORKS = "ser.networks.segment."


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
    if not sees_segments(cfg):
        del found["segments"]
    if cfg.train_on == "real":
        del found["synthetic_per_class"]
    return _named(found)


def _named(node: Any) -> Any:
    """A config in which this project's own classes stand without their module.

    So a module can move, and no finished run is orphaned. What is of another library may have a
    namesake there, and keeps its whole path.
    """
    if isinstance(node, list):
        return [_named(each) for each in node]
    if not isinstance(node, dict):
        return node
    named = {key: _named(value) for key, value in node.items()}
    if str(named.get("_target_")).startswith("ser."):
        named["_target_"] = named["_target_"].rpartition(".")[2]
    return named


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
