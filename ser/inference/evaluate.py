"""Test finished runs on a corpus that they were not trained on: `python -m ser evaluate`.

Cross-corpus tests are harder than tests within a corpus: speakers, rooms, often languages and the
definition of the emotions differ. The results are written to `evaluated/<corpus>/` in the folder of
each run, and reports show them beside the run's own test.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from ser import console
from ser.config import build, choices, run_key
from ser.config.checks import check
from ser.config.compose import compose_all
from ser.corpora import Corpus, audio
from ser.data.fingerprint import labelled_corpus
from ser.data.targets import Target
from ser.errors import UserError
from ser.features import Features
from ser.features.store import Store, files_of
from ser.inference import flags
from ser.inference.loading import FRAMES, UTTERANCES, Recogniser, load
from ser.inference.speech import measure_speech
from ser.results import EvaluationFolder, RunFolder, predictions, split_scores, utterances

# A rule such as `rounded`, or thresholds such as `[2.5,3.5]`.
BINS = r"[a-z]+|\[[-+.\deE]+(,[-+.\deE]+)*\]"


@dataclass
class OtherCorpus:
    """A corpus that runs are tested on and were not trained on.

    Args:
        corpus: The corpus.
        target: All of its classes.
        store: Store of features.
        contents: Digest of the audio by utterance id.
        recordings: Digest of the samples of its file by utterance id.
        skip_faulty: Whether utterances that cannot be extracted are left out.
    """

    corpus: Corpus
    target: Target
    store: Store
    contents: pd.Series
    recordings: pd.Series
    skip_faulty: bool
    _features: dict[str, Features] = field(default_factory=dict)
    _speech: dict[str, bool] = field(default_factory=dict)

    @classmethod
    def read(cls, cfg: DictConfig) -> "OtherCorpus":
        """Read the corpus and target of a configuration.

        Raises:
            UserError: The corpus cannot be read, or has no such target.
        """
        corpus, target = labelled_corpus(cfg)
        store: Store = build(cfg.store)
        table = corpus.table.loc[target.labels.index]
        contents, recordings = store.contents(table), store.recordings(table)
        return cls(corpus, target, store, contents, recordings, cfg.skip_faulty)

    def features(self, recogniser: Recogniser) -> Features:
        """Return features of all labelled utterances for a run; runs share an extraction."""
        extractor = recogniser.extractor
        if extractor.signature not in self._features:
            table = self.corpus.table.loc[self.target.labels.index]
            self._features[extractor.signature] = self.store.load(
                table, extractor, in_memory=True, skip=self.skip_faulty
            )
        return self._features[extractor.signature]

    def contains_speech(self, ids: pd.Index) -> np.ndarray:
        """Return whether utterances contain enough speech, (N,); measured once for all runs."""
        unknown = ids.difference(pd.Index(list(self._speech)))
        with ThreadPoolExecutor(joblib.cpu_count()) as pool:
            self._speech |= zip(unknown, pool.map(self._contains_speech, unknown), strict=True)
        return np.array([self._speech[utterance] for utterance in ids])

    def _contains_speech(self, utterance: str) -> bool:
        row: Any = self.corpus.table.loc[utterance]
        return measure_speech(*audio.read(row["file"], row["start"], row["end"])).is_enough


def evaluate(run: Path, overrides: Sequence[str]) -> int:
    """Test finished runs on another corpus, and print their scores.

    Args:
        run: Folder of a finished run, or of many of the same target.
        overrides: As for train.py, e.g. ["corpus=ravdess", "corpus.root=..."]. The target is that
            of the run, with all emotions of the corpus.

    Raises:
        UserError: A run or the corpus cannot be used, the run was trained on audio of the corpus,
            or the corpus has none of the run's classes.
    """
    runs = RunFolder.all_finished(run)
    first = load(runs[0].path)
    cfg = _compose(first, overrides)
    check(cfg)
    # One run at a time: the runs of a whole table would not fit into memory.
    others = (load(each.path) for each in runs[1:])
    evaluations = _evaluate_all(chain([first], others), cfg, brief=len(runs) > 1)
    if len(evaluations) > 1:
        scores = [each["test"]["ua"] for each in evaluations]
        print(
            f"{len(evaluations)} runs on {evaluations[0]['corpus']}: "
            f"mean UA {100 * np.mean(scores):.1f}%, "
            f"from {100 * min(scores):.1f}% to {100 * max(scores):.1f}%\n"
            f"python -m ser report {run} shows them beside the runs' own tests"
        )
    return 0


def evaluate_run(cfg: DictConfig, folder: RunFolder, *, brief: bool) -> None:
    """Test a finished run on the `test_corpus` of its configuration.

    Args:
        cfg: Configuration of the run.
        folder: Folder of the run.
        brief: Print the result in one line.
    """
    _evaluate_all([load(folder.path)], _with_test_corpus(cfg), brief=brief)


def require_test_corpus(cfg: DictConfig) -> None:
    """Check, before a run is trained, that its `test_corpus` can be read and has the target.

    Raises:
        UserError: It cannot, or has not.
    """
    labelled_corpus(_with_test_corpus(cfg))


def _with_test_corpus(cfg: DictConfig) -> DictConfig:
    """Return a run's configuration with `test_corpus` as its corpus, and all emotions of it."""
    other = OmegaConf.create(OmegaConf.to_container(cfg))
    assert isinstance(other, DictConfig)
    other.corpus = OmegaConf.to_container(cfg.test_corpus.corpus)
    other.corpus.root = cfg.test_corpus.root
    if "classes" in other.target:
        other.target.classes = None
        other.target.merge = OmegaConf.to_container(cfg.test_corpus.merge, resolve=True)
        other.target.min_agreement = 0  # the other corpus may have no raters
    other.target.styles = None
    other.target.labelled_fraction = 1.0  # concerns training alone
    return other


