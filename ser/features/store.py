"""The feature store, keyed by the content of the audio and the signature of the extractor.

    root/<signature>/<two digits>/<digest of the file>[-start-end]    features of one utterance
    root/<signature>/packed/<digest of the keys in it>                of many, memory-mapped
    root/digests.json                                                 digests of known files
    root/samples.json                                                 digests of their samples
    root/unfinished/                                                  files that are being written

Several processes can fill one store at the same time: each of them checks whether another one has
stored the features before it extracts them. Files are written atomically and verified when they
are read. A killed process loses only the utterances that it was extracting.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from ser.corpora import Problem
from ser.errors import UserError
from ser.features import (
    Features,
    FeatureSource,
    PrecomputedFeatures,
    entries,
    number_type,
    packed,
    stored,
)
from ser.features.extraction import (
    extract_and_store,
    is_stored,
    require_writable,
    temporary_folder,
    write_error,
)
from ser.features.items import Item, Items, digest_of, items_of, problems, with_failures
from ser.features.recordings import sample_digests

LISTED = 20  # failures that a message lists; the others are counted
ATTEMPTS = 3  # to load: as stored, after missing ones are extracted, after another process's change


@dataclass(frozen=True)
class FillReport:
    """What `Store.fill` did for one extractor.

    Attributes:
        signature: Of the extractor.
        extracted: Number of utterances that were extracted.
        present: Number of utterances that were already stored.
        failures: What could not be extracted and why, in the order of the table.
    """

    signature: str
    extracted: int
    present: int
    failures: tuple[Problem, ...]

    def __str__(self) -> str:
        return (
            f"{self.extracted} extracted, {self.present} already stored, "
            f"{len(self.failures)} failed: {self.signature}"
        )


class Store:
    """Features on disk.

    Args:
        root: Folder; created with the first entry.
        workers: Number of utterances that are extracted in parallel; None: as set by the active
            `joblib.parallel_config`, or else the number of CPUs. Such a config can also select
            processes or a cluster; the default is threads, because extractors release the GIL.
        console: For progress and reports; None: the standard error stream.
    """

    def __init__(
        self, root: Path | str, workers: int | None = None, console: Console | None = None
    ) -> None:
        self.root = Path(root).expanduser().absolute()
        self.workers = workers
        self.console = console or Console(stderr=True)
        self._temporary = temporary_folder(self.root)

    def fill(
        self, table: pd.DataFrame, sources: Sequence[FeatureSource], skip: bool = False
    ) -> tuple[FillReport, ...]:
        """Extract what is missing, truncated or altered, and print a report.

        An openSMILE pass gives functionals and descriptors. Both are stored, whichever is
        requested: for ComParE_2016 the descriptors take 26 KB per second of speech and save a pass.

        Args:
            table: Of a corpus, or some of its rows.
            sources: Extractors and precomputed features. Each signal is read once for all
                extractors.
            skip: Continue where something cannot be extracted.

        Returns:
            One report per source.

        Raises:
            UserError: Something cannot be extracted and `skip` is False (after everything else has
                been extracted), the store cannot be written, or the config of a source is wrong.
        """
        for source in sources:
            _ = source.columns  # raises for a wrong config before any work
        audio_items = self._items(table)
        work: dict[str, tuple[Item, list[FeatureSource]]] = {}
        plans = []
        for source in sources:
            is_precomputed = isinstance(source, PrecomputedFeatures)
            items = self._items(table, source) if is_precomputed else audio_items
            by_key = {item.key: item for item in items if isinstance(item, Item)}
            lacking = {key for key in by_key if not is_stored(str(self.root), source, key)}
            for key in lacking:
                work.setdefault(key, (by_key[key], []))[1].append(stored(source))
            plans.append((source, items, lacking))
        reasons = extract_and_store(self.root, list(work.values()), self.workers, self.console)
        reports = []
        for source, items, lacking in plans:
            results = with_failures(items, reasons.get(stored(source).signature, {}))
            extracted = sum(isinstance(each, Item) and each.key in lacking for each in results)
            failures = problems(results)
            present = len(items) - extracted - len(failures)
            reports.append(FillReport(source.signature, extracted, present, failures))
            self._print(str(reports[-1]))
        for report in reports:
            self._report_failures(report.failures, report.signature, len(items), skip)
        return tuple(reports)

    def load(
        self, table: pd.DataFrame, source: FeatureSource, in_memory: bool, skip: bool = False
    ) -> Features:
        """Load the features of a table's utterances in its order; extract missing ones.

        Memory-mapped features are in one packed file per list of utterances. So load the whole
        corpus and index it, rather than write another file for each fold.

        Args:
            table: Of a corpus.
            source: Of features of level "utterance" or "frame".
            in_memory: Read them into one array; False: map the packed file read-only; write it
                first where it is missing.
            skip: Leave out what cannot be extracted.

        Raises:
            UserError: Something is missing and cannot be extracted or written.
        """
        columns = source.columns
        items = self._items(table, source)
        gather = self._read if in_memory else self._map
        for _ in range(ATTEMPTS):
            if not skip:
                self._report_failures(problems(items), source.signature, len(items), skip)
            usable = [i for i, item in enumerate(items) if isinstance(item, Item)]
            parts = [item for item in items if isinstance(item, Item)]
            try:
                values, offsets = gather(source, [item.key for item in parts])
            except _MissingEntries as missing:
                kept = [stored(source)]
                work = {each.key: (each, kept) for each in parts if each.key in missing.keys}
                reasons = extract_and_store(
                    self.root, list(work.values()), self.workers, self.console
                )
                items = with_failures(items, reasons.get(kept[0].signature, {}))
                continue
            self._report_failures(problems(items), source.signature, len(items), skip)
            frames = None if source.level == "utterance" else offsets
            layers = getattr(source, "layers", ())
            return Features(table.index[usable], values, frames, columns, source.level, layers)
        raise UserError(f"another process keeps changing the store {self.root}")

    def contents(self, table: pd.DataFrame) -> pd.Series:
        """Return what identifies the audio of each utterance, by utterance id.

        Equal parts of equal files have equal values. Utterances whose audio cannot be read are left
        out.
        """
        items = zip(table.index, self._items(table), strict=True)
        keys = {utterance: item.key for utterance, item in items if isinstance(item, Item)}
        return pd.Series(keys, dtype=object)

    def recordings(self, table: pd.DataFrame) -> pd.Series:
        """Return what identifies the recording of each utterance, by utterance id.

        Equal samples have equal values, whatever file and container they are in. Utterances whose
        audio cannot be read are left out.
        """
        items = zip(table.index, self._items(table), strict=True)
        owners = {
            utterance: (item.key.partition("-")[0], item.file)
            for utterance, item in items
            if isinstance(item, Item)
        }
        known = sample_digests(dict(owners.values()), self.root / "samples.json", self._temporary)
        return pd.Series(
            {utterance: known[c] for utterance, (c, _) in owners.items() if c in known},
            dtype=object,
        )

    def signature(self, table: pd.DataFrame, source: FeatureSource) -> str:
        """Return what the features of a table's utterances depend on in addition to their audio.

        This is the extractor's signature. For precomputed features it includes a digest of all
        files that are read.
        """
        if not isinstance(source, PrecomputedFeatures):
            return source.signature
        items = zip(table.index, self._items(table, source), strict=True)
        lines = [f"{utterance} {item.key}" for utterance, item in items if isinstance(item, Item)]
        return f"{source.signature},{digest_of(lines)}"

    def _print(self, text: str) -> None:
        """Print a text without markup or line breaks, which would change paths."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _report_failures(
        self, failures: Sequence[Problem], signature: str, count: int, skip: bool
    ) -> None:
        """List failures: in an error, or on the console if they are skipped."""
        if not failures:
            return
        lines = [f"{len(failures)} of {count} utterances have no features ({signature}):"]
        lines += [f"  {failure}" for failure in failures[:LISTED]]
        lines += [f"  and {len(failures) - LISTED} more"] if len(failures) > LISTED else []
        listing = "\n".join(lines)
        if not skip:
            raise UserError(f"{listing}\nRepair these files, or leave them out: skip_faulty=true")
        self._print(listing)

    def _items(self, table: pd.DataFrame, source: FeatureSource | None = None) -> Items:
        return items_of(table, source, self.root / "digests.json", self._temporary)

    def _path(self, source: FeatureSource, key: str) -> str:
        return entries.path(str(self.root), stored(source).signature, key)

    def _read(self, source: FeatureSource, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Read entries into (sum of T, D) values and (N + 1,) offsets.

        Raises:
            _MissingEntries: Some entries cannot be read.
        """
        files = [self._path(source, key) for key in keys]
        counts = [_frames(file, source) or 0 for file in files]
        if missing := {key for key, count in zip(keys, counts, strict=True) if not count}:
            raise _MissingEntries(missing)
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        values = np.empty((offsets[-1], source.dim), np.float32)
        for key, file, begin, end in zip(keys, files, offsets[:-1], offsets[1:], strict=True):
            if not _read_entry(file, source, values[begin:end]):
                missing.add(key)
        if missing:
            raise _MissingEntries(missing)
        return values, offsets

    def _map(self, source: FeatureSource, keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Map a packed file as `_read` would read it; write it if it is missing or damaged."""
        file = str(self.root / source.signature / "packed" / digest_of(keys))
        kind = number_type(source)
        if result := packed.read(file, len(keys), source.dim, kind):
            return result
        purpose = (
            f"it has no packed file of these {len(keys)} utterances (in_memory=true needs none)"
        )
        require_writable(self.root, purpose)
        try:
            packed.write(file, self._arrays(source, keys), source.dim, kind, self._temporary)
        except OSError as error:
            raise write_error(self.root, error, "the packed file is not complete") from error
        if result := packed.read(file, len(keys), source.dim, kind):
            return result
        raise UserError(f"{file} was damaged while it was written; check the disk")

    def _arrays(self, source: FeatureSource, keys: Sequence[str]) -> Iterator[np.ndarray]:
        """Yield one (T, D) array per key.

        Raises:
            _MissingEntries: Some entries cannot be read; raised at the end, to name all of them.
        """
        missing = set()
        for key in keys:
            file = self._path(source, key)
            values = np.empty((_frames(file, source) or 0, source.dim), number_type(source))
            if not _read_entry(file, source, values):
                missing.add(key)
            elif not missing:
                yield values
        if missing:
            raise _MissingEntries(missing)


def files_of(contents: Iterable[str]) -> set[str]:
    """Return the digests of the files that contain some audio, as `Store.contents` names it."""
    return {content.partition("-")[0] for content in contents}


class _MissingEntries(Exception):
    """Some entries are absent, truncated or altered."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__(keys)
        self.keys = keys


def _frames(file: str, source: FeatureSource) -> int | None:
    """Return T of an entry; None: it is absent, or its size is wrong."""
    count = entries.rows(file, stored(source).dim, number_type(source))
    return None if source.level == "utterance" and count != 1 else count


def _read_entry(file: str, source: FeatureSource, out: np.ndarray) -> bool:
    """Read the columns of a source from an entry into (T, D); False: absent or damaged."""
    kept, kind = stored(source), number_type(source)
    if kept is source and out.dtype == kind:
        return entries.read(file, out)
    values = np.empty((len(out), kept.dim), kind)
    if not entries.read(file, values):
        return False
    out[:] = values[:, getattr(source, "stored_columns", slice(None))]
    return True
