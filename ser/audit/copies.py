"""Recordings that a corpus contains more than once: identical samples, and altered copies."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.fft import irfft, next_fast_len, rfft

from ser.audit.fingerprint import BAND, RATE, narrow
from ser.corpora import audio
from ser.data.folds.fold import TOLERANCE

LARGEST_BUCKET = 100  # a landmark of more utterances than this identifies none
FEWEST_VOTES = 4  # landmarks that two utterances share at one shift
VOTE_SHARE = 0.05  # of the landmarks of the utterance that has fewer
BLOCK = 256  # utterances that are looked up at once
CORRELATION = 0.55  # of waveforms, 200 to 3400 Hz; other takes (EMO-DB) have 0.39 at most
COVERED = 0.5  # share of the shorter utterance that a copy has in common with it
CACHED = 64  # signals that are kept while candidates are verified
WHOLE = 0.99  # share from which two excerpts are the same one
TINY = 1e-12  # energy of a silent part
Signals = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Copy:
    """Two utterances with the same audio.

    Attributes:
        first, second: Utterance ids.
        identical: Whether they are the same samples of the same recording.
        correlation: Of both waveforms where they overlap, from 200 to 3400 Hz.
        shift: Seconds that `second` begins later in the common recording.
        gain: Level of `second` above `first`, dB.
        share: Share of the longer utterance that they have in common.
    """

    first: str
    second: str
    identical: bool
    correlation: float = 1.0
    shift: float = 0.0
    gain: float = 0.0
    share: float = 1.0

    @property
    def pair(self) -> tuple[str, str]:
        """Both utterance ids."""
        return self.first, self.second

    @property
    def difference(self) -> str:
        """How they differ, e.g. "-6.0 dB, begins 0.30 s later"."""
        if self.identical:
            whole = self.share > WHOLE
            return "identical" if whole else f"excerpts that overlap, {self.share:.0%} in common"
        side = "later" if self.shift > 0 else "earlier"
        return (
            f"{self.gain:+.1f} dB, begins {abs(self.shift):.2f} s {side}, {self.share:.0%} in "
            f"common, correlation {self.correlation:.2f}"
        )


def find_copies(
    table: pd.DataFrame, recordings: pd.Series, landmarks: Sequence[np.ndarray]
) -> list[Copy]:
    """Return all pairs of utterances with the same audio, sorted by their ids.

    Args:
        table: Of the corpus, with the column `duration` in seconds.
        recordings: Identifier of the decoded file by utterance id; equal for equal samples.
        landmarks: Of each utterance of the table, from `fingerprint.landmarks`.
    """
    identical = list(_identical(table, recordings))
    known = {copy.pair for copy in identical}
    signals = _signals(table)
    near = [
        copy
        for first, second in candidates(landmarks)
        if (str(table.index[first]), str(table.index[second])) not in known
        if (copy := _verify(table.index, signals, first, second))
    ]
    return sorted([*identical, *near], key=lambda copy: copy.pair)


def _identical(table: pd.DataFrame, recordings: pd.Series) -> Iterator[Copy]:
    """Yield pairs of utterances that overlap in time in equal recordings."""
    start = table["start"].astype(float).fillna(0.0)
    end = start + table["duration"]
    for _, group in recordings.groupby(recordings):
        for a, b in combinations(sorted(group.index), 2):
            common = min(end[a], end[b]) - max(start[a], start[b])
            if common > TOLERANCE:
                longer = max(end[a] - start[a], end[b] - start[b])
                yield Copy(a, b, True, shift=start[b] - start[a], share=common / longer)


def candidates(landmarks: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Return pairs of utterances (by number) that share enough landmarks at one shift in time."""
    sizes = np.array([len(each) for each in landmarks], np.int64)
    codes, frames = np.concatenate([np.empty((0, 2), np.int64), *landmarks]).T
    owners = np.repeat(np.arange(len(landmarks)), sizes)
    order = np.argsort(codes, kind="stable")
    codes, frames, owners = codes[order], frames[order], owners[order]
    begin, end = (np.searchsorted(codes, codes, side) for side in ("left", "right"))
    # Of each landmark, those behind it in its bucket: every pair occurs once, the smaller first.
    behind = np.where(end - begin > LARGEST_BUCKET, 0, end - np.arange(len(codes)) - 1)
    found = []
    for block in range(0, len(landmarks), BLOCK):
        rows = np.flatnonzero((owners >= block) & (owners < block + BLOCK) & (behind > 0))
        first = np.repeat(rows, behind[rows])
        if not len(first):
            continue
        before = np.repeat(np.cumsum(behind[rows]) - behind[rows], behind[rows])
        second = first + 1 + np.arange(len(first)) - before
        found.append(_voted(owners[first], owners[second], frames[first] - frames[second], sizes))
    pairs = np.unique(np.concatenate([np.empty((0, 2), np.int64), *found]), axis=0)
    return [(int(a), int(b)) for a, b in pairs]


