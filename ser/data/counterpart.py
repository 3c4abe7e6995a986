"""The fold with the same training split, whose run can be selected from the same training.

No torch is imported, because sweeps ask which runs can share a training.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from ser.config import run_key
from ser.corpora import Corpus
from ser.data.feasible import make_fold
from ser.data.folds import Fold
from ser.data.targets import Target
from ser.errors import UserError
from ser.results.fitted import fit_version


@dataclass(frozen=True)
class Counterpart:
    """The fold that has the same training split; validation and test splits are exchanged.

    Attributes:
        fold: The fold.
        run_key: Key of its run.
        training_key: Hash of everything that determines the training, equal for both folds: the
            options without those of the fold, the content of the training split, code and library
            versions.
    """

    fold: Fold
    run_key: str
    training_key: str


def can_share(cfg: DictConfig) -> bool:
    """Return whether the training of a run depends on nothing but the training split.

    Validation may choose an epoch, but not end the training, nor choose the layer of an encoder.
    Representations are excluded, because codes are computed in batches across the splits.
    `force=true` trains each run again.
    """
    trainer = cfg.trainer
    return (
        cfg.share_training is not False
        and "grid" not in cfg.model  # a network
        and cfg.representation is None
        and not run_key.chooses_layer(cfg)
        and cfg.calibrate == "none"
        and trainer.patience is None
        and trainer.stopping is None
        and trainer.devices == 1
        and not trainer.get("packed", False)
        and not cfg.force
    )


def counterpart_of(
    cfg: DictConfig,
    corpus: Corpus,
    target: Target,
    fold: Fold,
    recordings: pd.Series,
    options_of: Callable[[Fold], dict[str, Any]],
) -> Counterpart | None:
    """Return the counterpart of a fold; None: there is none, or it cannot be trained.

    Args:
        cfg: Configuration of the run.
        corpus: Corpus of the run.
        target: Target of the run.
        fold: Fold of the run.
        recordings: Identifier of the recording by utterance id.
        options_of: Returns everything that can change the result of the run on a fold.
    """
    if fold.counterpart is None:
        return None
    try:
        other = make_fold(cfg, corpus, target, recordings, fold.counterpart)
        target.require_validation_labels(other.index, other.val)
        target.require_validation_labels(other.index, other.val)
    except UserError:  # e.g. nobody tests in this fold, so nobody would validate in the other one
        return None
    other = other.with_copies(fold.copies)
    require_same_training(fold, other)
    options = options_of(other)
    options["fold"]["index"] = other.index
    none = fold.train[:0]
    shared = options_of(replace(fold, val=none, test=none, copies=fold.copies[:0]))
    del shared["fold"]
    training_key = run_key.digest({**shared, "version": fit_version()})
    return Counterpart(other, run_key.digest(options), training_key)


def require_same_training(fold: Fold, other: Fold) -> None:
    """Assert that two folds are trained on the same and validated on different utterances."""
    assert other.training.equals(fold.training)
    assert other.fit.equals(fold.fit)
    assert other.val.intersection(fold.val.append(fold.training)).empty
    assert fold.val.intersection(other.training).empty
