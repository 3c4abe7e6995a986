"""What identifies a run: its configuration, the content of its corpus, its features' signature.

No torch is imported, so that a sweep can skip finished runs before anything heavy is loaded.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from ser.config import build, run_key
from ser.corpora import Corpus
from ser.data.feasible import require_feasible
from ser.data.folds import Fold
from ser.data.targets import Target
from ser.errors import UserError
from ser.features import FeatureSource
from ser.features.augmentation import Augmentation
from ser.features.store import Store

log = logging.getLogger(__name__)


def labelled_corpus(cfg: DictConfig) -> tuple[Corpus, Target]:
    """Read the corpus, and the labels that the target selects from it.

    Raises:
        UserError: A wrong root, a file that cannot be read (unless `skip_faulty`), or a class that
            no utterance has.
    """
    corpus: Corpus = build(cfg.corpus)
    require_readable(corpus, skip_faulty=cfg.skip_faulty)
    return corpus, build(cfg.target)(corpus)


def require_readable(corpus: Corpus, *, skip_faulty: bool) -> None:
    """Raise a UserError if a part of a corpus cannot be read, or, with `skip_faulty`, warn."""
    # Audio without a label cannot be used and does no harm; `ser check` lists it.
    problems = [problem for problem in corpus.problems if problem.kind != "no label"]
    if problems:
        listing = "\n  ".join(map(str, problems[:10]))
        message = f"{len(problems)} problem(s) in corpus {corpus.name}, the first:\n  {listing}"
        if not skip_faulty:
            raise UserError(
                f"{message}\n`python -m ser check` lists all; skip_faulty=true leaves them out"
            )
        log.warning("%s", message)


def fingerprint(
    corpus: Corpus, target: Target, fold: Fold, beyond: pd.Index, contents: pd.Series
) -> str:
    """Return a digest of every utterance's id, audio, label, speaker and split.

    Args:
        corpus: Corpus of the run.
        target: Target of the run.
        fold: Fold of the run.
        beyond: Utterances outside the training split that representations may see.
        contents: Digest of the audio by utterance id.
    """
    splits = pd.concat(pd.Series(name, index=ids) for name, ids in fold.parts.items()).sort_index()
    rows = zip(
        splits.index,
        splits,
        target.labels.loc[splits.index],
        corpus.table["speaker"].loc[splits.index],
        contents.loc[splits.index],
        strict=True,
    )
    facts: dict[str, Any] = {"classes": target.classes, "rows": [list(row) for row in rows]}
    facts |= soft_facts(target, splits.index)
    for task in target.tasks:
        known = task.labels.reindex(splits.index).astype(object)
        labels = known.where(known.notna(), None).tolist()
        own = soft_facts(task, splits.index.intersection(task.labels.index))
        facts[f"task {task.name}"] = {"classes": task.classes, "labels": labels, **own}
    if len(beyond):
        facts["beyond"] = [list(row) for row in contents.loc[beyond].items()]
    return run_key.digest(facts)


def soft_facts(target: Target, utterances: pd.Index) -> dict[str, Any]:
    """Return the shares and weights of utterances, as far as a target has them."""
    known = {"shares": target.shares, "weights": target.weights}
    return {
        name: soft.loc[utterances].to_numpy().tolist()
        for name, soft in known.items()
        if soft is not None
    }


def run_options(
    cfg: DictConfig, corpus: str, features: str, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return everything that can change a run's result.

    Args:
        cfg: Configuration of the run.
        corpus: `fingerprint` of its data.
        features: Signature of its features, as returned by the store.
        options: `result_options` of the run; None: they are computed.
    """
    options = run_key.result_options(cfg) if options is None else options
    data = {**options["data"], "corpus": corpus, "features": features}
    if (augmentation := augmentation_of(cfg)) is not None:
        data["augment"] = augmentation.signature
    return {**options, "data": data}


