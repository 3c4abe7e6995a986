"""The store: what extractors made, kept under the audio's content and the extractor's signature.

    root/<signature>/<two digits>/<digest of the file>[-start-end]    one utterance
    root/<signature>/packed/<hash of the names it holds>              many, to be mapped
    root/digests.json                                                 digests of known files
    root/unfinished/                                                  files being written

Several processes may fill one store at once: each looks before it extracts whether another one has
been there, every file appears whole or not at all, and is checked when it is read. A killed
process loses the utterances in flight, and another one goes on.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from ser.corpora import Problem, audio
from ser.errors import UserError
from ser.features import Extractor, Features, Reader, entries, packed
from ser.features.digests import digests
from ser.features.extraction import Piece, extract, require_writable, unfinished, unwritable

LISTED = 20  # failures named in a message; further ones are counted


@dataclass(frozen=True)
class Filled:
    """What filling did for one extractor, in utterances.

    Attributes:
        signature: the extractor's.
        made: extracted now.
        found: there already.
        failures: what could not be extracted and why, in the table's order.
    """

    signature: str
    made: int
    found: int
    failures: tuple[Problem, ...]

    def __str__(self) -> str:
        counts = f"{self.made} made, {self.found} there already, {len(self.failures)} failed"
        return f"{counts}: {self.signature}"


class Store:
    """Features on disk.

    Args:
        root: folder, made when the first entry is written.
        workers: how many utterances are extracted at once; None: as many as there are CPUs, or
            as the active `joblib.parallel_config` says. That can also hand the work to processes
            or to a cluster; threads are used otherwise, as extractors release the interpreter.
        console: where progress is shown; None: the standard error stream.
    """

    def __init__(
        self, root: Path | str, workers: int | None = None, console: Console | None = None
    ) -> None:
        self.root = Path(root).expanduser().absolute()
        self.workers = workers
        self.console = console or Console(stderr=True)
        self._unfinished = unfinished(self.root)

    def fill(
        self, table: pd.DataFrame, extractors: Sequence[Extractor], skip: bool = False
    ) -> tuple[Filled, ...]:
        """Extract what is missing, cut short or altered, and report it on the console.

        An openSMILE pass gives functionals and descriptors, and both are kept, whichever was asked
        for: for ComParE_2016 the descriptors take 26 KB a second of speech and save a pass.

        Args:
            table: a corpus' table, or rows of it.
            extractors: each signal is read once for all that hear it.
            skip: go on where something cannot be extracted.

        Returns:
            One account an extractor.

        Raises:
            UserError: something cannot be extracted and `skip` is False (after all the rest has
                been), the store cannot be written, or an extractor's config is wrong.
        """
        for extractor in extractors:
            _ = extractor.columns  # a wrong config is told before any work
        heard = self._rows(table)
        work: dict[str, tuple[Piece, list[Extractor]]] = {}
        planned = []
        for e in extractors:
            rows = self._rows(table, e) if isinstance(e, Reader) else heard
            pieces = {row.name: row for row in rows if isinstance(row, Piece)}
            lacking = {n for n in pieces if not entries.intact(self._entry(e, n), e.dim)}
            for name in lacking:
                work.setdefault(name, (pieces[name], []))[1].append(e)
            planned.append((e.signature, rows, lacking))
        reasons = extract(self.root, list(work.values()), self.workers, self.console)
        accounts = []
        for signature, rows, lacking in planned:
            settled = _settled(rows, reasons.get(signature, {}))
            made = sum(isinstance(r, Piece) and r.name in lacking for r in settled)
            failures = _problems(settled)
            found = len(rows) - made - len(failures)
            accounts.append(Filled(signature, made, found, failures))
            self.console.print(str(accounts[-1]), markup=False, highlight=False, soft_wrap=True)
        for account in accounts:
            self._tell(account.failures, account.signature, len(rows), skip)
        return tuple(accounts)

    def load(
        self, table: pd.DataFrame, extractor: Extractor, in_memory: bool, skip: bool = False
    ) -> Features:
        """Features of the table's utterances in its order, extracted where they are missing.

        Mapped features lie in one packed file for each list of utterances. So load a whole corpus
        and take what a fold needs by index, rather than make another file for each fold.

        Args:
            table: a corpus' table.
            extractor: of level "utterance" or "frame".
            in_memory: read into one array; False: map the packed file read-only, making it first.
            skip: leave out what cannot be extracted.

        Raises:
            UserError: something is missing and cannot be extracted or written.
        """
        columns = extractor.columns
        rows = self._rows(table, extractor)
        gather = self._in_memory if in_memory else self._mapped
        for _ in range(3):  # at once; when what was lacking is made; when others altered it since
            if not skip:
                self._tell(_problems(rows), extractor.signature, len(rows), skip)
            kept = [i for i, row in enumerate(rows) if isinstance(row, Piece)]
            pieces = [row for row in rows if isinstance(row, Piece)]
            try:
                values, offsets = gather(extractor, [piece.name for piece in pieces])
            except _Lacking as lacking:
                work = {p.name: (p, [extractor]) for p in pieces if p.name in lacking.names}
                reasons = extract(self.root, list(work.values()), self.workers, self.console)
                rows = _settled(rows, reasons.get(extractor.signature, {}))
                continue
            self._tell(_problems(rows), extractor.signature, len(rows), skip)
            frames = None if extractor.level == "utterance" else offsets
            return Features(table.index[kept], values, frames, columns, extractor.level)
        raise UserError(f"the store {self.root} is being altered while it is read")

    def contents(self, table: pd.DataFrame) -> pd.Series:
        """What each utterance's audio is, by utterance id: equal for equal stretches of audio.

        Utterances whose audio cannot be read are left out.
        """
        rows = zip(table.index, self._rows(table), strict=True)
        return pd.Series({i: row.name for i, row in rows if isinstance(row, Piece)}, dtype=object)

    def signature(self, table: pd.DataFrame, extractor: Extractor) -> str:
        """What the features of a table's utterances depend on beside their audio.

        The extractor's signature; a reader's with a digest of all that it reads.
        """
        if not isinstance(extractor, Reader):
            return extractor.signature
        rows = zip(table.index, self._rows(table, extractor), strict=True)
        found = [f"{i} {row.name}" for i, row in rows if isinstance(row, Piece)]
        digest = hashlib.blake2b("\n".join(found).encode(), digest_size=16)
        return f"{extractor.signature},{digest.hexdigest()}"

    def _tell(self, failures: Sequence[Problem], signature: str, count: int, skip: bool) -> None:
        """Name what failed, if anything did: in an error, or on the console if it is skipped."""
        if not failures:
            return
        listing = _listing(failures, signature, count)
        if not skip:
            raise UserError(f"{listing}\nMend these files, or leave them out: skip_faulty=true")
        self.console.print(listing, markup=False, highlight=False, soft_wrap=True)

    def _rows(
        self, table: pd.DataFrame, extractor: Extractor | None = None
    ) -> list[Piece | Problem]:
        """For each row its stretch of audio, or of the file that is read, or why there is none."""
        files: list[str | Problem] = [os.path.abspath(file) for file in table["file"]]
        if isinstance(extractor, Reader):
            files = [_source(extractor, Path(str(file))) for file in files]
        named = [file for file in files if isinstance(file, str)]
        known = digests(named, self.root / "digests.json", self._unfinished)
        times = table[["start", "end"]].astype(float).to_numpy()
        rows: list[Piece | Problem] = []
        for file, (start, end) in zip(files, times.tolist(), strict=True):
            if isinstance(file, Problem):
                rows.append(file)
                continue
            digest = known[file]
            if isinstance(digest, audio.AudioError):
                rows.append(Problem(digest.file, None, digest.reason))
                continue
            whole = start != start and end != end  # both NaN
            rows.append(Piece(file, start, end, digest if whole else f"{digest}-{start}-{end}"))
        return rows

    def _entry(self, extractor: Extractor, name: str) -> str:
        return entries.place(str(self.root), extractor.signature, name)

    def _in_memory(
        self, extractor: Extractor, names: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """(sum of T, D) values and (N + 1,) offsets."""
        files = [self._entry(extractor, name) for name in names]
        counts = [_length(file, extractor) or 0 for file in files]
        if lacking := {name for name, count in zip(names, counts, strict=True) if not count}:
            raise _Lacking(lacking)
        offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        values = np.empty((offsets[-1], extractor.dim), np.float32)
        for name, file, begin, end in zip(names, files, offsets[:-1], offsets[1:], strict=True):
            if not entries.read(file, values[begin:end]):
                lacking.add(name)
        if lacking:
            raise _Lacking(lacking)
        return values, offsets

    def _mapped(self, extractor: Extractor, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """As `_in_memory`, in a packed file that is made if it is not there or not sound."""
        listed = hashlib.blake2b("\n".join(names).encode(), digest_size=16).hexdigest()
        file = str(self.root / extractor.signature / "packed" / listed)
        if result := packed.read(file, len(names), extractor.dim):
            return result
        need = f"a packed file of these {len(names)} utterances is not there (in memory needs none)"
        require_writable(self.root, need)
        try:
            packed.write(file, self._arrays(extractor, names), extractor.dim, self._unfinished)
        except OSError as error:
            raise unwritable(self.root, error, "while it was packed") from error
        if result := packed.read(file, len(names), extractor.dim):
            return result
        raise UserError(f"{file} was damaged while it was written: is the disk sound?")

    def _arrays(self, extractor: Extractor, names: Sequence[str]) -> Iterator[np.ndarray]:
        """One (T, D) array a name; raises `_Lacking` at the end, so that it names them all."""
        lacking = set()
        for name in names:
            file = self._entry(extractor, name)
            values = np.empty((_length(file, extractor) or 0, extractor.dim), np.float32)
            if not entries.read(file, values):
                lacking.add(name)
            elif not lacking:
                yield values
        if lacking:
            raise _Lacking(lacking)


def files_of(contents: Iterable[str]) -> set[str]:
    """Digests of the files that stretches of audio lie in, as `Store.contents` names them."""
    return {name.partition("-")[0] for name in contents}


class _Lacking(Exception):
    """Entries that are absent, cut short or altered."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(names)
        self.names = names


