"""Temperature scaling of a network's probabilities, fitted on the validation split.

Guo, Pleiss, Sun, Weinberger: *On Calibration of Modern Neural Networks*, ICML 2017, section 4.2.
Networks tend to be overconfident. Their logits are divided by a temperature that maximises the
likelihood of held-out labels; predictions do not change.
"""

import logging
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

log = logging.getLogger(__name__)

Method = Literal["none", "temperature"]
# Bounds of the search: if all predictions are correct, the likelihood has no maximum as T falls.
LEAST, MOST = 0.05, 20.0


def calibrated(
    method: Method, probabilities: Mapping[str, np.ndarray], truth: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Calibrate the probabilities of all splits on the validation split.

    Those of validation are scaled as well; their calibration is no estimate for new data.

    Args:
        method: "none" changes nothing.
        probabilities: Probabilities (N, C) by split; "val" is one of them.
        truth: (N,) class indices of the validation split.

    Returns:
        Probabilities by split, and facts for `result.json`: `temperature`.
    """
    if method == "none":
        return dict(probabilities), {}
    validation = probabilities["val"]
    temperature = fit(validation, truth)
    log.info(
        "temperature %.3f: validation NLL %.3f, before calibration %.3f",
        temperature,
        negative_log_likelihood(validation, truth, temperature),
        negative_log_likelihood(validation, truth, 1.0),
    )
    if not 1.01 * LEAST < temperature < MOST / 1.01:
        log.warning(
            "the temperature is at a bound of its range, %g to %g: validation does not fix it",
            LEAST,
            MOST,
        )
    scaled = {part: rescaled(each, temperature) for part, each in probabilities.items()}
    return scaled, {"temperature": temperature}


def fit(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature of the maximum likelihood, between `LEAST` and `MOST`.

    There is one maximum: the negative log-likelihood is convex in 1 / T.

    Args:
        probabilities: (N, C); their logarithms are used as logits.
        truth: (N,) class indices.
    """
    minimum = minimize_scalar(
        lambda t: negative_log_likelihood(probabilities, truth, np.exp(t)),
        bounds=(np.log(LEAST), np.log(MOST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(np.exp(minimum.x))


def rescaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logits of probabilities (N, C) by a temperature; return float64 probabilities.

    Examples:
        >>> rescaled(np.array([[0.9, 0.1]]), 2.0).round(2)
        array([[0.75, 0.25]])
    """
    return softmax(_logits(probabilities) / temperature, axis=1)


def negative_log_likelihood(
    probabilities: np.ndarray, truth: np.ndarray, temperature: float
) -> float:
    """Return the mean over utterances, in nats; arguments as in `fit`."""
    log_probabilities = log_softmax(_logits(probabilities) / temperature, axis=1)
    return float(-log_probabilities[np.arange(len(truth)), truth].mean())


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Return logarithms; those of zeros are of the smallest positive float32."""
    return np.log(np.maximum(np.asarray(probabilities, np.float64), np.finfo(np.float32).tiny))
