"""The data of a run: a labelled corpus, its features, and one verified fold."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ser.config import build, run_key
from ser.corpora import Corpus
from ser.data.augmented import with_copies
from ser.data.counterpart import Counterpart, counterpart_of
from ser.data.datamodule import DataModule, View
from ser.data.feasible import make_fold, require_feasible
from ser.data.fingerprint import augmentation_of, fingerprint, labelled_corpus, run_options
from ser.data.folds import Fold
from ser.data.targets import Target
from ser.features import Features, FeatureSource, PrecomputedFeatures
from ser.features.store import Store, files_of

log = logging.getLogger(__name__)

UNTESTED = "nobody tests in this fold: scores are of the validation split, on which it was selected"
CALIBRATED = "calibrated: probabilities use a temperature fitted on the validation split"


@dataclass(frozen=True)
class Prepared:
    """Everything that a run needs before its model.

    Args:
        corpus: Corpus, whose table has speaker, gender and file of each utterance.
        data: Features and classes of the fold.
        beyond: Utterances outside the training split that representations may see, unlabelled.
        training_audio: Digests of the audio files that anything fitted or selected may see, and of
            their samples.
        signature: Signature of the features.
        options: Everything that can change the result: configuration, corpus fingerprint and
            feature signature.
        run_key: Hash of `options`; equal runs have equal keys.
        remarks: Remarks that must be printed beside every score.
        factory: Makes a `DataModule` of the fold from features and a view.
        counterpart: Returns the fold that has the same training split, or None.
    """

    corpus: Corpus
    data: DataModule
    beyond: pd.Index
    training_audio: set[str]
    signature: str
    options: dict[str, Any]
    run_key: str
    remarks: list[str]
    factory: Callable[[Features, View], DataModule]
    counterpart: Callable[[], Counterpart | None] = lambda: None

    def with_view(self, view: View) -> DataModule:
        """Return the data as a network sees it."""
        return self.data if view == self.data.view else self.factory(self.data.features, view)

    def of_layer(self, layer: int) -> "Prepared":
        """Return the data with the features of one layer of a pretrained encoder."""
        return replace(self, data=self.factory(self.data.features.of_layer(layer), self.data.view))

    def grouped(self, unit: str, *splits: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the labelled utterances of some splits as inner folds take them.

        Args:
            unit: What an inner fold leaves out: speaker or session.
            splits: Names of splits.

        Returns:
            Features (N, D), class indices or values (N,), speakers or sessions (N,).
        """
        x, y, ids = self.data.table(*splits)
        sources = self.data.sources_of(pd.Index(ids))
        return x, y, self.corpus.table.loc[sources, unit].to_numpy()

    def copies(self, *splits: str) -> np.ndarray | None:
        """Return which rows of `grouped` are corrupted copies, (N,) bool; None: there are none."""
        are_copies = np.isin(self.data.table(*splits)[2], self.data.fold.copies.index)
        return are_copies if are_copies.any() else None

    def shares(self, *splits: str) -> np.ndarray | None:
        """Return the shares of raters (N, C) of `grouped`, times weights; None: labels count."""
        return self.data.shares_of(pd.Index(self.data.table(*splits)[2]))


@dataclass(frozen=True)
class Loaded:
    """What runs that differ in fold and seed only have in common.

    Args:
        corpus: Corpus.
        target: Labels of its utterances.
        recordings: Identifier of the recording by utterance id.
        store: Store of the features.
        extractor: Extractor of the features.
        features: Features of every utterance that a run may use.
        faulty: Number of utterances that were left out as faulty.
    """

    corpus: Corpus
    target: Target
    recordings: pd.Series
    store: Store
    extractor: FeatureSource
    features: Features
    faulty: int

    @cached_property
    def contents(self) -> pd.Series:
        """Digest of the audio by utterance id."""
        return self.store.contents(self.corpus.table)

    @cached_property
    def signature(self) -> str:
        """What the features depend on in addition to the audio."""
        return self.store.signature(self.corpus.table, self.extractor)


