"""Finished runs tested on a corpus that they were not made on: `python -m ser evaluate`.

What is trained on one corpus and tested on another is the harder and the more telling test: other
speakers, another room, often another language and another idea of what an emotion is. It leaves,
in the folder of each run, `evaluated/<corpus>/` with predictions that a report sets beside those of
the run's own test.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from ser import console, results
from ser.config import build, run_key
from ser.config.checks import check
from ser.config.compose import compose_all
from ser.corpora import Corpus
from ser.data.fingerprint import labelled_corpus
from ser.data.targets import Target
from ser.errors import UserError
from ser.features import Features
from ser.features.store import Store, files_of
from ser.inference.loading import FRAMES, UTTERANCES, Recogniser, finished, load


@dataclass
class Other:
    """A corpus that runs are tested on and were not made on.

    Attributes:
        corpus: of it.
        target: all of its classes.
        store: of features.
        contents: what each utterance's audio is, by utterance id.
        skip: leave out what cannot be extracted.
    """

    corpus: Corpus
    target: Target
    store: Store
    contents: pd.Series
    skip: bool
    _features: dict[str, Features] = field(default_factory=dict)

    @classmethod
    def of(cls, cfg: DictConfig) -> "Other":
        """The corpus and target of a config.

        Raises:
            UserError: it cannot be read, or has no such target.
        """
        corpus, target = labelled_corpus(cfg)
        store: Store = build(cfg.store)
        contents = store.contents(corpus.table.loc[target.labels.index])
        return cls(corpus, target, store, contents, cfg.skip_faulty)

    def features(self, recogniser: Recogniser) -> Features:
        """Of all labelled utterances, as the recogniser takes them; extracted once for all runs."""
        extractor = recogniser.extractor
        if extractor.signature not in self._features:
            table = self.corpus.table.loc[self.target.labels.index]
            found = self.store.load(table, extractor, in_memory=True, skip=self.skip)
            self._features[extractor.signature] = found
        return self._features[extractor.signature]


def evaluate(run: Path, overrides: Sequence[str]) -> int:
    """Tests finished runs on another corpus, and tells their scores.

    Args:
        run: folder of a finished run, or of many of one target.
        overrides: as for train.py, e.g. ["corpus=ravdess", "corpus.root=..."]; the target is the
            run's, and all of the corpus' emotions are looked at.

    Raises:
        UserError: a run or a corpus that cannot be, one that the run has heard, or one without
            any of the run's classes.
    """
    runs = finished(run)
    first = load(runs[0])
    cfg = _composed(first, overrides)
    check(cfg)
    # One at a time: those of a whole table would not fit into memory.
    found = _all(chain([first], map(load, runs[1:])), cfg, brief=len(runs) > 1)
    if len(found) > 1:
        scores = [each["test"]["ua"] for each in found]
        print(
            f"{len(found)} runs on {found[0]['corpus']}: mean UA {100 * np.mean(scores):.1f}%, "
            f"from {100 * min(scores):.1f}% to {100 * max(scores):.1f}%\n"
            f"python -m ser report {run} sets them beside the runs' own tests"
        )
    return 0


def after(cfg: DictConfig, folder: Path, *, brief: bool) -> None:
    """Tests a finished run on its config's `test_corpus`.

    Args:
        cfg: of the run.
        folder: of the run.
        brief: tell the result in one line.
    """
    _all([load(folder)], elsewhere(cfg), brief=brief)


def elsewhere(cfg: DictConfig) -> DictConfig:
    """A run's config with its `test_corpus` in the corpus' place, all emotions of it looked at."""
    found = OmegaConf.create(OmegaConf.to_container(cfg))
    assert isinstance(found, DictConfig)
    found.corpus = OmegaConf.to_container(cfg.test_corpus.corpus)
    found.corpus.root = cfg.test_corpus.root
    if "classes" in found.target:
        found.target.classes = None
        found.target.merge = OmegaConf.to_container(cfg.test_corpus.merge, resolve=True)
        found.target.min_agreement = 0  # the other corpus need not have raters
    found.target.styles = None
    found.target.labelled_fraction = 1.0  # is of training
    return found


def _composed(recogniser: Recogniser, overrides: Sequence[str]) -> DictConfig:
    """The config of a corpus, with the recogniser's target.

    Raises:
        UserError: they cannot be composed, or have another target.
    """
    name, bins = recogniser.target
    usual = {"target": name, "target.bins": bins} if bins else {"target.classes": "null"}
    given = {text.partition("=")[0]: text.partition("=")[2] for text in overrides}
    other = given.get("target", name)
    # An emotion run may be tested on scripted speech alone, say.
    if other != name and (bins or not other.startswith("emotion")):
        raise UserError(f"{recogniser}: target={other} cannot test it")
    asked = [f"{key}={value}" for key, value in usual.items() if key not in given]
    found = compose_all([*asked, *overrides])
    if len(found) > 1:
        raise UserError("one corpus at a time")
    return found[0]


def _all(
    recognisers: Iterable[Recogniser], cfg: DictConfig, *, brief: bool
) -> list[dict[str, Any]]:
    """Runs of one target tested on the corpus of a config."""
    torch.set_num_threads(1)
    with threadpool_limits(1):  # several threads would sum in an order of their own
        other, found = Other.of(cfg), []
        first = None
        for recogniser in recognisers:
            first = first or recogniser
            first.require_alike(recogniser)
            found.append(_evaluated(recogniser, other, brief=brief))
        return found


def _evaluated(recogniser: Recogniser, other: Other, *, brief: bool) -> dict[str, Any]:
    """One run's test on another corpus, unless the same was made before."""
    folder = recogniser.folder / results.EVALUATED / other.corpus.name
    _require_unheard(recogniser, other)
    features = other.features(recogniser)
    labels = other.target.only(features.utterances).labels
    labels = labels[labels.isin(recogniser.classes)]
    if labels.empty:
        raise UserError(
            f"{recogniser}, and {other.corpus.name} has "
            f"{', '.join(other.target.classes)}: name what is meant by which, e.g. "
            f"'target.merge={{{other.target.classes[0]}: {recogniser.classes[0]}}}'"
        )
    remarks = list(_remarks(recogniser, other, features, labels))
    hash_ = _hash(recogniser, other, labels, remarks)
    found = results.read_json(folder / results.EVALUATION)
    if found is None or found["config_hash"] != hash_:
        (folder / results.EVALUATION).unlink(missing_ok=True)
        found = {
            **_test(recogniser, other, features, labels, folder),
            "remarks": remarks,
            "config_hash": hash_,
        }
        results.write_json(folder / results.EVALUATION, found)
    console.evaluated(folder, found, brief=brief)
    return found


