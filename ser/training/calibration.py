"""One temperature for a network's probabilities, fitted on validation.

Guo, Pleiss, Sun, Weinberger: *On Calibration of Modern Neural Networks*, ICML 2017, section 4.2.
Networks are surer than they are right. Their logits are divided by one number, chosen by the
likelihood of held-out truths; which class is most probable stays as it is.
"""

import logging
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

log = logging.getLogger(__name__)

Method = Literal["none", "temperature"]
# Where the search ends: the likelihood of predictions that are all right grows for ever as T falls.
LEAST, MOST = 0.05, 20.0


def calibrated(
    method: Method, found: Mapping[str, np.ndarray], truth: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The probabilities of all parts under a temperature fitted on the validation part.

    Those of the validation part are rescaled, too: its calibration was fitted and proves nothing.

    Args:
        method: "none" leaves everything as it is.
        found: probabilities (N, C) by part; "val" is one.
        truth: (N,) class indices of the validation part.

    Returns:
        Probabilities by part, and facts for `result.json`: `temperature`.
    """
    if method == "none":
        return dict(found), {}
    temperature = fit(found["val"], truth)
    log.info(
        "temperature %.3f: validation NLL %.3f from %.3f",
        temperature,
        negative_log_likelihood(found["val"], truth, temperature),
        negative_log_likelihood(found["val"], truth, 1.0),
    )
    if not 1.01 * LEAST < temperature < MOST / 1.01:
        log.warning(
            "the temperature is at the end of its range, %g to %g: validation cannot tell it",
            LEAST,
            MOST,
        )
    scaled = {part: rescaled(each, temperature) for part, each in found.items()}
    return scaled, {"temperature": temperature}


def fit(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The temperature under which the truths are most likely, from `LEAST` to `MOST`.

    The likelihood has one maximum: its negative logarithm is convex in 1 / T.

    Args:
        probabilities: (N, C); their logarithms serve as logits.
        truth: (N,) class indices.
    """
    found = minimize_scalar(
        lambda t: negative_log_likelihood(probabilities, truth, np.exp(t)),
        bounds=(np.log(LEAST), np.log(MOST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(found.x))


def rescaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (N, C) whose logits are divided by a temperature; float64.

    Examples:
        >>> rescaled(np.array([[0.9, 0.1]]), 2.0).round(2)
        array([[0.75, 0.25]])
    """
    return softmax(_logits(probabilities) / temperature, axis=1)


def negative_log_likelihood(
    probabilities: np.ndarray, truth: np.ndarray, temperature: float
) -> float:
    """Mean over utterances, in nats; arguments as of `fit`."""
    likely = log_softmax(_logits(probabilities) / temperature, axis=1)
    return float(-likely[np.arange(len(truth)), truth].mean())


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Logarithms, of float32 that has come to 0 that of the smallest there is."""
    return np.log(np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny))
