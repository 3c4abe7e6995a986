"""Test finished runs on another corpus, or on corrupted audio: `python -m ser evaluate`.

Cross-corpus tests are harder than tests within a corpus: speakers, rooms, often languages and the
definition of the emotions differ. The results are written to `evaluated/<corpus>/` in the folder of
each run, and reports show them beside the run's own test.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import torch
from omegaconf import DictConfig, OmegaConf
from threadpoolctl import threadpool_limits

from ser import console
from ser.config import choices
from ser.config.checks import check
from ser.config.compose import compose_all, value_of
from ser.config.run_key import predicts_values
from ser.data.fingerprint import labelled_corpus
from ser.data.targets.tasks import TaskName
from ser.errors import UserError
from ser.inference import corrupt_option
from ser.inference.evaluation_corpus import EvaluationCorpus
from ser.inference.kinds import OneTask
from ser.inference.loading import Recogniser, load
from ser.inference.robustness import OwnTests, Speech, measure_robustness
from ser.inference.scoring import folder_of, score
from ser.inference.soft_labels import DISTRIBUTION
from ser.inference.summary import print_range
from ser.results import RunFolder

FEATURES_ROOT, LABELS = "features.root=", "target.labels="
# A rule such as `rounded`, or thresholds such as `[2.5,3.5]`.
BINS = r"[a-z]+|\[[-+.\deE]+(,[-+.\deE]+)*\]"


def evaluate(run: Path, overrides: Sequence[str], corrupt: str | None = None) -> int:
    """Test finished runs on another corpus or on corrupted audio, and print their scores.

    Args:
        run: Folder of a finished run, or of many of the same target.
        overrides: As for train.py, e.g. ["corpus=ravdess", "corpus.root=..."]. The target is that
            of the run, with all emotions of the corpus; `features.root` is for runs on features
            that were read from files.
        corrupt: Corruptions of the audio, e.g. "noise:10dB,phone"; without a corpus, that of each
            run's own test split. None: the audio as it is.

    Raises:
        UserError: A run or the corpus cannot be used, the run was trained on audio of the corpus,
            or the corpus has none of the run's classes.
    """
    conditions = corrupt_option.conditions(corrupt) if corrupt is not None else []
    has_corpus = any(each.startswith("corpus=") for each in overrides)
    if not has_corpus and not conditions:
        raise UserError("give a corpus to test on (corpus=...), or --corrupt")
    runs = RunFolder.all_finished(run)
    root = next((value_of(each) for each in overrides if each.startswith(FEATURES_ROOT)), None)
    # One run at a time: the runs of a whole table would not fit into memory.
    loaded = (load(each.path, features_root=root) for each in runs)
    if not has_corpus:
        with _one_thread():
            measure_robustness(run, loaded, OwnTests(overrides), conditions)
        return 0
    first = next(loaded)
    cfg = _compose(first, [each for each in overrides if not each.startswith(FEATURES_ROOT)])
    check(cfg)
    recognisers = chain([first], loaded)
    speech = _Other(cfg, labels_given=any(each.startswith(LABELS) for each in overrides))
    if conditions:
        with _one_thread():
            measure_robustness(run, recognisers, speech, conditions)
        return 0
    evaluations = _evaluate_all(recognisers, speech, brief=len(runs) > 1)
    if len(evaluations) > 1:
        print_range(run, evaluations)
    return 0


def evaluate_run(cfg: DictConfig, folder: RunFolder, *, brief: bool) -> None:
    """Test a finished run on the `test_corpus` of its configuration.

    Args:
        cfg: Configuration of the run.
        folder: Folder of the run.
        brief: Print the result in one line.
    """
    speech = _Other(_with_test_corpus(cfg), labels_given=False)
    _evaluate_all([load(folder.path)], speech, brief=brief)


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
    if "min_agreement" in other.target:
        other.target.min_agreement = 0  # the other corpus may have no raters
    if "labels" in other.target:
        default = "mean" if "bins" in other.target else "corpus"
        other.target.labels = None if "names" in other.target else default
        other.target.weights = None
    other.target.styles = None
    other.target.labelled_fraction = 1.0  # concerns training alone
    return other


def _compose(recogniser: Recogniser, overrides: Sequence[str]) -> DictConfig:
    """Compose the configuration of a corpus with the target of a run.

    Raises:
        UserError: It cannot be composed, or has another target.
    """
    name, bins = recogniser.target
    tasks = [] if isinstance(recogniser.kind, OneTask) else _task_names(recogniser)
    # They come from the files of the run, and become part of a command line.
    if name not in choices("target") or not (bins is None or re.fullmatch(BINS, bins)):
        raise UserError(f"{recogniser.folder.path}: conf/target/ has no {name} ({bins})")
    is_attribute = bins is not None or not recogniser.classes
    defaults = {"target.classes": "null"}
    if is_attribute:
        defaults = {"target": name, "target.bins": bins or "null"}
    if tasks:
        defaults |= {"target.names": f"[{','.join(tasks)}]", "target.classes": "null"}
    given = {text.partition("=")[0]: text.partition("=")[2] for text in overrides}
    target = given.get("target", name)
    # A run on all emotional speech may be tested on scripted speech alone, for example.
    if target != name and (is_attribute or not target.startswith("emotion")):
        some = f": target.names=[{target}] tests this task alone" if target in tasks else ""
        raise UserError(f"{recogniser}: cannot be tested on target={target}{some}")
    inherited = [f"{key}={value}" for key, value in defaults.items() if key not in given]
    configs = compose_all([*inherited, *overrides])
    if len(configs) > 1:
        raise UserError("give one corpus at a time")
    _require_target(recogniser, configs[0], tasks)
    return configs[0]


def _task_names(recogniser: Recogniser) -> list[str]:
    """Return the names of several tasks.

    Raises:
        UserError: The run has others than its version of the program knows.
    """
    names = [task.target for task in recogniser.kind.tasks]
    if not set(names) <= set(get_args(TaskName)):
        raise UserError(f"{recogniser.folder.path}: conf/target/ has no {', '.join(names)}")
    return names


def _require_target(recogniser: Recogniser, cfg: DictConfig, tasks: Sequence[str]) -> None:
    """Raise a UserError unless a run predicts what a configuration labels.

    Args:
        recogniser: The run.
        cfg: Configuration of the corpus.
        tasks: Tasks of the run, if it has several.
    """
    if tasks and not set(cfg.target.names) <= set(tasks):
        raise UserError(
            f"{recogniser}: cannot be tested on target.names={list(cfg.target.names)}; choose some "
            f"of {', '.join(tasks)}"
        )
    if tasks:
        named = [task for task in recogniser.kind.tasks if task.target in cfg.target.names]
        is_value = any(not task.names for task in named)
    else:
        is_value = not recogniser.classes
    if predicts_values(cfg) != is_value:
        raise UserError(f"{recogniser}: cannot be tested on target.bins={cfg.target.bins}")


class _Other:
    """The corpus of a configuration, labelled as a run is scored; each labelling is read once.

    Args:
        cfg: Configuration of the corpus and its target.
        labels_given: Whether its `target.labels` holds for all runs. Otherwise, runs that learn
            shares of raters are scored by them.
    """

    def __init__(self, cfg: DictConfig, *, labels_given: bool) -> None:
        self._cfg, self._labels_given = cfg, labels_given
        self._read: dict[bool, EvaluationCorpus] = {}

    def __call__(self, recogniser: Recogniser) -> EvaluationCorpus:
        as_shares = recogniser.learns_shares
        if self._labels_given:
            as_shares = self._cfg.target.labels == DISTRIBUTION
        if as_shares not in self._read:
            self._read[as_shares] = EvaluationCorpus.read(
                self._cfg, recogniser.kind, as_shares=as_shares
            )
        return self._read[as_shares]


def _evaluate_all(
    recognisers: Iterable[Recogniser], speech: Speech, *, brief: bool
) -> list[dict[str, Any]]:
    """Test runs of one target on another corpus."""
    with _one_thread():
        evaluations = []
        first = None
        for recogniser in recognisers:
            first = first or recogniser
            first.require_same_classes(recogniser)
            other = speech(recogniser)
            evaluations.append(score(recogniser, other))
            folder = folder_of(recogniser, other).path
            console.evaluated(folder, evaluations[-1], brief=brief)
        return evaluations


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute with one thread, because sums depend on the number of threads."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
