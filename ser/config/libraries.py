"""Validate options of torch and scikit-learn by these libraries themselves."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf


def options_of(node: DictConfig) -> dict[str, Any]:
    """Return the arguments that a node gives to its target, as plain values."""
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict)
    return {str(k): v for k, v in plain.items() if k not in ("_target_", "_partial_")}


def library_problem(path: str, options: Mapping[str, Any], target: Any) -> str | None:
    """Return what a library says against the options of one of its classes.

    Args:
        path: Dotted path of the node, for the message.
        options: Of an optimiser or an estimator.
        target: Its class.
    """
    from sklearn.base import BaseEstimator
    from torch import nn, optim, zeros

    try:
        if issubclass(target, optim.Optimizer):
            target([nn.Parameter(zeros(1))], **options)
        elif issubclass(target, BaseEstimator):
            target(**options)._validate_params()
    except (TypeError, ValueError, IndexError, RuntimeError) as error:
        return f"{path}: {str(error).splitlines()[0]}"
    return None
