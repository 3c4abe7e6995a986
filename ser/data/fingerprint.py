"""What identifies a run: its config, the content of its corpus, the signature of its features.

Needs no torch, so that a sweep can leave out what is finished before anything heavy is loaded.
"""

import logging
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ser.config import build, run_key
from ser.corpora import Corpus
from ser.data.folds import Fold
from ser.data.targets import Target
from ser.errors import UserError
from ser.features import Extractor
from ser.features.store import Store

log = logging.getLogger(__name__)


def labelled_corpus(cfg: DictConfig) -> tuple[Corpus, Target]:
    """The corpus and what the target selects of it.

    Raises:
        UserError: a wrong root, something that cannot be read (unless `skip_faulty`), a class that
            nobody has.
    """
    corpus: Corpus = build(cfg.corpus)
    # Audio that no label has teaches nothing and harms nothing; `check` lists it.
    problems = [problem for problem in corpus.problems if problem.kind != "no label"]
    if problems:
        listing = "\n  ".join(map(str, problems[:10]))
        told = f"{len(problems)} problem(s) in corpus {corpus.name}, the first:\n  {listing}"
        if not cfg.skip_faulty:
            raise UserError(f"{told}\npython -m ser check lists all; skip_faulty=true goes on")
        log.warning("%s", told)
    return corpus, build(cfg.target)(corpus)


def fingerprint(
    corpus: Corpus, target: Target, fold: Fold, beyond: pd.Index, contents: pd.Series
) -> str:
    """Changes whenever an utterance, its audio, its label, its speaker or its part does.

    Args:
        corpus, target, fold: of the run.
        beyond: utterances outside the training part that representations may see.
        contents: what each utterance's audio is, by utterance id.
    """
    parts = pd.concat(pd.Series(part, index=ids) for part, ids in fold.parts.items()).sort_index()
    speakers = corpus.table["speaker"].loc[parts.index]
    rows = zip(
        parts.index,
        parts,
        target.labels.loc[parts.index],
        speakers,
        contents.loc[parts.index],
        strict=True,
    )
    facts = {"classes": target.classes, "rows": [list(row) for row in rows]}
    if len(beyond):
        facts["beyond"] = [list(row) for row in contents.loc[beyond].items()]
    return run_key.digest(facts)


def run_identity(cfg: DictConfig, corpus: str, features: str) -> dict[str, Any]:
    """What can change a run's result; equal runs have equal ones.

    Args:
        cfg: of the run.
        corpus: its `fingerprint`.
        features: their signature, as the store gives it.
    """
    identity = run_key.identity(cfg)
    identity["data"] |= {"corpus": corpus, "features": features}
    return identity


class Hashes:
    """Hashes of many runs without their features, each corpus and fold read once.

    Right where no utterance is left out as faulty (`skip_faulty`): which ones those are only the
    features can tell.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Any] = {}

    def __call__(self, cfg: DictConfig) -> str:
        """The `config_hash` that a finished run of this config has today.

        Raises:
            UserError: the corpus, target or fold cannot be.
        """
        labels = _text(cfg, "corpus", "target", "store", "skip_faulty")
        read = (*labels, *_text(cfg, "features"))
        features = self._once(read, lambda: self._signature(cfg, labels))
        parts = (*labels, *_text(cfg, "fold", "fit_on"))
        corpus = self._once(parts, lambda: self._fingerprint(cfg, labels))
        return run_key.digest(run_identity(cfg, corpus, features))

    def _signature(self, cfg: DictConfig, labels: tuple[str, ...]) -> str:
        corpus, _, _ = self._once(labels, lambda: self._read(cfg))
        extractor: Extractor = build(cfg.features)
        store: Store = build(cfg.store)
        return store.signature(corpus.table, extractor)

    def _fingerprint(self, cfg: DictConfig, labels: tuple[str, ...]) -> str:
        corpus, target, contents = self._once(labels, lambda: self._read(cfg))
        fold: Fold = build(cfg.fold)(corpus.table, target.labels.index)
        return fingerprint(corpus, target, fold, fold.beyond(cfg.fit_on, corpus.table), contents)

    def _read(self, cfg: DictConfig) -> tuple[Corpus, Target, pd.Series]:
        corpus, target = labelled_corpus(cfg)
        store: Store = build(cfg.store)
        return corpus, target, store.contents(corpus.table)

    def _once(self, key: tuple[str, ...], make: Any) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]


def _text(cfg: DictConfig, *keys: str) -> tuple[str, ...]:
    """Parts of a config, resolved, to tell one from another."""
    nodes = [cfg[key] for key in keys]
    return tuple(
        OmegaConf.to_yaml(node, resolve=True) if OmegaConf.is_config(node) else str(node)
        for node in nodes
    )
