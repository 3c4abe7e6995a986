"""Corrupted copies of training utterances."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ser.data.folds import Fold
from ser.features import Features
from ser.features.augmentation import Corrupted
from ser.features.store import Store


def with_copies(
    features: Features,
    fold: Fold,
    store: Store,
    train: pd.DataFrame,
    extractors: Sequence[Corrupted],
    skip: bool,
) -> tuple[Features, Fold]:
    """Return the features and the fold of a run with copies of its training utterances.

    Only the audio of the training split is corrupted. Copies have the labels of their utterances,
    and are in the training split alone.

    Args:
        features: Of the utterances of the run.
        fold: The fold, without copies.
        store: Store of features.
        train: Rows of the training split.
        extractors: One per copy of an utterance.
        skip: Leave out copies that cannot be extracted.
    """
    assert list(train.index) == list(fold.train)
    parts = [features]
    sources: dict[str, str] = {}
    for number, extractor in enumerate(extractors, start=1):
        copies = store.load(train, extractor, in_memory=True, skip=skip)
        names = pd.Index([f"{utterance} (copy {number})" for utterance in copies.utterances])
        sources |= dict(zip(names, copies.utterances, strict=True))
        parts.append(replace(copies, utterances=names))
    return _joined(parts), fold.with_copies(pd.Series(sources))


def _joined(parts: Sequence[Features]) -> Features:
    """Return the features of several sets of utterances in one array."""
    ids = pd.Index(np.concatenate([each.utterances.to_numpy() for each in parts]))
    offsets = None
    if parts[0].offsets is not None:
        lengths = [np.diff(each.offsets) for each in parts if each.offsets is not None]
        offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    values = np.concatenate([each.values for each in parts])
    return replace(parts[0], utterances=ids, values=values, offsets=offsets)
