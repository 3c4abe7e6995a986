"""Load a finished run as a function from features to probabilities or values, without a corpus.

Everything is loaded as data: weights by torch (`weights_only`), arrays by numpy, scikit-learn
objects by skops. Of a configuration only what `ser.config.stored` allows is built, so that a folder
from somebody else can be used.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, ListConfig, OmegaConf

from ser.config import build, run_key
from ser.data.batches import Task
from ser.data.segments import Segments, each_alone
from ser.data.standardise import per_speaker
from ser.errors import UserError
from ser.features import Extractor, FeatureSource, PrecomputedFeatures
from ser.features.encoder import Encoder
from ser.features.encoder_files import require_same_weights
from ser.inference import artifacts
from ser.inference.classify import EstimatorClassifier, NetworkClassifier
from ser.inference.kinds import Kind, kind_of
from ser.inference.training_range import TrainingRange
from ser.representations import Fitted, Fitting
from ser.results import RunFolder
from ser.sweeps.status import print_left_out
from ser.training.calibration import rescaled
from ser.training.checkpoints import load_weights
from ser.training.phased import PhasedModel

log = logging.getLogger(__name__)

# Rows of features that are best predicted together: utterances, or frames.
UTTERANCES, FRAMES = 256, 1 << 16


@dataclass(frozen=True)
class Recogniser:
    """A finished run as a function of features.

    Args:
        folder: Folder of the run.
        result: Content of `result.json`.
        target: Name of the target and, for binned attributes, the rule or thresholds.
        classes: Names of the C classes, in the order of the probabilities; none: a value.
        source: Extractor of the features, or files that they are read from.
        training_audio: Digests of the audio files that the run was fitted or selected on.
        by_speaker: Whether features are first standardised by their speaker's own statistics.
        fitted: Representation whose codes are classified; None: features are.
        segments: Partial that cuts frames into the segments that the representation sees.
        classify: Classifier of utterances (N, K), or of frames (sum of T, K) with their offsets
            (N + 1,); returns (N, C) probabilities, or (N, 1) values.
        training_range: Range of the training data; None: the run was made before it was saved.
    """

    folder: RunFolder
    result: dict[str, Any]
    target: tuple[str, str | None]
    classes: tuple[str, ...]
    source: FeatureSource
    training_audio: frozenset[str]
    by_speaker: bool
    fitted: Fitted | None
    segments: Callable[..., Segments]
    classify: NetworkClassifier | EstimatorClassifier
    training_range: TrainingRange | None

    def __call__(self, arrays: Sequence[np.ndarray], *, one_speaker: bool = False) -> np.ndarray:
        """Return class probabilities (N, C), or values (N, 1), as float.

        Args:
            arrays: Features of N utterances, (D,) or (T, F) each, as returned by the extractor.
            one_speaker: Whether these are all utterances of one speaker.

        Raises:
            UserError: The run standardises by speaker, and the utterances are not one speaker's.
        """
        values, offsets = self._inputs(arrays, one_speaker)
        if self.fitted is not None and offsets is None:
            values = self.fitted.transform(values)
        elif self.fitted is not None:
            segments = self.segments(values, offsets, np.arange(len(arrays)), False)
            values = self.fitted.transform(segments)
            offsets = None if self.fitted.pools else segments.offsets
        predicted = self.classify(values, offsets)
        if "temperature" in self.result:
            return rescaled(predicted, self.result["temperature"])
        return predicted

    def distances(
        self, arrays: Sequence[np.ndarray], *, one_speaker: bool = False
    ) -> np.ndarray | None:
        """Return distances from the training data, (N,); None: the run has no `training_range`.

        Args and errors are those of a call.
        """
        if self.training_range is None:
            return None
        return self.training_range.distances(*self._inputs(arrays, one_speaker))

    @property
    def extractor(self) -> Extractor:
        """Extractor of the features.

        Raises:
            UserError: They are read from files.
        """
        if isinstance(self.source, PrecomputedFeatures):
            raise _no_extractor(self.folder)
        return self.source

    @property
    def kind(self) -> Kind:
        """What the run predicts."""
        return kind_of(self.result)

    @property
    def learns_shares(self) -> bool:
        """Whether it was trained and is scored by the shares of raters."""
        return self.folder.require_config().target.get("labels") == "distribution"

    @property
    def is_uncalibrated(self) -> bool:
        """Whether it predicts probabilities that no temperature has scaled."""
        return self.kind.has_probabilities and not self.is_calibrated

    @property
    def is_calibrated(self) -> bool:
        """Whether the probabilities were scaled by a temperature fitted on held-out speech."""
        if isinstance(self.classify, EstimatorClassifier):
            return self.classify.is_calibrated
        return "temperature" in self.result

    def _inputs(
        self, arrays: Sequence[np.ndarray], one_speaker: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return features in one array, standardised by speaker if the run is, and offsets."""
        self.require_speaker(one_speaker)
        has_frames = self.source.level != "utterance"
        values = np.concatenate(arrays) if has_frames else np.stack(arrays)
        offsets = np.cumsum([0, *map(len, arrays)]) if has_frames else None
        if self.by_speaker:
            if len(values) < 2:
                raise UserError(
                    f"{self.folder.path}: standardises by speaker, which needs two utterances or "
                    "more"
                )
            values = per_speaker(values, pd.Series("speaker", index=range(len(values))))
        return values, offsets

    def __str__(self) -> str:
        _, bins = self.target
        binned = f", bins {bins}" if bins else ""
        return f"{self.folder.path} (predicts {self.kind}{binned})"

    def require_same_classes(self, other: "Recogniser") -> None:
        """Raise a UserError unless another run predicts the same classes, value or tasks."""
        if (self.target, self.kind) != (other.target, other.kind):
            raise UserError(
                f"{self} and {other} differ: give a folder of runs that predict the same classes "
                "or the same value"
            )

    def require_speaker(self, one_speaker: bool) -> None:
        """Raise a UserError if the run needs all utterances of a speaker, and these may not be."""
        if self.by_speaker and not one_speaker:
            raise UserError(
                f"{self.folder.path}: standardises by speaker (data.standardise=speaker); give all "
                "recordings of one speaker, and add --one-speaker"
            )


