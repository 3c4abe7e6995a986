"""What a representation has learned, beside what it would be without training.

Random projections and averages over frames already separate emotions. So a score on codes shows
that something was learned only next to two figures, which every run with a representation prints:
R² of the reconstruction, which is 0 for the mean, and a linear probe of the codes of the trained
and of the untrained network. Neither uses the test split.
"""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from ser import metrics
from ser.data.batches import UNLABELLED
from ser.data.segments import Segments
from ser.models.diagnostics import reconstruction_sums, total_r2
from ser.representations import Fitted, Items, Representation
from ser.representations.learned import Learned, Network
from ser.representations.stack import PARTS, Stack, Stacked, coded

log = logging.getLogger(__name__)

# Utterances of a split that are examined, at most: a small part of the cost of a fit.
UTTERANCES = 1_000
PROBE_ITERATIONS = 1_000
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)  # of ridge regression on values

# Items of a split, and the class of each.
Splits = Mapping[str, tuple[Items, np.ndarray]]


def examined(ids: pd.Index) -> pd.Index:
    """Return all of some utterances, or `UTTERANCES` evenly spaced ones."""
    count = min(len(ids), UTTERANCES)
    return ids[np.linspace(0, len(ids) - 1, count).round().astype(int)]


def measure(
    representation: Representation,
    fitted: Fitted,
    splits: Splits,
    classes: int,
    values: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Return what a representation has learned, and log it.

    Args:
        representation: Representation.
        fitted: Its fit on the training split.
        splits: Items of "train" and, where there is one, "val", and their class indices.
        classes: C.
        values: Values of the utterances of each split, where the target is a value.

    Returns:
        `r2` by split (learned representations) or `explained_variance` (projections), and, where
        there is a validation split, `probe_ua`: its UA by a linear classifier of the codes of the
        training split, by "trained" and "untrained" network; of values `probe_ccc`: its CCC by
        ridge regression. Of a stack, these of both parts.
    """
    from ser.representations.projection import Projected  # imports scikit-learn, which is slow

    if isinstance(representation, Stack) and isinstance(fitted, Stacked):
        above = {split: (coded(fitted.lower, x), y) for split, (x, y) in splits.items()}
        lower = measure(representation.lower, fitted.lower, splits, classes, values)
        upper = measure(representation.upper, fitted.upper, above, classes, values)
        return dict(zip(PARTS, (lower, upper), strict=True))
    facts: dict[str, Any] = {}
    name = type(representation).__name__.lower()
    networks = {"trained": fitted}
    if isinstance(representation, Learned) and isinstance(fitted, Network):
        name = type(fitted.module).__name__
        facts["r2"] = {split: _r2(fitted, x, y) for split, (x, y) in splits.items()}
        networks["untrained"] = representation.untrained(fitted)
    elif isinstance(fitted, Projected):
        name = type(fitted.transformer).__name__
        facts["explained_variance"] = fitted.explained_variance
    if "val" in splits and values is not None:
        facts["probe_ccc"] = {
            state: _probe_values(network, splits, values) for state, network in networks.items()
        }
    elif "val" in splits and classes:
        facts["probe_ua"] = {
            state: _probe(network, splits, classes) for state, network in networks.items()
        }
    _log(name, facts)
    return facts


def _r2(fitted: Network, x: Items, y: np.ndarray) -> float:
    with torch.inference_mode():
        return total_r2(
            [
                reconstruction_sums(batch.x, fitted.module.reconstruct(batch), batch.lengths)
                for batch in fitted.batches(x, y)
            ]
        )


def _probe(fitted: Fitted, splits: Splits, classes: int) -> float:
    """Return UA on validation of a linear classifier of the codes of the training split."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    (x, y), (val_x, val_y) = (_codes(fitted, *splits[split]) for split in ("train", "val"))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=PROBE_ITERATIONS))
    predictions = classifier.fit(x, y).predict(val_x)
    return metrics.unweighted_accuracy(metrics.confusion_matrix(val_y, predictions, classes))


def _probe_values(fitted: Fitted, splits: Splits, values: Mapping[str, np.ndarray]) -> float:
    """Return CCC on validation of ridge regression on the codes of the training split."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    codes, val_codes = (_all_codes(fitted, *splits[split])[0] for split in ("train", "val"))
    regressor = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    predictions = regressor.fit(codes, values["train"]).predict(val_codes)
    # Where nothing is learned from equal values, there is no agreement.
    return float(np.nan_to_num(metrics.ccc(metrics.moments(values["val"], predictions))))


def _codes(fitted: Fitted, x: Items, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of labelled utterances, means over their segments, and their classes."""
    codes, y = _all_codes(fitted, x, y)
    return codes[y != UNLABELLED], y[y != UNLABELLED]


def _all_codes(fitted: Fitted, x: Items, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes of utterances, means over their segments, and their classes."""
    codes = fitted.transform(x, y if fitted.reads_labels else None)
    if isinstance(x, Segments):
        first = x.offsets[:-1]
        y = y[first]
        if not fitted.pools:
            sums = np.add.reduceat(codes, first, axis=0, dtype=np.float64)
            codes = sums / np.diff(x.offsets)[:, None]
    return codes, y


def lines(quality: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `measure` has returned for one representation, as parts of a sentence."""
    if r2 := quality.get("r2"):
        values = ", ".join(f"{value:.3f} on {split}" for split, value in r2.items())
        yield f"R² of the reconstruction (the mean has 0): {values}"
    if (share := quality.get("explained_variance")) is not None:
        yield f"explained variance: {share:.1%}"
    if probe := quality.get("probe_ua"):
        untrained = probe.get("untrained")
        beside = "" if untrained is None else f" (untrained network: {100 * untrained:.1f}%)"
        yield f"linear probe of its codes on val: UA {100 * probe['trained']:.1f}%{beside}"
    if probe := quality.get("probe_ccc"):
        untrained = probe.get("untrained")
        beside = "" if untrained is None else f" (untrained network: {untrained:.3f})"
        yield f"linear probe of its codes on val: CCC {probe['trained']:.3f}{beside}"


def _log(name: str, facts: Mapping[str, Any]) -> None:
    log.info("%s: %s", name, "; ".join(lines(facts)))
    unlearned = [split for split, value in facts.get("r2", {}).items() if value <= 0]
    if unlearned:
        log.warning(
            "%s: reconstructs %s no better than the mean does (R² <= 0), so a score on its codes "
            "is not evidence of what it has learned; compare with the untrained network",
            name,
            " and ".join(unlearned),
        )
