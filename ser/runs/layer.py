"""The layer of a pretrained encoder that a run sees (`features.layer=chosen`).

Inner folds of a linear support vector machine choose it on the training and validation speakers of
the fold. It is the same for all systems and seeds, so that tables compare what learns, and not
which layer it was given. The choice is shared by all runs that need the same one.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from omegaconf import DictConfig

from ser import results
from ser.config import build, run_key
from ser.data.prepare import Prepared
from ser.results import RunFolder
from ser.results.fitted import UsedKeys, fit_version, in_use

log = logging.getLogger(__name__)


def with_chosen_layer(
    cfg: DictConfig, prepared: Prepared, folder: RunFolder
) -> tuple[Prepared, dict[str, Any]]:
    """Return the data with the features of the chosen layer, and facts for `result.json`.

    Args:
        cfg: Configuration of the run.
        prepared: Data of the run, with the features of all layers.
        folder: Folder of the run, which remembers the choice that it uses.

    Returns:
        The data as they are, and no facts, where the configuration names the layer.
    """
    if not run_key.chooses_layer(cfg):
        return prepared, {}
    model = build(cfg.layer_choice)(
        None, None, prepared.data.features.layers, prepared.data.target.is_value
    )
    both, copies = (
        prepared.grouped(model.leave_out, "train", "val"),
        prepared.copies("train", "val"),
    )
    shares = prepared.shares("train", "val")
    key, root = _key(cfg, both, copies, shares), Path(cfg.fitted)
    with in_use(root):
        (root / key).mkdir(parents=True, exist_ok=True)
        with FileLock(root / key / results.LOCK):
            again = UsedKeys(folder.fitted_keys_file).add(key) and cfg.force
            facts = None if again else results.read_sealed(root / key / results.FITTED)
            if facts is None:
                from ser.models.estimator import layer_facts  # a network needs no scikit-learn

                facts = layer_facts(model.choose(*both, unscored=copies, shares=shares))
                facts["version"] = fit_version()
                results.write_sealed(root / key / results.FITTED, facts)
    chosen = {k: v for k, v in facts.items() if k not in ("version", results.SEAL)}
    log.info("layer %d of the encoder, chosen by inner folds of a linear SVM", chosen["layer"])
    return prepared.of_layer(chosen["layer"]), chosen


def _key(
    cfg: DictConfig,
    items: tuple[np.ndarray, ...],
    copies: np.ndarray | None,
    shares: np.ndarray | None,
) -> str:
    """Return the key of a choice: equal choices have equal keys."""
    x, y, groups = items
    learned = (x, y) if shares is None else (x, y, shares)
    facts = {
        "layer_choice": run_key.result_options(cfg)["layer_choice"],
        "version": fit_version(),
        "content": [
            hashlib.blake2b(np.ascontiguousarray(array).data).hexdigest() for array in learned
        ],
        "groups": [str(group) for group in groups],
        "copies": None if copies is None else copies.tolist(),
    }
    return run_key.digest(facts)