def load(cfg: DictConfig) -> Loaded:
    """Read the corpus, and the features of its utterances.

    Raises:
        UserError: The corpus, target, features or fold cannot be made.
    """
    corpus, target = labelled_corpus(cfg)
    for note in corpus.notes:
        log.info("%s: %s", corpus.name, note)
    store: Store = build(cfg.store)
    recordings = store.recordings(corpus.table)
    require_feasible(cfg, corpus, target, make_fold(cfg, corpus, target, recordings))
    augmentation = augmentation_of(cfg)
    if augmentation is not None:
        _ = augmentation.signature  # reads recorded noise, before anything is extracted
    extractor: FeatureSource = build(cfg.features)
    labelled = target.labels.index
    selected = corpus.table.loc[labelled] if cfg.fit_on == "target" else corpus.table
    features = store.load(selected, extractor, cfg.in_memory, skip=cfg.skip_faulty)
    faulty = len(selected) - len(features.utterances)
    target = target.only(features.utterances)
    return Loaded(corpus, target, recordings, store, extractor, features, faulty)


def prepare(cfg: DictConfig, loaded: Loaded | None = None) -> Prepared:
    """Build the data of a run, from the corpus to the features of one verified fold.

    Args:
        cfg: Configuration of the run.
        loaded: What another run has loaded that differs in fold and seed only; None: it is loaded.

    Raises:
        UserError: The corpus, target, features or fold cannot be made.
    """
    loaded = load(cfg) if loaded is None else loaded
    corpus, target, features = loaded.corpus, loaded.target, loaded.features
    recordings, store, extractor = loaded.recordings, loaded.store, loaded.extractor
    fold = make_fold(cfg, corpus, target, recordings)
    target.require_validation_labels(fold.index, fold.val)
    beyond = fold.beyond(cfg.fit_on, corpus.table.loc[features.utterances])
    augmentation = augmentation_of(cfg)
    if augmentation is not None:
        assert not isinstance(extractor, PrecomputedFeatures)  # see `ser.config.combinations`
        extractors = augmentation.extractors(extractor)
        train = corpus.table.loc[fold.train]
        features, fold = with_copies(features, fold, store, train, extractors, cfg.skip_faulty)
    contents = loaded.contents
    data_module: Callable[..., DataModule] = build(cfg.data)

    def factory(features: Features, view: View) -> DataModule:
        return data_module(features, target, fold, corpus.table["speaker"], cfg.seed, view)

    data = factory(features, View())

    def options_of(fold: Fold) -> dict[str, Any]:
        content = fingerprint(corpus, target, fold, beyond, contents)
        return run_options(cfg, content, loaded.signature)

    options = options_of(fold)
    seen = fold.train.append([fold.val, beyond])
    return Prepared(
        corpus=corpus,
        data=data,
        beyond=beyond,
        training_audio=files_of(contents.reindex(seen).dropna())
        | set(recordings.reindex(seen).dropna()),
        signature=extractor.signature,
        options=options,
        run_key=run_key.digest(options),
        remarks=remarks_of(cfg, corpus, data, loaded.faulty),
        factory=factory,
        counterpart=cache(
            lambda: counterpart_of(cfg, corpus, target, fold, recordings, options_of)
        ),
    )


def remarks_of(cfg: DictConfig, corpus: Corpus, data: DataModule, faulty: int) -> list[str]:
    """Return the remarks that must be printed beside every score of a run.

    Args:
        cfg: Configuration of the run.
        corpus: Corpus of the run.
        data: Data of the run.
        faulty: Number of utterances that were left out as faulty.
    """
    remarks = []
    if run_key.reading(cfg) == "oracle":
        remarks.append("LEAKED: codes are conditioned on the true classes, also on the test split")
    if corpus.synthetic:
        remarks.append("synthetic speech: scores say nothing about people")
    remarks += data.target.remarks
    if len(data.fold.copies):
        kinds = " or ".join(name for name, node in cfg.augment.items() if OmegaConf.is_dict(node))
        count = cfg.augment.copies
        remarks.append(f"augmented: corrupted copies of each training utterance: {count} ({kinds})")
    if not data.fold.speaker_independent:
        remarks.append(f"speaker dependent: {data.fold.dependence}")
    remarks += data.fold.remarks
    if data.fold.test.empty:
        remarks.append(UNTESTED)
    if cfg.fit_on == "all":
        remarks.append("transductive: the representation is fitted on unlabelled test speech, too")
    if data.fold.text_independent and corpus.table["text"].loc[data.fold.everyone].isna().any():
        remarks.append("texts of some utterances are unknown: each counts as a text of its own")
    if data.standardise == "speaker":
        remarks.append("transductive: features are standardised with unlabelled test-speaker data")
    if withheld := len(data.fold.train) - len(data.labelled):
        remarks.append(f"{withheld} of {len(data.fold.train)} training labels are withheld")
    if cfg.calibrate != "none":
        remarks.append(CALIBRATED)
    if faulty:
        remarks.append(f"{faulty} faulty utterance(s) left out")
    return remarks
