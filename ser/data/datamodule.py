"""The data of one run: features standardised by the training split, served in batches."""

import copy
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor

from ser.data.batches import UNLABELLED, Batches, Rows, Task
from ser.data.folds import Fold
from ser.data.labels import balanced_weights
from ser.data.loaders import make_batches
from ser.data.perturbations import Perturbations, SpecAugment
from ser.data.segments import Segments
from ser.data.standardise import Standardiser, per_speaker
from ser.data.targets import LEVELS, Target
from ser.data.task_labels import labels_of
from ser.errors import UserError
from ser.features import Features


@dataclass(frozen=True)
class View:
    """How a network sees the utterances of a fold.

    Args:
        segments: Partial of a function of `ser.data.segments`. The network then sees segments of
            frames one by one, each with the class of its utterance. None: whole utterances.
        unlabelled: Whether training batches contain utterances without label.
        standardiser: Standardiser of the features. None: one fitted on the training split.
        variants: Number of codes per item, one for each class, that stand side by side in the
            features (see `Task.variants`).
        lazy: Standardise features when they are taken, because few of them will be.
    """

    segments: Callable[..., Segments] | None = None
    unlabelled: bool = False
    standardiser: Standardiser | None = None
    variants: int = 1
    lazy: bool = False


class DataModule(pl.LightningDataModule):
    """Features and labels of one fold.

    Args:
        features: Features of every utterance that the run may use.
        target: Labels of the utterances.
        fold: Utterance ids of the splits, and copies of training utterances, which have features.
        speakers: Speaker by utterance id, without copies.
        seed: Seed of the order of the training batches.
        view: How a network sees the utterances.
        batch_size: Utterances per batch; segments per batch, if the network sees them one by one.
        max_frames: At frame level, the longest stretch that a network sees.
        standardise: "train": by the statistics of the training split; "speaker": each speaker by
            their own statistics first (this uses unlabelled data of the test speakers).
        clip: Largest magnitude of a standardised value. None: no limit.
        class_weights: "balanced": a class counts inversely to its frequency in the training split,
            in each task that has classes; None: every utterance counts the same.
        spec_augment: Masks of the frames of training batches; None, as in configurations of earlier
            versions: none.
        mixup: Alpha of the mixtures in training batches (see `Perturbations`); None: none.

    Attributes:
        task: What a model is built for.

    Raises:
        UserError: No labelled training utterance has one of the classes, or there are class weights
            without classes.
    """

    def __init__(
        self,
        features: Features,
        target: Target,
        fold: Fold,
        speakers: pd.Series,
        seed: int,
        view: View = View(),
        *,
        batch_size: int,
        max_frames: int,
        standardise: Literal["train", "speaker"],
        clip: float | None,
        class_weights: Literal["balanced"] | None,
        spec_augment: SpecAugment | None = None,
        mixup: float | None = None,
    ) -> None:
        super().__init__()
        self.features, self.target, self.fold, self.view = features, target, fold, view
        self.speakers, self.standardise, self.clip = speakers, standardise, clip
        assert (fold.copies.index.isin(features.utterances)).all()
        self.seed, self.batch_size, self.max_frames = seed, batch_size, max_frames
        masks = spec_augment if spec_augment is not None and spec_augment.masks else None
        self.perturbations = Perturbations(masks, mixup)
        self._numbers = pd.Series(np.arange(len(features.utterances)), index=features.utterances)
        self.labels = labels_of(target, fold)
        width = features.values.shape[1]
        if view.segments is not None:
            width = self.segments_of(fold.train[:1], view.segments).shape[1]
        if class_weights and not any(task.classes for task in target.tasks or (target,)):
            raise UserError(
                f"data.class_weights={class_weights} is for classes, and target {target.name} has "
                "none: data.class_weights=null"
            )
        balanced = class_weights is not None
        shares = torch.from_numpy(self._class_counts() / len(self.labelled)).float()
        self.task = Task(
            inputs=width // view.variants,
            classes=len(target.classes),
            class_weights=self._balanced() if balanced and target.classes else None,
            groups=column_groups(features.columns),
            variants=shares if view.variants > 1 else None,
            layers=max(1, len(features.layers)),
            heads=self.labels.heads(self.labelled, balanced=balanced),
        )

    @cached_property
    def values(self) -> np.ndarray:
        """Features before standardisation by the training split, (N, D) or (sum of T, F)."""
        if self.standardise == "train":
            return self.features.values
        offsets = self.features.offsets
        repeats = 1 if offsets is None else np.diff(offsets)
        copies = self.fold.copies
        names = self.speakers.loc[self.sources_of(self.features.utterances)].to_numpy(object)
        # The copies of a speaker's speech are another recording of it, with its own statistics.
        names[self.features.utterances.isin(copies.index)] += " (copies)"
        return per_speaker(self.features.values, pd.Series(np.repeat(names, repeats)))

    @cached_property
    def standardiser(self) -> Standardiser:
        """Standardiser of the view, or the one fitted on the training split."""
        if self.view.standardiser is not None:
            return self.view.standardiser
        return Standardiser.fit(self.values, self._rows_of(self.fold.training), self.clip)

    @cached_property
    def rows(self) -> Rows:
        """Standardised features."""
        lazy = self.features.mapped or self.view.lazy
        return Rows(self.values, self.standardiser, eager=not lazy)

    def setup(self, stage: str) -> None:
        """Standardise the features before the first batch is timed."""
        _ = self.rows

    def train_dataloader(self) -> Batches:
        """Return batches of the training split, shuffled each epoch and shared among ranks."""
        ids = self.fold.training if self.view.unlabelled else self._with_copies(self.labelled)
        return self._batches(ids, self.seed, self._share)

    def val_dataloader(self) -> Batches:
        """Return batches of the validation split in a fixed order, shared among ranks."""
        return self._batches(self.fold.val, None, self._share)

    def split_dataloader(self, split: str) -> Batches:
        """Return batches of a whole split in a fixed order, for scoring."""
        return self._batches(self.fold.parts[split], None)

    def of_fold(self, fold: Fold) -> "DataModule":
        """Return the same data for another fold with the same training split; rows are shared."""
        assert fold.training.equals(self.fold.training)
        _ = self.rows
        other = copy.copy(self)
        other.fold = fold
        return other

    @property
    def labelled(self) -> pd.Index:
        """Training utterances whose label may be used, without copies."""
        return self.labels.labelled(self.fold.train)

    def table(self, *splits: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the labelled utterances of some splits as scikit-learn takes them.

        They are sorted by id, whatever their split, so that an estimator fitted on all but two
        speakers is the same whichever of the two is tested.

        Returns:
            Features before standardisation by the training split (N, D), class indices or values
            (N,), ids (N,), where those of the training split include copies.
        """
        labelled = self._with_copies(self.labelled)
        ids_of = [labelled if split == "train" else self.fold.parts[split] for split in splits]
        ids = pd.Index(np.concatenate([ids.to_numpy() for ids in ids_of])).sort_values()
        return self.values_of(ids), self.labels.column(ids), ids.to_numpy()

    def shares_of(self, ids: pd.Index) -> np.ndarray | None:
        """Return the shares (N, C) that a model learns, times weights; None: it learns labels."""
        soft = self.labels.soft
        return soft.loc[ids].to_numpy() if isinstance(soft, pd.DataFrame) else None

    def sources_of(self, ids: pd.Index) -> pd.Index:
        """Return the utterances that some copies are of; utterances themselves as they are."""
        copies = self.fold.copies
        return ids if copies.empty else pd.Index([copies.get(each, each) for each in ids])

    def _with_copies(self, ids: pd.Index) -> pd.Index:
        copies = self.fold.copies
        return ids if copies.empty else ids.append(copies.index[copies.isin(ids)])

    def values_of(self, ids: pd.Index) -> np.ndarray:
        """Return features before standardisation by the training split, (N, D)."""
        return self.values[self._numbers.loc[ids].to_numpy()]

    def classes_of(self, ids: pd.Index) -> np.ndarray:
        """Return class indices, (N,); `UNLABELLED` for utterances without label, and for values."""
        return self.labels.classes_of(ids)

    def segments_of(self, ids: pd.Index, cut: Callable[..., Segments]) -> Segments:
        """Return segments of frame-level features before standardisation by the training split.

        Args:
            ids: Utterance ids.
            cut: Partial of a function of `ser.data.segments`.
        """
        numbers = self._numbers.loc[ids].to_numpy()
        return cut(self.values, self.features.offsets, numbers, self.features.mapped)

    def class_counts(self) -> pd.DataFrame:
        """Return the number of utterances by class, level of a value, or task (rows), and split."""
        return pd.DataFrame({name: self.counts(ids) for name, ids in self.fold.parts.items()})

    def counts(self, ids: pd.Index) -> pd.Series:
        """Return the number of some utterances by class, level of a value, or task."""
        target = self.target
        if target.tasks:
            return pd.Series({t.name: ids.isin(t.labels.index).sum() for t in target.tasks})
        counts = (target.strata if target.is_value else target.truth).loc[ids].value_counts()
        return counts.reindex(list(target.classes or LEVELS), fill_value=0)

    @property
    def _share(self) -> tuple[int, int]:
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _batches(self, ids: pd.Index, seed: int | None, share: tuple[int, int] = (0, 1)) -> Batches:
        cut = self.view.segments
        return make_batches(
            self.rows,
            self._numbers.loc[ids].to_numpy(),
            self.labels.batched(ids),
            offsets=self.features.offsets,
            segments=None if cut is None else self.segments_of(ids, cut),
            max_frames=self.max_frames,
            batch_size=self.batch_size,
            seed=seed,
            share=share,
            perturbations=self.perturbations,
        )

    def _rows_of(self, ids: pd.Index) -> np.ndarray:
        """Return the rows of the features that belong to utterances; all frames, if there are."""
        numbers = self._numbers.loc[ids].to_numpy()
        offsets = self.features.offsets
        if offsets is None:
            return numbers
        return np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in numbers])

    def _class_counts(self) -> np.ndarray:
        counts = self.labels.classes_of(self.labelled)
        return np.bincount(counts[counts != UNLABELLED], minlength=len(self.target.classes))

    def _balanced(self) -> Tensor:
        return balanced_weights(self.labels.classes_of(self.labelled), len(self.target.classes))


def column_groups(columns: tuple[str, ...]) -> dict[str, list[int]]:
    """Group columns by the letters that their names begin with.

    Examples:
        >>> column_groups(("F0final_sma", "mfcc_sma[1]", "mfcc_sma[2]"))
        {'f': [0], 'mfcc': [1, 2]}
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(columns):
        match = re.match(r"[A-Za-z]+", name)
        groups[match.group().lower() if match else "other"].append(number)
    return dict(groups)
