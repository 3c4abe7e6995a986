"""The data of one run: features standardised on the training part, handed out in batches."""

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from ser.data.batches import (
    EVALUATED,
    UNLABELLED,
    Batches,
    FrameBatches,
    Rows,
    SegmentBatches,
    Task,
)
from ser.data.folds import Fold
from ser.data.segments import Segments
from ser.data.standardise import Standardiser, per_speaker
from ser.data.targets import Target
from ser.errors import UserError
from ser.features import Features

SCORED = 64  # utterances a batch, where each has as many items as frames


class DataModule(pl.LightningDataModule):
    """Features and classes of one fold.

    Args:
        features: of every utterance that the run may touch.
        target: classes of the labelled ones.
        fold: the parts.
        speakers: speaker by utterance id.
        seed: of the order of the batches.
        batch_size: utterances a batch; or segments, where models see them one by one.
        max_frames: at frame level, the longest stretch that a network sees.
        standardise: "train": by the training part's statistics; "speaker": each speaker by their
            own, then by the training part's (uses unlabelled test-speaker data).
        clip: largest magnitude of a standardised value; None: no limit.
        class_weights: "balanced": a class counts inversely to its frequency in the training part;
            None: every utterance counts the same.

    Attributes:
        task: what a model is to be made for.
        unlabelled: whether training batches have utterances without label, too.

    Raises:
        UserError: a class that no labelled training utterance has.
    """

    def __init__(
        self,
        features: Features,
        target: Target,
        fold: Fold,
        speakers: pd.Series,
        seed: int,
        *,
        batch_size: int,
        max_frames: int,
        standardise: Literal["train", "speaker"],
        clip: float | None,
        class_weights: Literal["balanced"] | None,
    ) -> None:
        super().__init__()
        self.target, self.fold, self.standardise = target, fold, standardise
        self.unlabelled = False
        self._cut: Callable[..., Segments] | None = None
        self.seed, self.batch_size, self.max_frames = seed, batch_size, max_frames
        self._numbers = pd.Series(np.arange(len(features.utterances)), index=features.utterances)
        self._offsets = None if features.offsets is None else torch.tensor(features.offsets)
        self._codes = self._labelled(target, fold)
        self._values, self._mapped = features.values, features.mapped
        if standardise == "speaker":
            repeats = 1 if features.offsets is None else np.diff(features.offsets)
            names = np.repeat(speakers.loc[features.utterances].to_numpy(), repeats)
            self._values = per_speaker(features.values, pd.Series(names))
        self.standardiser = Standardiser.fit(self._values, self._rows_of(fold.train), clip)
        self.task = Task(
            inputs=features.values.shape[1],
            classes=len(target.classes),
            class_weights=self._balanced() if class_weights else None,
            groups=column_groups(features.columns),
        )

    def see_segments(self, cut: Callable[..., Segments]) -> None:
        """Has models see segments of frames one by one, each with its utterance's class.

        Args:
            cut: partial of a function of `ser.data.segments`.
        """
        self._cut = cut
        inputs = self.segments_of(self.fold.train[:1], cut).shape[1]
        self.task = replace(self.task, inputs=inputs)

    def setup(self, stage: str) -> None:
        """Standardises, once."""
        if not hasattr(self, "_rows"):
            self._rows = Rows(self._values, self.standardiser, at_once=not self._mapped)

    def train_dataloader(self) -> Batches:
        """The training part in an order of its own each epoch; of several ranks, each its share."""
        ids = self.fold.train if self.unlabelled else self.labelled
        return self._loader(ids, self.batch_size, self.seed, self._share)

    def val_dataloader(self) -> Batches:
        """The validation part in its own order; of several ranks, each its share."""
        return self._loader(self.fold.val, EVALUATED, None, self._share)

    def part_dataloader(self, part: str) -> Batches:
        """The whole of a part in its own order, for scoring."""
        return self._loader(self.fold.parts[part], EVALUATED, None)

    @property
    def labelled(self) -> pd.Index:
        """The training utterances whose label may be used."""
        codes = self._codes.loc[self.fold.train]
        return codes.index[codes != UNLABELLED]

    @property
    def shares(self) -> np.ndarray:
        """(C,), of each class among these."""
        return self._counts() / len(self.labelled)

    def table(self, *parts: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What scikit-learn wants of the labelled utterances of some parts together.

        They are in the order of their ids, whichever part each is in: so that what is fitted on all
        but two sessions is the same, whichever of the two tests.

        Returns:
            Features before the training part's standardisation (N, D), class indices (N,),
            utterance ids (N,).
        """
        parts_ids = [self.labelled if part == "train" else self.fold.parts[part] for part in parts]
        ids = pd.Index(np.concatenate([ids.to_numpy() for ids in parts_ids])).sort_values()
        return self.values_of(ids), self._codes.loc[ids].to_numpy(), ids.to_numpy()

    def values_of(self, ids: pd.Index) -> np.ndarray:
        """Features of utterances before the training part's standardisation, (N, D)."""
        return self._values[self._numbers.loc[ids].to_numpy()]

    def classes_of(self, ids: pd.Index) -> np.ndarray:
        """Class indices of utterances, (N,); `UNLABELLED` where there is none to be had."""
        return self._codes.reindex(ids, fill_value=UNLABELLED).to_numpy()

    def segments_of(self, ids: pd.Index, cut: Callable[..., Segments]) -> Segments:
        """Segments of utterances, before the training part's standardisation.

        Args:
            ids: of utterances that have frames.
            cut: partial of a function of `ser.data.segments`.
        """
        assert self._offsets is not None
        numbers = self._numbers.loc[ids].to_numpy()
        return cut(self._values, self._offsets.numpy(), numbers, self._mapped)

    def class_counts(self) -> pd.DataFrame:
        """Utterances by class (rows) and part (columns)."""
        labels = self.target.labels
        counts = {part: labels.loc[ids].value_counts() for part, ids in self.fold.parts.items()}
        return pd.DataFrame(counts, index=list(self.target.classes)).fillna(0).astype(int)

    def _labelled(self, target: Target, fold: Fold) -> pd.Series:
        """Class indices; a training utterance whose label is withheld has `UNLABELLED`."""
        codes = target.codes
        train = codes.loc[fold.train]
        for number, name in enumerate(target.classes):
            if not (train == number).any():
                raise UserError(
                    f"fold {fold.index}: no training utterance has class {name} of "
                    f"{target.name}; target.classes without it, or another fold"
                )
        codes.loc[target.withheld(fold.train)] = UNLABELLED
        return codes

    @property
    def _share(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _loader(
        self, ids: pd.Index, batch_size: int, seed: int | None, share: tuple[int, int] = (0, 1)
    ) -> Batches:
        utterances = torch.tensor(self._numbers.loc[ids].to_numpy())
        y = torch.tensor(self._codes.loc[ids].to_numpy())
        if self._offsets is None:
            return Batches(self._rows, utterances, y, batch_size=batch_size, seed=seed, share=share)
        if self._cut is not None:
            return self._segment_loader(self.segments_of(ids, self._cut), y, seed, share)
        return FrameBatches(
            self._rows,
            utterances,
            y,
            offsets=self._offsets,
            max_frames=self.max_frames,
            batch_size=min(batch_size, self.batch_size),
            seed=seed,
            share=share,
        )

    def _segment_loader(
        self, segments: Segments, y: Tensor, seed: int | None, share: tuple[int, int]
    ) -> Batches:
        if seed is None:
            return SegmentBatches(self._rows, segments, y, batch_size=SCORED, share=share)
        frames = torch.from_numpy(segments.frames)
        each = torch.from_numpy(segments.of_each(y.numpy()))
        size = self.batch_size
        return Batches(self._rows, frames, each, batch_size=size, seed=seed, share=share)

    def _rows_of(self, ids: pd.Index) -> np.ndarray:
        """Which rows of the features are these utterances', frame by frame at frame level."""
        numbers = self._numbers.loc[ids].to_numpy()
        if self._offsets is None:
            return numbers
        offsets = self._offsets.numpy()
        return np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in numbers])

    def _counts(self) -> np.ndarray:
        return np.bincount(self._codes.loc[self.labelled], minlength=len(self.target.classes))

    def _balanced(self) -> Tensor:
        counts = self._counts()
        return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)


def column_groups(columns: tuple[str, ...]) -> dict[str, list[int]]:
    """Columns by the letters that their names begin with.

    Examples:
        >>> column_groups(("F0final_sma", "mfcc_sma[1]", "mfcc_sma[2]"))
        {'f': [0], 'mfcc': [1, 2]}
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(columns):
        match = re.match(r"[A-Za-z]+", name)
        groups[match.group().lower() if match else "other"].append(number)
    return dict(groups)