def _compose(recogniser: Recogniser, overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of a corpus with the target of a run.

    Raises:
        UserError: It cannot be composed, or has another target.
    """
    name, bins = recogniser.target
    # They come from the files of the run, and become part of a command line.
    if name not in choices("target") or not (bins is None or re.fullmatch(BINS, bins)):
        raise UserError(f"{recogniser.folder.path}: conf/target/ has no {name} ({bins})")
    defaults = {"target": name, "target.bins": bins} if bins else {"target.classes": "null"}
    given = {text.partition("=")[0]: text.partition("=")[2] for text in overrides}
    target = given.get("target", name)
    # A run on all emotional speech may be tested on scripted speech alone, for example.
    if target != name and (bins or not target.startswith("emotion")):
        raise UserError(f"{recogniser}: cannot be tested on target={target}")
    inherited = [f"{key}={value}" for key, value in defaults.items() if key not in given]
    configs = compose_all([*inherited, *overrides])
    if len(configs) > 1:
        raise UserError("give one corpus at a time")
    return configs[0]


def _evaluate_all(
    recognisers: Iterable[Recogniser], cfg: DictConfig, *, brief: bool
) -> list[dict[str, Any]]:
    """Test runs of one target on the corpus of a configuration."""
    torch.set_num_threads(1)
    with threadpool_limits(1):  # sums depend on the number of threads
        other = OtherCorpus.read(cfg)
        evaluations = []
        first = None
        for recogniser in recognisers:
            first = first or recogniser
            first.require_same_classes(recogniser)
            evaluations.append(_evaluate(recogniser, other, brief=brief))
        return evaluations


def _evaluate(recogniser: Recogniser, other: OtherCorpus, *, brief: bool) -> dict[str, Any]:
    """Test one run on another corpus, unless the same evaluation exists."""
    folder = recogniser.folder.evaluation(other.corpus.name)
    _require_untrained(recogniser, other)
    features = other.features(recogniser)
    labels = other.target.only(features.utterances).labels
    labels = labels[labels.isin(recogniser.classes)]
    if labels.empty:
        raise UserError(
            f"{recogniser}: {other.corpus.name} has only {', '.join(other.target.classes)}. Say "
            "which class corresponds to which, e.g. "
            f"'target.merge={{{other.target.classes[0]}: {recogniser.classes[0]}}}'"
        )
    remarks = list(_remarks(recogniser, other, features, labels))
    key = _key(recogniser, other, labels, remarks)
    evaluation = folder.read_record()
    if evaluation is None or evaluation.get("run_key") != key:
        folder.record_file.unlink(missing_ok=True)
        tested = _test(recogniser, other, features, labels, folder)
        remarks += _remarks_on_flags(recogniser, tested)
        evaluation = {**tested, "remarks": remarks, "run_key": key}
        folder.write_record(evaluation)
    console.evaluated(folder.path, evaluation, brief=brief)
    return evaluation


def _require_untrained(recogniser: Recogniser, other: OtherCorpus) -> None:
    """Raise a UserError if the run was fitted or selected on audio of the other corpus."""
    trained = [
        utterance
        for utterance, content in other.contents.items()
        if not recogniser.training_audio.isdisjoint(
            {*files_of([content]), other.recordings.get(utterance, "")}
        )
    ]
    if trained:
        raise UserError(
            f"{recogniser.folder.path}: fitted or selected on {len(trained)} of the "
            f"{len(other.contents)} utterances of {other.corpus.name}, e.g. {trained[0]}; test it "
            "on audio that it was not trained on"
        )


def _key(
    recogniser: Recogniser, other: OtherCorpus, labels: pd.Series, remarks: Sequence[str]
) -> str:
    """Return a hash of the run, its features, and every utterance's audio, label and speaker."""
    speakers = other.corpus.table["speaker"].loc[labels.index]
    rows = zip(labels.index, labels, speakers, other.contents.loc[labels.index], strict=True)
    return run_key.digest(
        {
            "run": recogniser.result["run_key"],
            "features": recogniser.extractor.signature,
            "rows": [list(row) for row in rows],
            "remarks": list(remarks),  # these name the utterances left out
        }
    )


def _test(
    recogniser: Recogniser,
    other: OtherCorpus,
    features: Features,
    labels: pd.Series,
    folder: EvaluationFolder,
) -> dict[str, Any]:
    """Predict, write the tables of the evaluation, and return its scores."""
    table = other.corpus.table
    probabilities, distances = predict_utterances(
        recogniser, features, labels.index, table["speaker"]
    )
    predicted = predictions("test", labels, probabilities, recogniser.classes)
    folder.write_predictions(predicted)
    folder.write_utterances(utterances({"test": labels.index}, table))
    run = recogniser.result
    counts = {name: int((labels == name).sum()) for name in recogniser.classes}
    return {
        **{key: run[key] for key in ("system", "fold_index", "fold_count", "seed", "classes")},
        "corpus": other.corpus.name,
        "class_counts": {"train": run["class_counts"]["train"], "test": counts},
        "test": split_scores(predicted, "test", recogniser.classes),
        # Shares of the utterances.
        "unlike_training": None if distances is None else float((distances > 1).mean()),
        "no_speech": float((~other.contains_speech(labels.index)).mean()),
    }


def _remarks_on_flags(recogniser: Recogniser, tested: Mapping[str, Any]) -> Iterator[str]:
    """Yield the remarks on what is no speech, or unlike the training data."""
    corpus, total = tested["corpus"], sum(tested["class_counts"]["test"].values())
    if silent := round(tested["no_speech"] * total):
        yield flags.no_speech(silent, total, f"utterances of {corpus}")
    share, by_speaker = tested["unlike_training"], recogniser.by_speaker
    if share is not None and (remark := flags.corpus_remark(share, corpus, by_speaker=by_speaker)):
        yield remark


def _remarks(
    recogniser: Recogniser, other: OtherCorpus, features: Features, labels: pd.Series
) -> Iterator[str]:
    """Yield the remarks that are printed beside the scores."""
    if other.corpus.synthetic:
        yield f"tested on synthetic speech ({other.corpus.name}): scores say nothing about people"
    yield from (f"of its training: {remark}" for remark in recogniser.result["remarks"])
    yield from other.target.remarks
    if recogniser.by_speaker:
        yield "transductive: features are standardised with unlabelled test-speaker data"
    absent = [name for name in recogniser.classes if name not in set(labels)]
    if absent:
        yield (
            f"{other.corpus.name} has no utterances of {', '.join(absent)}: predicting it is "
            "always wrong"
        )
    unknown = other.target.labels[~other.target.labels.isin(recogniser.classes)].value_counts()
    if len(unknown):
        counts = ", ".join(f"{name} ({count})" for name, count in unknown.sort_index().items())
        yield f"left out of {other.corpus.name}, because training has no such class: {counts}"
    if faulty := len(other.target.labels) - len(features.utterances):
        yield f"{faulty} faulty utterance(s) of {other.corpus.name} left out"


def predict_utterances(
    recogniser: Recogniser, features: Features, ids: pd.Index, speakers: pd.Series
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return class probabilities of utterances, (N, C), and distances from the training data.

    The distances are (N,), or None if the run has no range of its training data.

    Args:
        recogniser: A finished run.
        features: Features of these utterances, and possibly of others.
        ids: N utterance ids.
        speakers: Speaker by utterance id. If the run standardises by speaker, the utterances of
            each speaker are predicted together.

    Raises:
        UserError: The run standardises by speaker, and a speaker has a single utterance.
    """
    numbers = features.utterances.get_indexer(ids)
    if features.offsets is None:
        arrays = list(features.values[numbers])
    else:
        arrays = [features.values[slice(*features.offsets[n : n + 2])] for n in numbers]
    groups = list(_chunks([1 if a.ndim == 1 else len(a) for a in arrays], arrays[0].ndim == 1))
    if recogniser.by_speaker:
        by_speaker = pd.Series(np.arange(len(ids))).groupby(speakers.loc[ids].to_numpy())
        single = [str(name) for name, group in by_speaker if len(group) == 1]
        if single:
            raise UserError(
                f"{recogniser.folder.path}: standardises by speaker, and there is only one "
                f"utterance of {', '.join(single[:5])}: leave these speakers out"
            )
        groups = [group.to_numpy() for _, group in by_speaker]
    probabilities = np.empty((len(ids), len(recogniser.classes)))
    distances = None if recogniser.training_range is None else np.empty(len(ids))
    for group in groups:
        inputs = [arrays[n] for n in group]
        probabilities[group] = recogniser(inputs, one_speaker=recogniser.by_speaker)
        if distances is not None:
            distances[group] = recogniser.distances(inputs, one_speaker=recogniser.by_speaker)
    return probabilities, distances


def _chunks(lengths: Sequence[int], are_utterances: bool) -> Iterator[np.ndarray]:
    """Yield the numbers of utterances that are best predicted together."""
    size = UTTERANCES if are_utterances else FRAMES
    numbers = (np.cumsum(lengths) - 1) // size
    bounds = [0, *np.flatnonzero(np.diff(numbers)) + 1, len(lengths)]
    yield from (np.arange(*bound) for bound in pairwise(bounds))
