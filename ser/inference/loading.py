"""What a finished run has learned, as a function of features: no corpus is needed.

The run's own parts are put together again, and make the run's own numbers. All of them are loaded
as data: weights by torch (`weights_only`), arrays by numpy, scikit-learn's objects by skops; and of
a config nothing is built that is not of this project's rooms for such things, so that a folder from
somebody else can be tried.
"""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from ser import results
from ser.config import build, run_key, targets
from ser.config.run_key import register_resolvers
from ser.data.batches import Task
from ser.data.segments import Segments, each_alone
from ser.data.standardise import Standardiser, per_speaker
from ser.errors import UserError
from ser.features import Extractor, Listener, Reader
from ser.inference.classify import OfEstimator, OfNetwork
from ser.inference.saving import FACTS, HEARD
from ser.representations import Fitted, Fitting
from ser.training.calibration import rescaled
from ser.training.phased import PhasedModel

log = logging.getLogger(__name__)

# Rows of features that one is best handed at a time: utterances, or frames.
UTTERANCES, FRAMES = 256, 1 << 16
# Where what a run's config names may come from, each a class or a partial call.
ROOMS = (
    *(f"ser.{room}." for room in ("features", "representations", "models", "networks", "training")),
    *("ser.data.segments.", "torch.optim."),
    *("sklearn.decomposition.", "sklearn.discriminant_analysis."),
)


@dataclass(frozen=True)
class Recogniser:
    """A finished run as a function of features.

    Attributes:
        folder: of the run.
        result: its `result.json`.
        target: what its classes are of: the target's name and, of attributes, the bins.
        classes: C names, in the order of the probabilities.
        extractor: of the features that it takes.
        heard: digests of the audio files that it was fitted or chosen on; None: a run of an
            earlier version does not tell.
        by_speaker: whether features are standardised by their speaker's own statistics first.
        fitted: the representation whose codes are classified; None: features are.
        cut: makes segments of frames, which a representation sees.
        classify: utterances (N, K), or frames (sum of T, K) with their offsets (N + 1,), to
            (N, C) class probabilities.
    """

    folder: Path
    result: dict[str, Any]
    target: tuple[str, str | None]
    classes: tuple[str, ...]
    extractor: Listener
    heard: frozenset[str] | None
    by_speaker: bool
    fitted: Fitted | None
    cut: Callable[..., Segments]
    classify: OfNetwork | OfEstimator

    def __call__(self, arrays: Sequence[np.ndarray], *, one_speaker: bool = False) -> np.ndarray:
        """Class probabilities, (N, C) float.

        Args:
            arrays: features of N utterances, (D,) or (T, F) each, as the extractor gives them.
            one_speaker: they are all that is known of one speaker.

        Raises:
            UserError: the run standardises by speaker, and these are not said to be one's.
        """
        self.require_speaker(one_speaker)
        frames = self.extractor.level != "utterance"
        values = np.concatenate(arrays) if frames else np.stack(arrays)
        offsets = np.cumsum([0, *map(len, arrays)]) if frames else None
        if self.by_speaker:
            if len(values) < 2:
                raise UserError(f"{self.folder} standardises by speaker, and here is one utterance")
            values = per_speaker(values, pd.Series("speaker", index=range(len(values))))
        if self.fitted is not None and offsets is None:
            values = self.fitted.transform(values)
        elif self.fitted is not None:
            segments = self.cut(values, offsets, np.arange(len(arrays)), False)
            values = self.fitted.transform(segments)
            offsets = None if self.fitted.pools else segments.offsets
        found = self.classify(values, offsets)
        if "temperature" in self.result:
            return rescaled(found, self.result["temperature"])
        return found

    def __str__(self) -> str:
        target, bins = self.target
        binned = f" ({bins})" if bins else ""
        return f"{self.folder} tells {target}{binned} as {', '.join(self.classes)}"

    def require_alike(self, other: "Recogniser") -> None:
        """Raises UserError if it does not tell the same classes of the same target as another."""
        if (self.target, self.classes) != (other.target, other.classes):
            raise UserError(
                f"{self}, but {other}: a folder of runs that tell the same classes of one target"
            )

    def require_speaker(self, one_speaker: bool) -> None:
        """Raises UserError if it needs all of one speaker's utterances, and these may not be."""
        if self.by_speaker and not one_speaker:
            raise UserError(
                f"{self.folder} standardises by speaker (data.standardise=speaker): give all "
                "recordings of one speaker, and say so by --one-speaker"
            )


