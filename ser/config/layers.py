"""Combinations of options of the layers of a pretrained encoder that do not fit together."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig

from ser.config.run_key import chooses_layer, tasks_of
from ser.config.static import class_attribute


def has_layers(cfg: DictConfig) -> bool:
    """Return whether the features are those of several layers of a pretrained encoder."""
    layer = cfg.features.get("layer")
    return cfg.features.level == "utterance" and (layer == "all" or isinstance(layer, ListConfig))


def layer_problems(cfg: DictConfig) -> Iterator[str]:
    """Check that a weighted sum over layers gets the features of several layers."""
    encoder: Any = cfg.model.get("encoder") or {}
    if not class_attribute(encoder.get("_target_", ""), "sums_layers"):
        return
    if not has_layers(cfg) or cfg.representation is not None:
        yield (
            "this model sums the layers of a pretrained encoder: features=encoder "
            "features.layer=all representation=identity"
        )


def choice_problems(cfg: DictConfig) -> Iterator[str]:
    """Check that a layer can be chosen: of an encoder's utterances, for one task."""
    if not chooses_layer(cfg):
        return
    if "layer_choice" not in cfg:
        yield (
            "features.layer=chosen: features=encoder_chosen features.model=... has the options of "
            "the choice"
        )
    if tasks := tasks_of(cfg):
        yield (
            f"features.layer=chosen: a layer is chosen for one task, and there are {len(tasks)} "
            f"({', '.join(tasks)}): features.layer=middle, or target={'|'.join(tasks)}"
        )
