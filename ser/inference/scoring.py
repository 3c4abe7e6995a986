"""Scores of a finished run on a corpus that it was not trained on."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ser import console
from ser.config import run_key
from ser.errors import UserError
from ser.features import Features
from ser.features.store import files_of
from ser.inference import flags
from ser.inference.evaluation_corpus import EvaluationCorpus
from ser.inference.loading import FRAMES, UTTERANCES, Recogniser
from ser.results import EvaluationFolder, predictions, split_scores, utterances


def score(recogniser: Recogniser, other: EvaluationCorpus, *, brief: bool) -> dict[str, Any]:
    """Test one run on another corpus, unless the same evaluation exists, and print its scores.

    Args:
        recogniser: A finished run.
        other: The corpus.
        brief: Print them in one line.

    Returns:
        Content of `evaluation.json`.

    Raises:
        UserError: The run was trained on audio of the corpus, or the corpus has none of its
            classes.
    """
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


def _require_untrained(recogniser: Recogniser, other: EvaluationCorpus) -> None:
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
    recogniser: Recogniser, other: EvaluationCorpus, labels: pd.Series, remarks: Sequence[str]
) -> str:
    """Return a hash of the run, its features, and every utterance's audio, label and speaker."""
    speakers = other.corpus.table["speaker"].loc[labels.index]
    rows = zip(labels.index, labels, speakers, other.contents.loc[labels.index], strict=True)
    return run_key.digest(
        {
            "run": recogniser.result["run_key"],
            "features": other.store.signature(other.table, recogniser.source),
            "rows": [list(row) for row in rows],
            "remarks": list(remarks),  # these name the utterances left out
        }
    )


def _test(
    recogniser: Recogniser,
    other: EvaluationCorpus,
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
    recogniser: Recogniser, other: EvaluationCorpus, features: Features, labels: pd.Series
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
