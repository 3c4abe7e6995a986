"""What a run needs before its model: a labelled corpus, its features, one verified fold."""

import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd
from omegaconf import DictConfig

from ser.config import build, run_key
from ser.corpora import Corpus
from ser.data.datamodule import DataModule
from ser.data.fingerprint import fingerprint, labelled_corpus, run_identity
from ser.data.folds import Fold, verify
from ser.features import Extractor
from ser.features.store import Store, files_of

log = logging.getLogger(__name__)

CALIBRATED = "calibrated: probabilities are under a temperature fitted on the validation part"


@dataclass(frozen=True)
class Prepared:
    """Everything of a run that is there before its model is.

    Attributes:
        corpus: whose table has speaker, gender, file of each utterance.
        data: features and classes of the fold.
        beyond: utterances outside the training part that representations may see, unlabelled.
        heard: digests of the audio files that anything fitted or chosen may see.
        identity: what can change the result: config, corpus fingerprint, feature signature.
        hash: of the identity; equal runs have equal ones.
        remarks: what must stand beside the scores wherever they are printed.
    """

    corpus: Corpus
    data: DataModule
    beyond: pd.Index
    heard: set[str]
    identity: dict[str, Any]
    hash: str
    remarks: list[str]


def prepare(cfg: DictConfig) -> Prepared:
    """From corpus to standardised features of one verified fold.

    Raises:
        UserError: a corpus, target, feature or fold that cannot be.
    """
    corpus, target = labelled_corpus(cfg)
    store: Store = build(cfg.store)
    extractor: Extractor = build(cfg.features)
    labelled = target.labels.index
    selected = corpus.table.loc[labelled] if cfg.fit_on == "target" else corpus.table
    features = store.load(selected, extractor, cfg.in_memory, skip=cfg.skip_faulty)
    faulty = len(selected) - len(features.utterances)
    target = target.only(features.utterances)
    fold: Fold = build(cfg.fold)(corpus.table, target.labels.index)
    contents = store.contents(corpus.table)
    verify(fold, corpus.table, contents)
    data: DataModule = build(cfg.data)(features, target, fold, corpus.table["speaker"], cfg.seed)
    beyond = fold.beyond(cfg.fit_on, corpus.table.loc[features.utterances])
    identity = run_identity(
        cfg,
        fingerprint(corpus, target, fold, beyond, contents),
        store.signature(corpus.table, extractor),
    )
    remarks = _remarks(cfg, corpus, data, faulty)
    seen = fold.train.append([fold.val, beyond])
    heard = files_of(contents.reindex(seen).dropna())
    return Prepared(corpus, data, beyond, heard, identity, run_key.digest(identity), remarks)


def _remarks(cfg: DictConfig, corpus: Corpus, data: DataModule, faulty: int) -> list[str]:
    found = []
    if run_key.reading(cfg) == "oracle":
        found.append("LEAKED: codes are made under the true classes, those of the test part too")
    if corpus.synthetic:
        found.append("synthetic speech: says nothing about people")
    found += data.target.remarks
    if not data.fold.speaker_independent:
        found.append("speaker dependent: speakers are in train and test")
    if cfg.fit_on == "all":
        found.append("transductive: the representation has seen unlabelled speech of the test part")
    if data.fold.text_independent and corpus.table["text"].loc[data.fold.everyone].isna().any():
        found.append("texts of some utterances are unknown: each counts as one of its own")
    if data.standardise == "speaker":
        found.append("transductive: standardised by unlabelled test-speaker data")
    if withheld := len(data.fold.train) - len(data.labelled):
        found.append(f"{withheld} of {len(data.fold.train)} training labels are withheld")
    if cfg.calibrate != "none":
        found.append(CALIBRATED)
    if faulty:
        found.append(f"{faulty} faulty utterance(s) left out")
    return found