def _require_unheard(recogniser: Recogniser, other: Other) -> None:
    """No file of the other corpus may be among those that the run was fitted or chosen on."""
    if recogniser.heard is None:
        raise UserError(
            f"{recogniser.folder} does not tell what it has heard: it was made by an earlier "
            "version; force=true trains it again"
        )
    contents, known = other.contents.items(), recogniser.heard
    heard = [each for each, name in contents if not known.isdisjoint(files_of([name]))]
    if heard:
        raise UserError(
            f"{recogniser.folder} was fitted or chosen on {len(heard)} of the "
            f"{len(other.contents)} utterances of {other.corpus.name}, e.g. {heard[0]}: only "
            "speech that it has not heard can test it"
        )


def _hash(recogniser: Recogniser, other: Other, labels: pd.Series, remarks: Sequence[str]) -> str:
    """Changes whenever the run, its features, or an utterance's audio, label or speaker does."""
    speakers = other.corpus.table["speaker"].loc[labels.index]
    rows = zip(labels.index, labels, speakers, other.contents.loc[labels.index], strict=True)
    return run_key.digest(
        {
            "run": recogniser.result["config_hash"],
            "features": recogniser.extractor.signature,
            "rows": [list(row) for row in rows],
            "remarks": list(remarks),  # which tell of those left out
        }
    )


