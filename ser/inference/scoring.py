"""Scores of a finished run on a corpus that it was not trained on."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ser.config import run_key
from ser.errors import UserError
from ser.features import Features
from ser.features.store import files_of
from ser.inference import flags
from ser.inference.corrupt_option import Condition
from ser.inference.evaluation_corpus import EvaluationCorpus
from ser.inference.loading import FRAMES, UTTERANCES, Recogniser
from ser.inference.tested import Tested
from ser.results import EvaluationFolder, utterances


def score(
    recogniser: Recogniser, corpus: EvaluationCorpus, condition: Condition | None = None
) -> dict[str, Any]:
    """Test one run on speech that it was not trained on, unless the same evaluation exists.

    Args:
        recogniser: A finished run.
        corpus: The speech.
        condition: How it is corrupted; None: it is not.

    Returns:
        Content of `evaluation.json`.

    Raises:
        UserError: The run was trained on audio of the corpus, or the corpus has none of its
            classes.
    """
    folder = folder_of(recogniser, corpus, condition)
    if not corpus.is_own:
        _require_untrained(recogniser, corpus)
    features = corpus.features(recogniser, None if condition is None else condition.corruption)
    labels = _testable(recogniser, corpus, features)
    ids = labels.ids
    remarks = list(_remarks(recogniser, corpus, features, labels))
    key = _key(recogniser, corpus, labels, remarks, condition)
    evaluation = folder.read_record()
    if evaluation is None or evaluation.get("run_key") != key:
        folder.record_file.unlink(missing_ok=True)
        tested = _test(recogniser, corpus, features, labels, folder)
        if condition is None:
            tested["no_speech"] = float((~corpus.contains_speech(ids)).mean())
            remarks += _remarks_on_flags(recogniser, tested, len(ids))
        else:
            tested |= {"corruption": condition.name, "own_test": corpus.is_own}
        evaluation = {**tested, "remarks": remarks, "run_key": key}
        folder.write_record(evaluation)
    return evaluation


def _testable(recogniser: Recogniser, corpus: EvaluationCorpus, features: Features) -> Tested:
    """Return the labels of the utterances that have features and that the run can predict."""
    target = corpus.target.only(features.utterances)
    predicted = recogniser.folder.read_predictions()
    try:
        return Tested.of(recogniser.kind, corpus.corpus.name, target, predicted)
    except UserError as error:
        raise UserError(f"{recogniser}: {error}") from None


def folder_of(
    recogniser: Recogniser, corpus: EvaluationCorpus, condition: Condition | None = None
) -> EvaluationFolder:
    """Return the folder of the results of a run on some speech."""
    name = corpus.corpus.name
    if condition is None:
        return recogniser.folder.evaluation(name)
    return recogniser.folder.corrupted(name, condition.folder)


def _require_untrained(recogniser: Recogniser, corpus: EvaluationCorpus) -> None:
    """Raise a UserError if the run was fitted or selected on audio of the other corpus."""
    trained = [
        utterance
        for utterance, content in corpus.contents.items()
        if not recogniser.training_audio.isdisjoint(
            {*files_of([content]), corpus.recordings.get(utterance, "")}
        )
    ]
    if trained:
        raise UserError(
            f"{recogniser.folder.path}: fitted or selected on {len(trained)} of the "
            f"{len(corpus.contents)} utterances of {corpus.corpus.name}, e.g. {trained[0]}; test "
            "it on audio that it was not trained on"
        )


def _key(
    recogniser: Recogniser,
    corpus: EvaluationCorpus,
    labels: Tested,
    remarks: Sequence[str],
    condition: Condition | None,
) -> str:
    """Return a hash of the run, its features, and every utterance's audio, labels and speaker."""
    ids = labels.ids
    speakers = corpus.corpus.table["speaker"].loc[ids]
    rows = zip(ids, *labels.columns, speakers, corpus.contents.loc[ids], strict=True)
    corrupted = {} if condition is None else {"corruption": condition.corruption.signature}
    return run_key.digest(
        {
            **corrupted,
            **labels.facts,
            **labels.soft_facts(),
            "run": recogniser.result["run_key"],
            "features": corpus.store.signature(corpus.table, recogniser.source),
            "rows": [list(row) for row in rows],
            "remarks": list(remarks),  # these name the utterances left out
        }
    )