def load(folder: Path, *, features_root: str | None = None) -> Recogniser:
    """Load a finished run.

    Args:
        folder: Folder of the run.
        features_root: Files with features of the speech to be predicted, for a run whose features
            were read from files.

    Raises:
        UserError: There is no finished run, a file that prediction needs is missing, the model
            needs the true class, or `features_root` is missing or of no use.
    """
    run = RunFolder(folder)
    result = run.require_result()
    cfg = run.require_config()
    with run.readable():
        return _load(run, _with_order(result, cfg), cfg, features_root)


def _with_order(result: dict[str, Any], cfg: DictConfig) -> dict[str, Any]:
    """Return a result whose tasks are in the order of the outputs; the file sorts their names."""
    if "tasks" not in result:
        return result
    tasks = result["tasks"]
    if sorted(tasks) != sorted(cfg.target.get("names", ())):
        raise ValueError("result.json and config.yaml differ in their tasks")
    return {**result, "tasks": {name: tasks[name] for name in cfg.target.names}}


def _load(
    run: RunFolder, result: dict[str, Any], cfg: DictConfig, features_root: str | None
) -> Recogniser:
    folder, saved = run.path, artifacts.read(run, result)
    if run_key.reading(cfg) == "oracle":
        raise UserError(
            f"{folder}: codes are conditioned on the true class, which is unknown for new speech"
        )
    source = _source(run, cfg, saved, features_root)
    if run_key.chooses_layer(cfg):
        assert isinstance(source, Encoder)  # see `ser.config.combinations`
        source = replace(source, layer=result["layer"])
    # A classifier trained on samples of a representation, or initialised with its weights, takes
    # features.
    has_codes = cfg.representation is not None and cfg.train_on == "real"
    has_codes &= cfg.transfer == "codes"
    classes = tuple(result["classes"])
    return Recogniser(
        folder=run,
        result=result,
        target=_target(result, cfg),
        classes=classes,
        source=source,
        training_audio=saved.training_audio,
        by_speaker=cfg.data.standardise == "speaker",
        fitted=load_representation(run, cfg, len(classes)) if has_codes else None,
        segments=build(cfg.segments),
        classify=_classifier(run, cfg, saved, len(classes), has_codes),
        training_range=TrainingRange.load(run),
    )