def _voted(low: np.ndarray, high: np.ndarray, shift: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the pairs (P, 2) that have enough votes at one shift.

    Args:
        low: (V,) first utterance of each vote.
        high: (V,) second utterance of each vote.
        shift: (V,) frames.
        sizes: Number of landmarks of each utterance.
    """
    span = 4 * (np.abs(shift).max() + 1)
    keys = ((low * len(sizes) + high) * span + shift + span // 2)[low < high]
    unique, votes = np.unique(keys, return_counts=True)
    # A cut between two frames distributes the votes over two neighbouring shifts.
    votes[:-1] += np.where(np.diff(unique) == 1, votes[1:], 0)
    pair = unique // span
    first, second = pair // len(sizes), pair % len(sizes)
    needed = np.maximum(FEWEST_VOTES, VOTE_SHARE * np.minimum(sizes[first], sizes[second]))
    return np.stack([first, second], axis=1)[votes >= needed]


def _verify(names: pd.Index, read: Signals, first: int, second: int) -> Copy | None:
    """Return the copy that two utterances are, or None if their waveforms differ."""
    a, b = read(first), read(second)
    shift, correlation = correlate(a, b)
    if abs(correlation) < CORRELATION:
        return None
    one, other = _common(a, b, shift)
    gain = 10 * np.log10(float((other**2).sum() / (one**2).sum()))
    share = len(one) / max(len(a), len(b))
    begin = shift / RATE
    return Copy(str(names[first]), str(names[second]), False, correlation, begin, gain, share)


def correlate(a: np.ndarray, b: np.ndarray) -> tuple[int, float]:
    """Return the shift of `b` against `a`, in samples, at which they correlate most, and how much.

    Shifts at which they have less than `COVERED` of the shorter signal in common do not count.
    """
    length = len(a) + len(b) - 1
    size = next_fast_len(length, real=True)
    products = irfft(rfft(a, size) * np.conj(rfft(b, size)), size)
    shifts = np.arange(1 - len(b), len(a))
    begin, end = np.maximum(shifts, 0), np.minimum(len(a), shifts + len(b))
    sums_a, sums_b = (np.concatenate([[0.0], np.cumsum(np.square(x, dtype=float))]) for x in (a, b))
    energy = (sums_a[end] - sums_a[begin]) * (sums_b[end - shifts] - sums_b[begin - shifts])
    valid = (end - begin >= COVERED * min(len(a), len(b))) & (energy > TINY)
    ratio = np.where(valid, products[shifts] / np.sqrt(np.where(valid, energy, 1.0)), 0.0)
    best = int(np.abs(ratio).argmax())
    return int(shifts[best]), float(ratio[best])


def _common(a: np.ndarray, b: np.ndarray, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of two signals that overlap if `b` begins `shift` samples later."""
    begin, end = max(shift, 0), min(len(a), shift + len(b))
    return a[begin:end], b[begin - shift : end - shift]


def _signals(table: pd.DataFrame) -> Signals:
    """Return a function that reads an utterance, by number, in the band of the fingerprints."""
    places = list(table[["file", "start", "end"]].itertuples(index=False, name=None))

    @lru_cache(CACHED)
    def read(number: int) -> np.ndarray:
        file, start, end = places[number]
        signal = narrow(*audio.read(Path(file), start, end))
        spectrum = rfft(signal)
        frequencies = np.fft.rfftfreq(len(signal), 1 / RATE)
        spectrum[(frequencies < BAND[0]) | (frequencies > BAND[1])] = 0
        return irfft(spectrum, len(signal))

    return read
