"""What does not fit together where a target is a value, or has several tasks."""

from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig

from ser.config.bounds import bound_of
from ser.config.run_key import has_values_only, predicts_values, tasks_of
from ser.config.static import class_attribute


def value_problems(cfg: DictConfig) -> Iterator[str]:
    """Check that what learns can predict values, where the target is one, or several tasks."""
    if tasks := tasks_of(cfg):
        kind = f"target.names=[{','.join(tasks)}] has several tasks"
    elif predicts_values(cfg):
        kind = "target.bins=null is for values"
    else:
        if "regressor" in cfg.model and "classifier" not in cfg.model:
            yield (
                "this model predicts values, and the target has classes: model=svm|ridge, or "
                "target=activation|valence|dominance target.bins=null"
            )
        return
    if tasks and "grid" in cfg.model:
        yield f"{kind}, and this model predicts one: target={'|'.join(tasks)}, or model=mlp|aae"
    elif not (class_attribute(cfg.model._target_, "takes_values") or "regressor" in cfg.model):
        estimators = "" if tasks else "model=svr|ridge, or "
        yield f"{kind}, which this model does not predict: {estimators}model=mlp|cnn|lstm|aae"
    if cfg.train_on != "real" and "regressor" in cfg.model:
        yield f"{kind}, and train_on={cfg.train_on} draws samples of classes: train_on=real"
    if cfg.calibrate != "none":
        yield f"{kind}, and calibrate={cfg.calibrate} is for one of classes: calibrate=none"
    if cfg.data.class_weights is not None and has_values_only(cfg):
        yield f"{kind}, and data.class_weights is for classes: data.class_weights=null"
    if tasks and cfg.data.get("mixup") is not None and not has_values_only(cfg):
        yield f"{kind}, and data.mixup={cfg.data.mixup} is for one, or values: data.mixup=null"
    node = cfg.representation or {}
    module: Any = node.get("module") or {}
    if module.get("condition") or "reading" in module or "LinearDiscriminant" in str(node):
        yield f"{kind}, and this representation needs classes of one: representation=pca|vae"
    for name, latent in (cfg.model.get("latents") or {}).items():
        if latent.get("condition") is not None:
            yield f"{kind}, and model.latents.{name}.condition needs classes of one: null"


def target_problems(cfg: DictConfig) -> Iterator[str]:
    """Check the names of tasks, and the weights of their losses."""
    names = list(cfg.target.get("names", ["one"]))
    if not names or len(set(names)) < len(names):
        yield f"target.names={names}: must be one or more different tasks"
    weights: Any = cfg.target.get("loss_weights") or {}
    for name in tasks_of(cfg):
        if name not in weights:
            yield f"target.loss_weights.{name} is missing"
    for name in weights:
        if bound_of(path := f"target.loss_weights.{name}") is None:
            yield f"{path}: there is no task {name}"