def _source(reader: Reader, file: Path) -> str | Problem:
    """The file that is read in the place of an audio file, or why there is none."""
    try:
        return os.path.abspath(reader.source(file))
    except UserError as reason:
        return Problem(file, None, str(reason))


def _length(file: str, extractor: Extractor) -> int | None:
    """T of an entry; None if it is absent, or too short or long to be one."""
    count = entries.rows(file, extractor.dim)
    return None if extractor.level == "utterance" and count != 1 else count


def _settled(rows: list[Piece | Problem], reasons: dict[str, str]) -> list[Piece | Problem]:
    """The rows, with a problem in the place of each piece that has a reason."""
    settled: list[Piece | Problem] = []
    for row in rows:
        if isinstance(row, Piece) and row.name in reasons:
            part = "" if row.start != row.start else f" (from {row.start:g} s to {row.end:g} s)"
            row = Problem(Path(row.file), None, reasons[row.name] + part)
        settled.append(row)
    return settled


def _problems(rows: list[Piece | Problem]) -> tuple[Problem, ...]:
    return tuple(row for row in rows if isinstance(row, Problem))


def _listing(failures: Sequence[Problem], signature: str, count: int) -> str:
    lines = [f"{len(failures)} of {count} utterances have no features ({signature}):"]
    lines += [f"  {failure}" for failure in failures[:LISTED]]
    lines += [f"  and {len(failures) - LISTED} more"] if len(failures) > LISTED else []
    return "\n".join(lines)