def _source(
    run: RunFolder, cfg: DictConfig, saved: artifacts.Artifacts, root: str | None
) -> FeatureSource:
    """Return the extractor of a run, or other files of the features that it was trained on."""
    if "root" not in cfg.features:
        if root is not None:
            raise UserError(
                f"features.root={root}: the features of {run.path} are extracted from audio"
            )
        source: FeatureSource = build(cfg.features)
    elif root is None:
        raise _no_extractor(run)
    else:
        source = build(OmegaConf.create({**cfg.features, "root": root}))
    if source.signature == saved.signature:
        return source
    if root is not None:
        raise UserError(
            f"features.root={root}: these are other features ({source.signature}) than those that "
            f"{run.path} was trained on ({saved.signature})"
        )
    require_same_weights(source.signature, saved.signature, run.path)
    log.warning(
        "%s: trained on features with signature %s; the installed extractor has %s",
        run.path,
        saved.signature,
        source.signature,
    )
    return source


def _no_extractor(run: RunFolder) -> UserError:
    return UserError(
        f"{run.path}: features were read from files, not extracted from audio: `python -m ser "
        "evaluate` tests the run on labelled speech whose features features.root=... has"
    )


def _target(result: dict[str, Any], cfg: DictConfig) -> tuple[str, str | None]:
    """Return the name of the target, or of its only task, and its bins as an option has them."""
    names, bins = cfg.target.get("names", ()), cfg.target.get("bins")
    thresholds = f"[{','.join(map(str, bins))}]" if isinstance(bins, ListConfig) else bins
    return names[0] if len(names) == 1 else result["system"]["target"], thresholds


def load_all(folder: Path) -> list[Recogniser]:
    """Load a finished run, or all finished runs below a folder, e.g. all folds and seeds.

    Of several runs, those that cannot be loaded are left out and named.

    Raises:
        UserError: None can be loaded, or they do not predict the same classes or value.
    """
    return load_runs(RunFolder.all_finished(folder))


def load_runs(runs: Sequence[RunFolder]) -> list[Recogniser]:
    """Load finished runs, as `load_all`."""
    recognisers: list[Recogniser] = []
    reasons = []
    for run in runs:
        try:
            recognisers.append(load(run.path))
        except UserError as error:
            reasons.append(error)
            continue
        recognisers[0].require_same_classes(recognisers[-1])
    if reasons and not recognisers:
        raise reasons[0]
    print_left_out([str(reason) for reason in reasons])
    return recognisers


def load_network(cfg: DictConfig, task: Task, file: Path) -> PhasedModel:
    """Load a network with the weights of a checkpoint, in evaluation mode."""
    model = build(cfg.model)(task)
    load_weights(model, file)
    return model.eval()


def load_representation(folder: RunFolder, cfg: DictConfig, classes: int) -> Fitted:
    """Load the fitted representation of a run.

    Args:
        folder: Folder of the run.
        cfg: Configuration of the run, with a representation.
        classes: Number of classes of its target; 0: a value.
    """
    trainer = build(cfg.trainer)
    count = max(1, classes)  # as in training
    fitting = Fitting(trainer, cfg.seed, count, folder.path, run_key.result_options(cfg))
    return build(cfg.representation)(fitting).load(folder.representation)


def _classifier(
    folder: RunFolder, cfg: DictConfig, saved: artifacts.Artifacts, classes: int, has_codes: bool
) -> NetworkClassifier | EstimatorClassifier:
    if folder.best_estimator.exists():
        from ser.models import estimator  # a network does not need scikit-learn

        return EstimatorClassifier(estimator.load(folder.best_estimator))
    segments = None
    if run_key.classifies_segments(cfg):
        segments = each_alone if has_codes else build(cfg.segments)
    return NetworkClassifier(
        load_network(cfg, saved.task(classes), folder.best_network),
        artifacts.standardiser(folder),
        cfg.data.max_frames,
        cfg.data.batch_size,
        segments,
    )