def augmentation_of(cfg: DictConfig) -> Augmentation | None:
    """Return the augmentation of a run; None: there is none."""
    node = cfg.get("augment")  # configurations of earlier versions have none
    return None if node is None else build(node)


class RunKeys:
    """Keys of many runs without their features; each corpus and fold is read once.

    The keys are right where no utterance is left out as faulty (`skip_faulty`), because only the
    features tell which utterances are.
    """

    def __init__(self) -> None:
        self._cache: dict[tuple[str, ...], Any] = {}

    def __call__(self, cfg: DictConfig, options: Mapping[str, Any] | None = None) -> str:
        """Return the `run_key` that a finished run of this configuration would have.

        Args:
            cfg: Configuration of the run.
            options: `result_options` of the run; None: they are computed.

        Raises:
            UserError: The corpus, target or fold cannot be made.
        """
        parts = (*self._labels(cfg), *_text(cfg, "store"))
        with_fold = ("fingerprint", *parts, *_text(cfg, "fold", "fit_on"))
        corpus = self._cached(with_fold, lambda: self._fingerprint(cfg))
        return run_key.digest(run_options(cfg, corpus, self.signature(cfg), options))

    def signature(self, cfg: DictConfig) -> str:
        """Return the signature of the features of a configuration, as returned by the store.

        Raises:
            UserError: The corpus or its features cannot be found.
        """
        key = ("features", *self._labels(cfg), *_text(cfg, "store", "features"))
        return self._cached(key, lambda: self._signature(cfg))

    def fold(self, cfg: DictConfig) -> Fold:
        """Return the fold of a configuration, as far as it does not depend on its features.

        Raises:
            UserError: The corpus, target or fold cannot be made.
        """

        def make() -> Fold:
            corpus, target = self._corpus(cfg)
            fold: Fold = build(cfg.fold)(corpus.table, target.strata)
            require_feasible(cfg, corpus, target, fold)
            return fold

        options = _text(cfg, "fold", "model", "representation")
        return self._cached(("fold", *self._labels(cfg), *options), make)

    def fold_count(self, cfg: DictConfig) -> int:
        """Return the number of folds of the partition of a configuration.

        Raises:
            UserError: The corpus, target or fold cannot be made.
        """

        def count() -> int:
            corpus, target = self._corpus(cfg)
            fold: Fold = build(cfg.fold)(corpus.table, target.strata)
            return fold.count

        return self._cached(("count", *self._labels(cfg), *_text(cfg, "fold")), count)

    def _labels(self, cfg: DictConfig) -> tuple[str, ...]:
        return _text(cfg, "corpus", "target", "skip_faulty")

    def _signature(self, cfg: DictConfig) -> str:
        extractor: FeatureSource = build(cfg.features)
        store: Store = build(cfg.store)
        return store.signature(self._corpus(cfg)[0].table, extractor)

    def _fingerprint(self, cfg: DictConfig) -> str:
        corpus, target = self._corpus(cfg)
        fold = self.fold(cfg)
        beyond = fold.beyond(cfg.fit_on, corpus.table)
        return fingerprint(corpus, target, fold, beyond, self._contents(cfg))

    def _corpus(self, cfg: DictConfig) -> tuple[Corpus, Target]:
        return self._cached(("corpus", *self._labels(cfg)), lambda: labelled_corpus(cfg))

    def _contents(self, cfg: DictConfig) -> pd.Series:
        def read() -> pd.Series:
            store: Store = build(cfg.store)
            return store.contents(self._corpus(cfg)[0].table)

        return self._cached(("contents", *self._labels(cfg), *_text(cfg, "store")), read)

    def _cached(self, key: tuple[str, ...], make: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


def _text(cfg: DictConfig, *keys: str) -> tuple[str, ...]:
    """Return parts of a configuration, resolved, as text."""
    nodes = [cfg[key] for key in keys]
    return tuple(
        str(OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node)
        for node in nodes
    )
