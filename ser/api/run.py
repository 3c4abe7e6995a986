"""Finished runs: their results, and predictions of new recordings."""

from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pandas as pd

from ser.api.signals import File, naming, read_signal
from ser.console import system
from ser.errors import UserError
from ser.results import RunFolder

# torch is imported by the first prediction only, because results can be read without it.
if TYPE_CHECKING:
    from omegaconf import DictConfig

    from ser.inference.loading import Recogniser


class Run:
    """A finished run, or several of the same classes or value, whose predictions are averaged.

    Made by `ser.load` and `ser.train`. The models are loaded by the first prediction and kept.

    Attributes:
        folder: Folder of the run, or the one that contains several.
        runs: The runs one by one; of a single run, the run itself.
    """

    def __init__(self, folder: Path, results: Sequence[tuple[RunFolder, dict[str, Any]]]) -> None:
        self.folder = folder
        self._results = results

    @cached_property
    def runs(self) -> "list[Run]":
        if len(self._results) == 1:
            return [self]
        return [Run(folder.path, [(folder, result)]) for folder, result in self._results]

    # ---- results

    @property
    def result(self) -> dict[str, Any]:
        """Content of `result.json`: scores, classes, speakers of each split, library versions, ...

        Raises:
            UserError: There are several runs.
        """
        return self._single()[1]

    @property
    def scores(self) -> dict[str, Any]:
        """Scores on the test split, or on validation if there is none: `ua`, `wa`, `f1`, ...

        Where the target is a value, these are `ccc`, `pearson`, `rmse` and `mae`.

        Raises:
            UserError: There are several runs; `ser.read_runs` has their scores.
        """
        result = self.result
        return result["test"] or result["val"]

    @cached_property
    def config(self) -> "DictConfig":
        """Configuration, as composed from `conf/` and resolved.

        Raises:
            UserError: There are several runs.
        """
        return self._single()[0].require_config()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their probabilities; none: a value is predicted."""
        return tuple(self._results[0][1]["classes"])

    @property
    def remarks(self) -> tuple[str, ...]:
        """What weakens the scores and must be shown with them."""
        return tuple(dict.fromkeys(r for _, result in self._results for r in result["remarks"]))

    # ---- predictions

    @overload  # mypy: a string is a sequence of strings, too, and is meant by the first one
    def predict(  # type: ignore[overload-overlap]
        self, audio: File | np.ndarray, rate: int | None = None
    ) -> dict[str, Any] | float: ...

    @overload
    def predict(
        self,
        audio: Sequence[File],
        *,
        window: float | None = None,
        hop: float | None = None,
        one_speaker: bool = False,
        workers: int | None = None,
    ) -> pd.DataFrame: ...

    def predict(
        self,
        audio: File | np.ndarray | Sequence[File],
        rate: int | None = None,
        *,
        window: float | None = None,
        hop: float | None = None,
        one_speaker: bool = False,
        workers: int | None = None,
    ) -> dict[str, Any] | float | pd.DataFrame:
        """Predict one recording, or many.

        Probabilities and values are those of `python -m ser predict`.

        Args:
            audio: One recording: a file, or samples (N,) or (N, channels) as soundfile and scipy
                return them. Or a list of files, and of folders that are searched for recordings.
            rate: Sampling rate of the samples in Hz.
            window: Of a list: predict windows of so many seconds.
            hop: Seconds between the starts of two windows; None: the length of a window.
            one_speaker: Whether all recordings of a list are of one speaker, which runs with
                `data.standardise=speaker` need.
            workers: Recordings of a list that are processed in parallel; None: one per core.

        Returns:
            Of one recording, the probability of each class, or a float where the target is a value;
            of several tasks a dict of these. Of a list, a table with a row per recording or window:
            `file, start, end, prediction, p_<class>..., calibrated, speech, speech_share,
            unlike_training, distance, reason`; of values without `p_<class>` and `calibrated`. What
            cannot be predicted is a row with a `reason`.

        Raises:
            UserError: A run or an option cannot be used, or the one recording cannot be predicted.
        """
        from ser.inference.predict import check_options, one_thread

        if isinstance(audio, str | PathLike | np.ndarray):
            if (window, hop, workers, one_speaker) != (None, None, None, False):
                raise UserError("window, hop, one_speaker, workers: of a list, predict([...], ...)")
            with one_thread():
                return self._predict_one(audio, rate)
        files = list(audio)
        if rate is not None or not all(isinstance(each, str | PathLike) for each in files):
            raise UserError("expected a file, a numpy array with its rate, or a list of files")
        check_options(window, hop, workers)
        with one_thread():
            return self._predict_many(
                [Path(file).expanduser() for file in files],
                window=window,
                hop=hop,
                one_speaker=one_speaker,
                workers=workers,
            )

    def _predict_one(self, source: File | np.ndarray, rate: int | None) -> dict[str, Any] | float:
        from ser.inference.predict import predict_signal
        from ser.inference.recordings import require_utterance

        if not isinstance(source, np.ndarray):
            require_utterance(Path(source).expanduser())
        signal, rate = read_signal(source, rate)
        with naming(source):
            predicted = predict_signal(self._recognisers, signal, rate)
        return self._recognisers[0].kind.plain(predicted)

    def _predict_many(self, paths: Sequence[Path], **options: Any) -> pd.DataFrame:
        from ser.inference.output import table_of
        from ser.inference.predict import predict_files

        predicted = predict_files(self._recognisers, paths, **options)
        return table_of(predicted, self._recognisers).infer_objects()

    @cached_property
    def _recognisers(self) -> "list[Recogniser]":
        from ser.inference.loading import load_runs

        return load_runs([folder for folder, _ in self._results])

    def _single(self) -> tuple[RunFolder, dict[str, Any]]:
        if len(self._results) > 1:
            raise UserError(
                f"{self.folder}: {len(self._results)} runs; `runs` has them one by one, and "
                "ser.read_runs their scores"
            )
        return self._results[0]

    def __repr__(self) -> str:
        count = len(self._results)
        what = system(self._results[0][1]) if count == 1 else f"{count} runs"
        predicted = ", ".join(_predicted(self._results[0][1]))
        return f"<Run {self.folder}: {what}; {predicted}>"


def _predicted(result: dict[str, Any]) -> list[str]:
    """Return the names of the classes, or of the tasks and values."""
    if tasks := result.get("tasks"):
        return [f"{name} ({', '.join(classes) or 'value'})" for name, classes in tasks.items()]
    return result["classes"] or [f"values of {result['system']['target']}"]


def load(run: File) -> Run:
    """Load a finished run, or all finished runs below a folder, such as all folds and seeds.

    Nothing in the folder is executed or unpickled, so that it can come from somebody else.

    Args:
        run: Folder of a run, or a folder that contains several.

    Raises:
        UserError: There is no finished run, or one cannot be read.
    """
    folder = Path(run).expanduser()
    results = [(each, each.require_result()) for each in RunFolder.all_finished(folder)]
    for each, result in results:
        if _predicted(result) != _predicted(results[0][1]):
            raise UserError(
                f"{results[0][0].path} and {each.path} predict different classes or values: give a "
                "folder of runs that predict the same ones"
            )
    return Run(folder, results)
