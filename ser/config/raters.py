"""Options of several raters that do not fit together with others."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from ser.config.run_key import predicts_values
from ser.config.static import class_attribute


def rater_problems(cfg: DictConfig) -> Iterator[str]:
    """Check that what learns can learn from shares of raters, where the target has them."""
    labels, weights = cfg.target.get("labels", "mean"), cfg.target.get("weights")
    if predicts_values(cfg) and (labels != "mean" or weights is not None):
        yield (
            "target.bins=null is for the mean of the raters: target.labels=mean target.weights=null"
        )
        return
    if labels != "distribution" and weights is None:
        return
    option = f"target.labels={labels}" if labels == "distribution" else f"target.weights={weights}"
    if not class_attribute(cfg.model._target_, "takes_shares"):
        yield f"{option} is for networks with one phase of classification: model=mlp|cnn|lstm|aae"
    latents: Any = cfg.model.get("latents") or {}
    for name, latent in latents.items():
        if latent.get("condition") is not None:
            yield f"{option} and model.latents.{name}.condition: no class is certain: null"
    if cfg.calibrate != "none" and labels == "distribution":
        yield f"{option} and calibrate={cfg.calibrate}, which needs one class: calibrate=none"