def _test(
    recogniser: Recogniser,
    other: Other,
    features: Features,
    labels: pd.Series,
    folder: Path,
) -> dict[str, Any]:
    """Predicts, and writes what `evaluated/<corpus>/` holds beside what is returned."""
    table = other.corpus.table
    told = probabilities(recogniser, features, labels.index, table["speaker"])
    predictions = results.predictions("test", labels, told, recogniser.classes)
    results.write_predictions(folder, predictions)
    results.write_utterances(folder, results.utterances({"test": labels.index}, table))
    run = recogniser.result
    counts = {name: int((labels == name).sum()) for name in recogniser.classes}
    return {
        **{key: run[key] for key in ("system", "fold_index", "fold_count", "seed", "classes")},
        "corpus": other.corpus.name,
        "class_counts": {"train": run["class_counts"]["train"], "test": counts},
        "test": results.part_scores(predictions, "test", recogniser.classes),
    }


def _remarks(
    recogniser: Recogniser, other: Other, features: Features, labels: pd.Series
) -> Iterator[str]:
    """What must stand beside the scores."""
    if other.corpus.synthetic:
        yield f"tested on synthetic speech ({other.corpus.name}): says nothing about people"
    yield from (f"of its training: {remark}" for remark in recogniser.result["remarks"])
    yield from other.target.remarks
    if recogniser.by_speaker:
        yield "transductive: standardised by unlabelled test-speaker data"
    absent = [name for name in recogniser.classes if name not in set(labels)]
    if absent:
        told = ", ".join(absent)
        yield f"{other.corpus.name} has no counterpart of {told}: to tell it is always wrong"
    beyond = other.target.labels[~other.target.labels.isin(recogniser.classes)].value_counts()
    if len(beyond):
        told = ", ".join(f"{name} ({count})" for name, count in beyond.sort_index().items())
        yield f"left out of {other.corpus.name}, as training has no counterpart: {told}"
    if faulty := len(other.target.labels) - len(features.utterances):
        yield f"{faulty} faulty utterance(s) of {other.corpus.name} left out"


def probabilities(
    recogniser: Recogniser, features: Features, ids: pd.Index, speakers: pd.Series
) -> np.ndarray:
    """Class probabilities of some utterances, (N, C).

    Args:
        recogniser: a run.
        features: of these utterances, and maybe of others.
        ids: N utterance ids.
        speakers: speaker by utterance id; a run that standardises by speaker is handed all
            utterances of one at a time.

    Raises:
        UserError: it does, and of one there is a single utterance.
    """
    numbers = features.utterances.get_indexer(ids)
    if features.offsets is None:
        arrays = list(features.values[numbers])
    else:
        arrays = [features.values[slice(*features.offsets[n : n + 2])] for n in numbers]
    groups = list(_pieces([1 if a.ndim == 1 else len(a) for a in arrays], arrays[0].ndim == 1))
    if recogniser.by_speaker:
        of_speakers = pd.Series(np.arange(len(ids))).groupby(speakers.loc[ids].to_numpy())
        alone = [str(name) for name, group in of_speakers if len(group) == 1]
        if alone:
            raise UserError(
                f"{recogniser.folder} standardises by speaker, and of {', '.join(alone[:5])} there "
                "is one utterance: leave out who has no more"
            )
        groups = [group.to_numpy() for _, group in of_speakers]
    found = np.empty((len(ids), len(recogniser.classes)))
    for group in groups:
        found[group] = recogniser([arrays[n] for n in group], one_speaker=recogniser.by_speaker)
    return found


def _pieces(lengths: Sequence[int], are_utterances: bool) -> Iterator[np.ndarray]:
    """Numbers of as many utterances as are best handed over at a time."""
    most = UTTERANCES if are_utterances else FRAMES
    numbers = (np.cumsum(lengths) - 1) // most
    bounds = [0, *np.flatnonzero(np.diff(numbers)) + 1, len(lengths)]
    yield from (np.arange(*bound) for bound in pairwise(bounds))
