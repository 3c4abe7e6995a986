"""Options of several raters that do not fit together with others."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from ser.config.run_key import has_values_only
from ser.config.static import class_attribute


def rater_problems(cfg: DictConfig) -> Iterator[str]:
    """Check that what learns can learn from shares of raters, where the target has them."""
    labels, weights = cfg.target.get("labels"), cfg.target.get("weights")
    if has_values_only(cfg) and (labels not in (None, "mean") or weights is not None):
        yield (
            "target.bins=null is for the mean of the raters: target.labels="
            f"{'null' if 'names' in cfg.target else 'mean'} target.weights=null"
        )
        return
    if labels != "distribution" and weights is None:
        return
    option = f"target.labels={labels}" if labels == "distribution" else f"target.weights={weights}"
    if not class_attribute(cfg.model._target_, "takes_shares"):
        yield (
            f"{option} is for networks with one phase of classification and for estimators: "
            "model=mlp|cnn|lstm|aae|logistic|svm"
        )
    if "grid" in cfg.model and cfg.representation is not None:
        yield f"{option}: estimators learn it from features: representation=identity, or model=mlp"
    latents: Any = cfg.model.get("latents") or {}
    for name, latent in latents.items():
        if latent.get("condition") is not None:
            yield f"{option} and model.latents.{name}.condition: no class is certain: null"
    if cfg.calibrate != "none" and labels == "distribution":
        yield f"{option} and calibrate={cfg.calibrate}, which needs one class: calibrate=none"
