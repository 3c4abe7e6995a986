"""Corpora and features without a run."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import PathLike, fspath
from typing import Any

import numpy as np
import pandas as pd
from joblib import cpu_count
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ser.api.signals import File, naming, read_signal
from ser.config import build
from ser.config.checks import check_part
from ser.config.compose import compose_run
from ser.corpora import Corpus
from ser.errors import UserError
from ser.features import Extractor, FeatureSource, PrecomputedFeatures
from ser.features.extraction import compute
from ser.features.store import Store


def read_corpus(name: str, /, root: File | None = None, **options: Any) -> Corpus:
    """Read a corpus.

    Args:
        name: As in `corpus=name`, e.g. "emodb".
        root: Its folder, or the file of a manifest; None: as configured, e.g. by the environment
            variable SER_EMODB_ROOT.
        options: Further options of the corpus, as in `conf/corpus/`.

    Returns:
        A corpus with `table`, a pandas frame with a row per utterance; `raters`; and `problems`,
        what could not be read.

    Raises:
        UserError: There is no such corpus or option, or the corpus is not at `root`.
    """
    given = options if root is None else {"root": root, **options}
    return build(_composed("corpus", name, given).corpus)


def extract(
    source: File | np.ndarray | Sequence[File] | Corpus,
    features: str = "functionals",
    rate: int | None = None,
    *,
    store: File | None = None,
    skip_faulty: bool = False,
    workers: int | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Compute features of recordings, or of all utterances of a corpus.

    Args:
        source: A file, samples (N,) or (N, channels) as soundfile and scipy return them, a list of
            files, or a corpus.
        features: As in `features=name`, e.g. "egemaps".
        rate: Sampling rate of the samples in Hz.
        store: Folder that keeps the features of a corpus; None: that of runs, `outputs/features`
            or the environment variable SER_STORE. Features of files are not kept.
        skip_faulty: Leave out utterances of a corpus that cannot be extracted, and report them.
        workers: Recordings that are processed in parallel; None: one per core.
        options: Options of the features, as in `conf/features/`.

    Returns:
        A float32 table with a column per feature. Utterance level: a row per recording, its index
        the file or the id of the utterance. Frame level: a row per frame; the index is the number
        of the frame, of several recordings together with the file or utterance.

    Raises:
        UserError: There are no such features or options, or features cannot be extracted.
    """
    cfg = _composed("features", features, options)
    extractor: FeatureSource = build(cfg.features)
    if isinstance(source, Corpus):
        given = {"root": store, "workers": workers}
        _set(cfg, "store", {key: value for key, value in given.items() if value is not None})
        check_part(cfg, "store")
        return _of_corpus(source, extractor, build(cfg.store), skip_faulty)
    if isinstance(extractor, PrecomputedFeatures):
        raise UserError(f"features={features}: read from files, not computed from audio")
    if isinstance(source, str | PathLike | np.ndarray):
        name = "signal" if isinstance(source, np.ndarray) else fspath(source)
        table = _of_files([name], [_of_recording(source, extractor, rate)], extractor)
        return table if extractor.level == "utterance" else table.droplevel("file")
    if rate is not None:
        raise UserError(f"rate={rate}: files have their own rate")
    with ThreadPoolExecutor(workers or cpu_count()) as pool:
        arrays = list(pool.map(partial(_of_recording, extractor=extractor), source))
    return _of_files([fspath(file) for file in source], arrays, extractor)


def _composed(group: str, name: str, options: Mapping[str, Any]) -> DictConfig:
    """Return a configuration with one choice of a group, and some of its options.

    Raises:
        UserError: There is no such choice, or an option is unknown or not valid.
    """
    cfg = compose_run([f"{group}={name}"])
    _set(cfg, group, options)
    check_part(cfg, group)
    return cfg


def _set(cfg: DictConfig, group: str, options: Mapping[str, Any]) -> None:
    """Set options of a group; a `Path` becomes text, as on the command line."""
    for key, value in options.items():
        try:
            plain = fspath(value) if isinstance(value, PathLike) else value
            OmegaConf.update(cfg, f"{group}.{key}", plain, force_add=True)
        except OmegaConfBaseException as error:
            raise UserError(f"{group}.{key}: {str(error).splitlines()[0]}") from error


def _of_recording(
    source: File | np.ndarray, extractor: Extractor, rate: int | None = None
) -> np.ndarray:
    """Return the features of one recording, (D,) or (T, D)."""
    signal, rate = read_signal(source, rate)
    with naming(source):
        values = compute([extractor], signal, rate)[extractor.signature]
        if isinstance(values, UserError):
            raise values
    return values


def _of_corpus(corpus: Corpus, source: FeatureSource, store: Store, skip: bool) -> pd.DataFrame:
    features = store.load(corpus.table, source, in_memory=True, skip=skip)
    index: pd.Index = features.utterances
    if features.offsets is not None:
        index = _frame_index(index, np.diff(features.offsets))
    return pd.DataFrame(features.values, index, list(features.columns))


def _of_files(
    files: Sequence[str], arrays: Sequence[np.ndarray], source: Extractor
) -> pd.DataFrame:
    index = pd.Index(files, name="file")
    if source.level == "utterance":
        return pd.DataFrame(np.stack(arrays), index, list(source.columns))
    index = _frame_index(index, list(map(len, arrays)))
    return pd.DataFrame(np.concatenate(arrays), index, list(source.columns))


def _frame_index(recordings: pd.Index, counts: Sequence[int] | np.ndarray) -> pd.MultiIndex:
    """Return an index of frames: the recording, and the number of the frame in it."""
    numbers = np.concatenate([np.arange(count) for count in counts])
    names = [recordings.name, "frame"]
    return pd.MultiIndex.from_arrays([recordings.repeat(counts), numbers], names=names)