def _test(
    recogniser: Recogniser,
    corpus: EvaluationCorpus,
    features: Features,
    labels: Tested,
    folder: EvaluationFolder,
) -> dict[str, Any]:
    """Predict, write the tables of the evaluation, and return its scores."""
    table, ids = corpus.corpus.table, labels.ids
    rows, distances = predict_utterances(recogniser, features, ids, table["speaker"])
    predicted = labels.table(rows)
    folder.write_predictions(predicted)
    folder.write_utterances(utterances({"test": ids}, table))
    run = recogniser.result
    counts, raters = labels.counts(), labels.raters()
    return {
        **({} if raters is None else {"raters": raters}),
        **{key: run[key] for key in ("system", "fold_index", "fold_count", "seed", "classes")},
        **labels.facts,
        "corpus": corpus.corpus.name,
        "class_counts": {"train": run["class_counts"]["train"], "test": counts} if counts else {},
        "test": labels.scores(predicted),
        # Share of the utterances, like no_speech.
        "unlike_training": None if distances is None else float((distances > 1).mean()),
    }


def _remarks_on_flags(
    recogniser: Recogniser, tested: Mapping[str, Any], total: int
) -> Iterator[str]:
    """Yield the remarks on what is no speech, or unlike the training data."""
    corpus = tested["corpus"]
    if silent := round(tested["no_speech"] * total):
        yield flags.no_speech(silent, total, f"utterances of {corpus}")
    share, by_speaker = tested["unlike_training"], recogniser.by_speaker
    if share is not None and (remark := flags.corpus_remark(share, corpus, by_speaker=by_speaker)):
        yield remark


def _remarks(
    recogniser: Recogniser, corpus: EvaluationCorpus, features: Features, labels: Tested
) -> Iterator[str]:
    """Yield the remarks that are printed beside the scores."""
    if corpus.is_own:
        yield from recogniser.result["remarks"]
        return
    if corpus.corpus.synthetic:
        yield f"tested on synthetic speech ({corpus.corpus.name}): scores say nothing about people"
    yield from (f"of its training: {remark}" for remark in recogniser.result["remarks"])
    yield from corpus.target.remarks
    if recogniser.by_speaker:
        yield "transductive: features are standardised with unlabelled test-speaker data"
    yield from labels.remarks(corpus.corpus.name)
    if faulty := len(corpus.target.labels) - len(features.utterances):
        yield f"{faulty} faulty utterance(s) of {corpus.corpus.name} left out"


def predict_utterances(
    recogniser: Recogniser, features: Features, ids: pd.Index, speakers: pd.Series
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return predictions of utterances, (N, C), and their distances from the training data.

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
    rows = np.empty((len(ids), recogniser.kind.width))
    distances = None if recogniser.training_range is None else np.empty(len(ids))
    for group in groups:
        inputs = [arrays[n] for n in group]
        rows[group] = recogniser(inputs, one_speaker=recogniser.by_speaker)
        if distances is not None:
            distances[group] = recogniser.distances(inputs, one_speaker=recogniser.by_speaker)
    return rows, distances


def _chunks(lengths: Sequence[int], are_utterances: bool) -> Iterator[np.ndarray]:
    """Yield the numbers of utterances that are best predicted together."""
    size = UTTERANCES if are_utterances else FRAMES
    numbers = (np.cumsum(lengths) - 1) // size
    bounds = [0, *np.flatnonzero(np.diff(numbers)) + 1, len(lengths)]
    yield from (np.arange(*bound) for bound in pairwise(bounds))
