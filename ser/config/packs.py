"""Which runs can be trained in a pack (`hydra/launcher=packed`)."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from ser.config.run_key import chooses_layer, predicts_values, tasks_of
from ser.config.static import class_attribute

# Their updates of a parameter depend on that parameter alone.
OPTIMISERS = ("torch.optim.Adam", "torch.optim.AdamW", "torch.optim.SGD")


def pack_problems(cfg: DictConfig) -> Iterator[str]:
    """Yield what a pack does not support, in one line each."""
    if cfg.trainer.get("packed"):
        for problem in _problems(cfg):
            yield f"hydra/launcher=packed: {problem}"


def _problems(cfg: DictConfig) -> Iterator[str]:
    encoder: Any = cfg.model.get("encoder") or {}
    networks = (cfg.model._target_, encoder.get("_target_", ""))
    if not all(class_attribute(each, "takes_packs") for each in networks):
        yield "packs are of fully connected and convolutional networks: model=mlp|cnn|aae"
        return
    for name, latent in (cfg.model.get("latents") or {}).items():
        if not class_attribute(latent.prior._target_, "takes_packs"):
            yield f"model.latents.{name}.prior: Categorical or Gaussian can be packed"
    if cfg.model.optimiser._target_ not in OPTIMISERS:
        yield f"model.optimiser={cfg.model.optimiser._target_}: one of {', '.join(OPTIMISERS)}"
    if cfg.representation is not None:
        yield "representations are not packed: representation=identity"
    if predicts_values(cfg) or tasks_of(cfg):
        yield "a pack predicts the classes of one target: target.bins=extremes, or another target"
    if cfg.target.get("labels") == "distribution" or cfg.target.get("weights") is not None:
        yield "shares of raters and weighted labels are not packed: target.labels=mean"
    masks: Any = cfg.data.get("spec_augment") or {}
    if cfg.get("augment") is not None or cfg.data.get("mixup") is not None or masks.get("masks"):
        yield (
            "training data are not perturbed in packs: augment=none data.mixup=null "
            "data.spec_augment.masks=0"
        )
    if chooses_layer(cfg):
        yield "inner folds choose no layer in packs: features.layer=middle"
    if not cfg.in_memory:
        yield "features are kept in memory: in_memory=true"
    trainer = cfg.trainer
    if trainer.devices != 1 or trainer.precision not in ("32-true", "tf32"):
        yield "a pack is trained on one device, not in mixed precision: trainer=cpu|gpu"
    if cfg.share_training is not None:
        yield "runs of a pack share a training wherever they can: share_training=null"
