"""Checks of a fold that need the table of the corpus only, before features are extracted."""

import pandas as pd
from omegaconf import DictConfig

from ser.config import build, run_key
from ser.corpora import Corpus
from ser.data.folds import Fold, verify
from ser.data.targets import Target
from ser.errors import UserError


def make_fold(
    cfg: DictConfig,
    corpus: Corpus,
    target: Target,
    recordings: pd.Series,
    index: int | None = None,
) -> Fold:
    """Return a fold of the partition of a configuration.

    Args:
        cfg: Configuration of the run.
        corpus: Corpus of the run.
        target: Target of the run.
        recordings: Identifier of the recording by utterance id.
        index: Number of the fold; None: that of the configuration.

    Raises:
        UserError: There is no such fold, or its splits are not separate.
    """
    number = cfg.fold.index if index is None else index
    fold: Fold = build(cfg.fold)(corpus.table, target.strata, index=number)
    verify(fold, corpus.table, recordings)
    return fold


def require_feasible(cfg: DictConfig, corpus: Corpus, target: Target, fold: Fold) -> None:
    """Check that a model can be fitted on a fold, before anything is extracted.

    Raises:
        UserError: A class has no training utterance, a task no validation label, the inner folds of
            a model that tunes its options are impossible.
    """
    target.require_training_classes(fold.index, fold.train)
    target.require_validation_labels(fold.index, fold.val)
    if run_key.chooses_layer(cfg):
        both = target.labels.loc[fold.train.append(fold.val)]
        _require_inner_folds("layer_choice", cfg.layer_choice.leave_out, corpus.table, both, fold)
    if "leave_out" in cfg.model:
        # Without a representation, the training split alone is divided, too, to calibrate.
        inner = fold.train if cfg.representation is None else fold.train.append(fold.val)
        labels = target.labels.loc[inner]
        _require_inner_folds("model", cfg.model.leave_out, corpus.table, labels, fold)


def _require_inner_folds(
    part: str, unit: str, table: pd.DataFrame, labels: pd.Series, fold: Fold
) -> None:
    """Check that the classes of some utterances can be learned without any one speaker or session.

    Args:
        part: What is tuned by them: "model" or "layer_choice".
        unit: "speaker" or "session".
        table: Of the corpus.
        labels: Class name by utterance id.
        fold: For the message.
    """
    option = f"fold {fold.index}, {part}.leave_out={unit}"
    if unit not in table or table.loc[fold.train.append(fold.val), unit].isna().any():
        raise UserError(f"{option}: not every utterance of this corpus has a {unit}")
    units = table.loc[labels.index, unit]
    if units.nunique() < 2:
        raise UserError(f"{option}: inner folds need two {unit}s or more, but there is one")
    for left_out in sorted(units.unique()):
        if labels[(units != left_out).to_numpy()].nunique() < 2:
            raise UserError(f"{option}: without {unit} {left_out} there is one class only")