def load(folder: Path) -> Recogniser:
    """A finished run as a function of features.

    Args:
        folder: of the run.

    Raises:
        UserError: no finished run, one made before runs kept what this needs, or one whose model
            must be told the true class.
    """
    result = results.read_json(folder / results.RESULT)
    if result is None:
        raise UserError(f"{folder} holds no finished run (no {results.RESULT})")
    facts = results.read_json(folder / "checkpoints" / FACTS)
    if facts is None:
        raise UserError(
            f"{folder} has no checkpoints/{FACTS}: it was made before runs kept what prediction "
            "needs; force=true trains it again"
        )
    register_resolvers()
    cfg = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(cfg, DictConfig)
    if run_key.reading(cfg) == "oracle":
        raise UserError(f"{folder}: its codes are made under the true class, which nobody knows")
    classes = tuple(result["classes"])
    extractor: Extractor = _part(cfg, "features")
    if isinstance(extractor, Reader):
        raise UserError(f"{folder}: its features were read from files, not made of sound")
    if extractor.signature != facts["features"]:
        log.warning(
            "%s was trained on features of %s; these are of %s",
            folder,
            facts["features"],
            extractor.signature,
        )
    # Of samples drawn from it the classifier has learned to take features.
    has_codes = cfg.representation is not None and cfg.train_on == "real"
    # Of one whose weights it began from it sees nothing more.
    has_codes &= cfg.transfer == "codes"
    return Recogniser(
        folder,
        result,
        (result["system"]["target"], cfg.target.get("bins")),
        classes,
        extractor,
        _heard(folder),
        cfg.data.standardise == "speaker",
        representation(folder, cfg, len(classes)) if has_codes else None,
        _part(cfg, "segments"),
        _classifier(folder, cfg, facts, len(classes), has_codes),
    )


def load_all(folder: Path) -> list[Recogniser]:
    """A finished run, or all that lie below a folder, sorted: e.g. those of every fold and seed.

    Raises:
        UserError: there is none, or they do not tell the same classes of the same target.
    """
    found: list[Recogniser] = []
    for run in finished(folder):
        found.append(load(run))
        found[0].require_alike(found[-1])
    return found


def finished(folder: Path) -> list[Path]:
    """The folder of a finished run, or those of all that lie below it, sorted.

    Raises:
        UserError: there is none.
    """
    runs = [folder]
    if not (folder / results.RESULT).exists():
        runs = sorted(file.parent for file in folder.rglob(results.RESULT))
    if not runs:
        raise UserError(f"{folder} holds no finished run (no {results.RESULT} at or below it)")
    return runs


def network(cfg: DictConfig, task: Task, file: Path) -> PhasedModel:
    """A model with the weights that a run has kept, in evaluation mode."""
    model = _part(cfg, "model")(task)
    model.load_state_dict(torch.load(file, weights_only=True)["weights"])
    return model.eval()


def representation(folder: Path, cfg: DictConfig, classes: int) -> Fitted:
    """The representation that a run has left in its folder.

    Args:
        folder: of the run.
        cfg: its config, which has one.
        classes: C of its target.
    """
    fitting = Fitting(_part(cfg, "trainer"), cfg.seed, classes, folder, run_key.identity(cfg))
    return _part(cfg, "representation")(fitting).load(folder / results.REPRESENTATION)


def _classifier(
    folder: Path, cfg: DictConfig, facts: Mapping[str, Any], classes: int, has_codes: bool
) -> OfNetwork | OfEstimator:
    kept = folder / "checkpoints"
    if (kept / "best.skops").exists():
        # Imported here: a network need not wait for scikit-learn.
        from ser.models import estimator

        return OfEstimator(estimator.load(kept / "best.skops"))
    # What kinds of features the columns are matters to the record of training alone.
    task = Task(facts["inputs"], classes, _tensor(facts["class_weights"]), {})
    task = replace(task, variants=_tensor(facts["variants"]))
    model = network(cfg, task, kept / "best.ckpt")
    cut = None
    if run_key.classifies_segments(cfg):
        cut = each_alone if has_codes else _part(cfg, "segments")
    return OfNetwork(model, Standardiser.load(kept), cfg.data.max_frames, cfg.data.batch_size, cut)


def _heard(folder: Path) -> frozenset[str] | None:
    file = folder / "checkpoints" / HEARD
    return frozenset(file.read_text().split()) if file.exists() else None


def _tensor(numbers: list[float] | None) -> torch.Tensor | None:
    return None if numbers is None else torch.tensor(numbers)


def is_of(rooms: tuple[str, ...], name: str) -> bool:
    """Whether what a config names is defined in some rooms; what these have imported is not."""
    return name.startswith(rooms) and f"{get_object(name).__module__}.".startswith(rooms)


def _part(cfg: DictConfig, key: str) -> Any:
    """Builds what one key of a config names.

    Raises:
        UserError: something in it is of another room, or would do more than build.
    """
    for path, node in targets(cfg[key], key):
        name = str(node._target_)
        if not is_of(ROOMS, name) or not (
            node.get("_partial_") or inspect.isclass(get_object(name))
        ):
            raise UserError(f"{path}._target_={name}: nothing that prediction builds")
    return build(cfg[key])
